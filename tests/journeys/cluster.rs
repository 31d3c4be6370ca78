//! An experiment that outgrows its machine: looked at before it goes to a cluster, watched, given more seeds, merged.

use super::yard::Yard;
use std::fs;

const SWEEP: &str = "question: Does the rate matter?\nbase:\n  model: {name: paper/resnet20, num_layers: 8}\n  \
    data: {dataset: 'folder:pictures', image_size: 24}\n  train: {epochs: 1, batch_size: 16}\n  threads: 1\n\
    axes: {train.optimizer.sgd.lr: [0.01, 0.1]}\n";

#[test]
fn what_would_be_submitted_is_shown_and_nothing_written() {
    let yard = Yard::new();
    yard.write("sweep.yaml", SWEEP);
    let script = yard.ok("experiment launch sweep.yaml --on slurm --max-parallel 1 --time 90m --partition gpu --gpus 1 --cpus 8 --memory 16G --option=--account=vision --dry-run");
    for line in [
        "#SBATCH --array=0-1%1",
        "#SBATCH --time=90",
        "#SBATCH --signal=B:USR2@90",
        "#SBATCH --partition=gpu",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --mem=16G",
        "#SBATCH --account=vision",
        "#SBATCH --requeue",
        "2 would be submitted",
    ] {
        assert!(script.contains(line), "{line} is not in\n{script}");
    }
    assert!(!yard.path("runs").exists());
    // One training over two nodes of two GPUs each: Slurm's tasks are its ranks.
    let script = yard.ok("experiment launch sweep.yaml --on slurm --nodes 2 --gpus 2 --cpus 16 --dry-run");
    for line in [
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks-per-node=2",
        "#SBATCH --cpus-per-task=8",
        "srun --kill-on-bad-exit=1 ",
    ] {
        assert!(script.contains(line), "{line} is not in\n{script}");
    }
    for (more, message) in [
        ("--on slurm --time 4", "write days, hours and minutes such as 4h"),
        ("--on slurm --image a", "--image: for `--on kubernetes` alone"),
        ("--on local --time 4h", "--time: `--on local` has no such thing"),
        ("--on slurm --nodes 3 --dry-run", "a batch of 16 cannot be divided among 3 processes"),
        ("--on slurm --only lr=3", "no such trial"),
    ] {
        let said = yard.fails(2, &format!("experiment launch sweep.yaml {more}"));
        assert!(said.contains(message), "{more}: {said}");
    }
    // Started as several processes that do not know which they are, a run says so before it begins.
    yard.write_run(
        "one",
        "model: {name: paper/resnet20}\ndata: {dataset: 'folder:pictures', image_size: 32}\n",
    );
    let out = yard.command("train one.yaml").env("WORLD_SIZE", "2").output().unwrap();
    let said = super::yard::stderr(&out);
    assert!(out.status.code() == Some(2) && said.contains("WORLD_SIZE is 2 and RANK is not set"), "{said}");
    assert!(!yard.path("runs").exists());
}

/// `launch --on local` returns at once; `watch` tells how it goes and ends with it.
#[test]
fn a_launched_experiment_is_watched_and_grows() {
    let yard = Yard::new();
    yard.write("sweep.yaml", SWEEP);
    assert!(yard.ok("experiment launch sweep.yaml --on local --max-parallel 1").contains("2 submitted as "));
    let watched = std::iter::repeat_with(|| yard.ok("experiment watch sweep.yaml --every 1"));
    // It may not have begun at the first look.
    let last = watched.take(60).find(|said| said.contains("2 of 2 done")).expect("done within a minute");
    assert!(last.contains("best so far lr="), "{last}");
    let report = yard.path("runs/sweep/report.md");
    assert!((0..600).any(|_| report.exists() || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        false
    }));
    assert!(yard.ok("experiment add-seeds runs/sweep 1").starts_with("4 trials now; what is missing: "));
    let kept =
        fs::metadata(yard.path("runs/sweep/trials/lr=0.1_seed=0/result.json")).unwrap().modified().unwrap();
    yard.ok("experiment run runs/sweep");
    assert_eq!(yard.json("experiment status runs/sweep --json").as_array().unwrap().len(), 4);
    let again =
        fs::metadata(yard.path("runs/sweep/trials/lr=0.1_seed=0/result.json")).unwrap().modified().unwrap();
    assert_eq!(again, kept);
}

/// Two machines with a part of the trials each, and other seeds: one directory, one report.
#[test]
fn directories_of_two_machines_are_merged() {
    let yard = Yard::new();
    yard.write("sweep.yaml", SWEEP);
    yard.ok("experiment run sweep.yaml --out runs/a --only lr=0.01");
    yard.ok("experiment run sweep.yaml --out runs/b seeds=[7]");
    yard.ok("experiment run sweep.yaml --out runs/c --only lr=0.1");
    let merged = yard.json("experiment merge runs/a runs/b runs/c --out runs/all --json");
    let count = |i: usize, key: &str| merged[i][key].as_array().unwrap().len();
    assert_eq!([count(0, "copied"), count(1, "copied"), count(2, "copied")], [1, 2, 1], "{merged}");
    let status = yard.json("experiment status runs/all --json");
    assert!(status.as_array().unwrap().iter().all(|trial| trial["state"] == "done"), "{status}");
    assert_eq!(status.as_array().unwrap().len(), 4);
    // Again: nothing to do. Other numbers are told, and not taken.
    let result = yard.path("runs/a/trials/lr=0.01_seed=0/result.json");
    let text = fs::read_to_string(&result).unwrap();
    let (before, loss) = text.split_once("\"loss\": ").unwrap();
    fs::write(&result, format!("{before}\"loss\": 1{loss}")).unwrap();
    let said = yard.ok("experiment merge runs/a runs/b --out runs/all");
    assert!(said.contains("with other numbers, left as here: lr=0.01_seed=0"), "{said}");
    assert!(said.contains("runs/b: 0 trial(s) copied, 2 there already"), "{said}");
    let csv = yard.ok("experiment report runs/all");
    assert!(csv.contains("Does the rate matter?"), "{csv}");
    // Another experiment is not merged, nor trials that are in no plan.
    yard.write("other.yaml", &SWEEP.replace("epochs: 1", "epochs: 2"));
    yard.ok("experiment run other.yaml --out runs/other --only lr=0.01");
    assert!(yard.fails(2, "experiment merge runs/other --out runs/all").contains("train.epochs is"));
    yard.write("wide.yaml", &SWEEP.replace("[0.01, 0.1]", "[0.2]"));
    yard.ok("experiment run wide.yaml --out runs/wide");
    assert!(
        yard.fails(2, "experiment merge runs/wide --out runs/all")
            .contains("has no such trial; give it the axes of both")
    );
}
