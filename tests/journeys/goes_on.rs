//! A run goes on: with other circumstances, beyond its end, and as the start of another.

use super::common::lab::bits;
use super::yard::{Yard, json};
use std::fs;

const RUN: &str = "model: {name: paper/resnet20, num_layers: 8}\n\
    data: {dataset: 'folder:pictures', image_size: 24, augment: [flip]}\n\
    train: {epochs: 2, batch_size: 8, ema: 0.7, optimizer: {sgd: {lr: 0.05}}}\nthreads: 1\n";

/// A yard with a run file, and a run of it that has ended.
fn yard() -> Yard {
    let yard = Yard::new();
    yard.write("run.yaml", RUN);
    yard
}

fn metrics(yard: &Yard, run: &str) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(yard.path(&format!("{run}/metrics.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn circumstances_change_on_resume_and_the_bits_stay() {
    let yard = yard();
    yard.ok("train run.yaml --out whole");
    let whole = bits(&yard.path("whole/last.safetensors"));
    fs::create_dir_all(yard.path("moved")).unwrap();
    for (i, change) in [
        "device=cpu",
        "data.workers=2",
        "data.root=elsewhere",
        "train.log_every=1",
        "train.save_every=2",
        "train.eval_batch_size=7",
        "train.histograms=true",
        "threads=2",
    ]
    .iter()
    .enumerate()
    {
        let out = format!("resumed{i}");
        yard.ok(&format!("train run.yaml --out {out} --events --until 1"));
        assert!(!yard.path(&out).join("result.json").exists());
        yard.ok(&format!("train run.yaml {change} --out {out}"));
        assert_eq!(metrics(&yard, &out).len(), 2, "{change}");
        let starts = fs::read_to_string(yard.path(&format!("{out}/starts.jsonl"))).unwrap();
        let last: serde_json::Value = serde_json::from_str(starts.lines().last().unwrap()).unwrap();
        let (key, _) = change.split_once('=').unwrap();
        assert_eq!((&last["changes"][0]["key"], &last["step"]), (&key.into(), &9.into()), "{starts}");
        // Sums over several threads are added in another order.
        if *change != "threads=2" {
            assert!(bits(&yard.path(&format!("{out}/last.safetensors"))) == whole, "{change}: other bits");
        }
    }
    // The pictures have moved.
    yard.ok("train run.yaml --out resumed --events --until 1");
    fs::rename(yard.path("pictures"), yard.path("moved/pictures")).unwrap();
    yard.ok("train run.yaml data.dataset=folder:moved/pictures --out resumed");
    assert!(bits(&yard.path("resumed/last.safetensors")) == whole, "other bits from the moved pictures");
}

#[test]
fn another_identity_is_refused_with_what_differs() {
    let yard = yard();
    yard.ok("train run.yaml --out run --events --until 1");
    let refused = yard.fails(2, "train run.yaml --out run model.num_layers=14 data.image_size=28 device=cpu");
    assert!(
        refused.contains("data.image_size is 24 there, 28 here; model.num_layers is 8 there, 14 here"),
        "{refused}"
    );
    assert!(refused.contains("--out DIR") && !refused.contains("device"), "{refused}");
    let refused = yard.fails(2, "train run.yaml --out run train.epochs=5");
    assert!(
        refused.contains("train.epochs is 2 there, 5 here") && refused.contains("--extend train.epochs=5"),
        "{refused}"
    );
    // Other pictures under the same name.
    fs::copy(yard.path("pictures/train/red/00.bmp"), yard.path("pictures/train/red/99.bmp")).unwrap();
    let refused = yard.fails(2, "train run.yaml --out run");
    assert!(refused.contains("72 training images in 3 classes") && refused.contains("now 73"), "{refused}");
}

#[test]
fn a_start_that_fails_leaves_nothing() {
    let yard = yard();
    yard.fails(1, "train run.yaml --out new device=cuda:7");
    assert!(!yard.path("new").exists());
    yard.fails(2, "train run.yaml --out new data.image_size=0");
    assert!(!yard.path("new").exists());
    yard.ok("train run.yaml --out new train.epochs=1");
    // A directory that was there keeps what is not the run's.
    yard.write("mine/notes.txt", "mine");
    yard.fails(1, "train run.yaml --out mine device=cuda:7");
    let left: Vec<_> =
        fs::read_dir(yard.path("mine")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["notes.txt"]);
}

#[test]
fn a_run_is_extended_after_its_end() {
    let yard = yard();
    yard.ok("train run.yaml --out run");
    let before = json(&yard.path("run/result.json"));
    yard.ok("train run.yaml --out run --extend train.epochs=4");
    let after = json(&yard.path("run/result.json"));
    assert_eq!((&before["epochs"], &after["epochs"], &after["steps"]), (&2.into(), &4.into(), &36.into()));
    let rows = metrics(&yard, "run");
    assert_eq!(rows.iter().map(|row| row["epoch"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    // The schedule is that of four epochs: in its middle the rate is that of the whole run at that step.
    yard.ok("train run.yaml --out whole train.epochs=4");
    assert_eq!(rows[2]["lr"], metrics(&yard, "whole")[2]["lr"]);
    // Done: nothing more to do, and the shorter file no longer is this run.
    yard.ok("train run.yaml --out run --extend train.epochs=4");
    assert!(yard.fails(2, "train run.yaml --out run").contains("train.epochs is 4 there, 2 here"));
    assert!(yard.fails(2, "train run.yaml --out none --extend train.epochs=4").contains("no run to extend"));
    assert!(!yard.path("none").exists());
    assert!(
        yard.fails(2, "train run.yaml --out run --extend seed=4").contains("a run is extended by one of")
    );
}

#[test]
fn a_run_begins_at_anothers_checkpoint() {
    let yard = yard();
    yard.ok("train run.yaml --out first");
    yard.ok("train run.yaml --out branch --from first train.epochs=3 train.optimizer.sgd.lr=0.001 --events --until 2");
    // Saved as its own before the first step.
    assert!(bits(&yard.path("branch/last.safetensors")) == bits(&yard.path("first/last.safetensors")));
    yard.ok("train run.yaml --out branch train.epochs=3 train.optimizer.sgd.lr=0.001");
    let rows = metrics(&yard, "branch");
    assert_eq!(rows.len(), 3);
    assert_eq!(
        rows[..2].iter().map(|row| &row["train_loss"]).collect::<Vec<_>>(),
        metrics(&yard, "first").iter().map(|row| &row["train_loss"]).collect::<Vec<_>>()
    );
    assert!(rows[2]["lr"].as_f64().unwrap() < 0.0011);
    // It says where it comes from, and has a best of its own.
    let file = tchvision::weights::StateFile::open(&yard.path("branch/best.safetensors")).unwrap();
    let about: serde_json::Value = serde_json::from_str(file.metadata("tchvision").unwrap()).unwrap();
    assert_eq!(about["parents"][0]["file"], "first/last.safetensors");
    assert_eq!(about["parents"][0]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(about["epoch"], 3);
    let refused = yard.fails(2, "train run.yaml --out first --from branch");
    assert!(refused.contains("did not begin at branch/last.safetensors"), "{refused}");
    let refused = yard.fails(1, "train run.yaml --out wide --from first model.num_layers=14");
    assert!(
        refused.contains("not of this model and optimizer") && refused.lines().count() <= 10,
        "{refused}"
    );
    assert!(!yard.path("wide").exists());
}

#[test]
fn the_best_evaluations_and_the_optimizer_are_kept_by_choice() {
    let yard = yard();
    yard.ok("train run.yaml --out run train.epochs=5 train.keep_best=2 train.keep_optimizer=false");
    let mut rows: Vec<(u64, f64)> = metrics(&yard, "run")
        .iter()
        .map(|row| (row["epoch"].as_u64().unwrap(), row["test_top1"].as_f64().unwrap()))
        .collect();
    rows.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    for (rank, (epoch, top1)) in rows.iter().enumerate() {
        let file = format!("run/epoch-{epoch}.safetensors");
        assert_eq!(yard.path(&file).exists(), rank < 2, "{file}: {rows:?}");
        if rank < 2 {
            assert_eq!(yard.json(&format!("eval --weights {file} --json"))["top1"].as_f64().unwrap(), *top1);
        }
    }
    let file = tchvision::weights::StateFile::open(&yard.path("run/last.safetensors")).unwrap();
    assert!(!file.names().iter().any(|name| name.starts_with("optim.")));
    assert!(file.names().iter().any(|name| name.starts_with("ema.")));
    let refused = yard.fails(
        1,
        "train run.yaml --out run train.keep_best=2 train.keep_optimizer=false --extend train.epochs=6",
    );
    assert!(refused.contains("train.keep_optimizer: false"), "{refused}");
    assert!(yard.path("run/result.json").exists(), "nothing is lost");
}

#[test]
fn chosen_epochs_are_kept_evaluated_or_not() {
    let yard = yard();
    yard.ok("train run.yaml --out run train.epochs=4 train.eval_every=2 train.keep=[1,2] train.keep_best=1");
    yard.ok("train run.yaml --out best train.epochs=4 train.eval_every=2 train.keep=[1] train.keep_best=2");
    let tops = metrics(&yard, "run");
    for (epoch, run) in [(1, "run"), (2, "run"), (1, "best"), (2, "best"), (4, "best")] {
        let file = format!("{run}/epoch-{epoch}.safetensors");
        let state = tchvision::weights::StateFile::open(&yard.path(&file)).unwrap();
        let about = tchvision::weights::About::of(&state).unwrap().unwrap();
        let tested = tops[epoch as usize - 1]["test_top1"].as_f64();
        assert_eq!((about.epoch, about.top1), (epoch, tested), "{file}");
        let found = yard.json(&format!("eval --weights {file} --json"))["top1"].as_f64();
        assert!(tested.is_none_or(|tested| found == Some(tested)), "{file}: {found:?}");
    }
    for file in ["run/epoch-3.safetensors", "run/epoch-4.safetensors", "best/epoch-3.safetensors"] {
        assert!(!yard.path(file).exists(), "{file}");
    }
}

/// The best by another metric: learning rates far too high at first, so that loss and top-1 disagree.
#[test]
fn the_best_is_the_best_by_the_metric_that_is_asked_for() {
    let yard = yard();
    for (metric, key, sign) in
        [("loss", "test_loss", -1.0), ("top1", "test_top1", 1.0), ("top5", "test_top5", 1.0)]
    {
        yard.ok(&format!(
            "train run.yaml --out {metric} train.epochs=6 train.metric={metric} train.keep_best=2 \
             train.optimizer.sgd.lr=0.3 train.schedule=constant"
        ));
        let rows = metrics(&yard, metric);
        let score = |row: &serde_json::Value| sign * row[key].as_f64().unwrap();
        let mut epochs: Vec<usize> = (1..=rows.len()).collect();
        epochs.sort_by(|&a, &b| score(&rows[b - 1]).total_cmp(&score(&rows[a - 1])).then(a.cmp(&b)));
        let state =
            tchvision::weights::StateFile::open(&yard.path(&format!("{metric}/best.safetensors"))).unwrap();
        let about = tchvision::weights::About::of(&state).unwrap().unwrap();
        assert_eq!(about.epoch as usize, epochs[0], "{metric}: {rows:?}");
        for epoch in 1..=rows.len() {
            let kept = yard.path(&format!("{metric}/epoch-{epoch}.safetensors")).exists();
            assert_eq!(kept, epochs[..2].contains(&epoch), "{metric}: epoch {epoch}");
        }
    }
}
