//! One training over several processes, started by torchrun and by srun, and killed.

use super::cluster::{Cluster, Sweep};
use super::common::lab::Lab;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tchvision::weights::StateFile;

fn torchrun() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/torchrun");
    assert!(path.exists(), "no torchrun in .venv: make one with requirements.txt");
    path
}

/// Weights, averages and momenta of a checkpoint, by name.
fn state(dir: &Path) -> Vec<(String, Vec<f64>)> {
    let state = StateFile::open(&dir.join("last.safetensors")).unwrap().state_dict().unwrap();
    let flat =
        |tensor: &tch::Tensor| Vec::try_from(&tensor.to_kind(tch::Kind::Double).flatten(0, -1)).unwrap();
    state.tensors.iter().map(|(name, tensor)| (name.clone(), flat(tensor))).collect()
}

/// The names of what is not the same in every bit.
fn differing(one: Vec<(String, Vec<f64>)>, other: Vec<(String, Vec<f64>)>) -> Vec<String> {
    assert_eq!(one.len(), other.len());
    one.into_iter().zip(other).filter(|(a, b)| a != b).map(|(a, _)| a.0).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(120), "{what}");
        sleep(Duration::from_millis(10));
    }
}

fn start(lab: &Lab, yaml: &Path, dir: &Path, world: usize) -> Vec<Child> {
    let start = |rank: usize| {
        let mut command = lab.command(yaml, dir);
        command.env("WORLD_SIZE", world.to_string()).env("RANK", rank.to_string()).spawn().unwrap()
    };
    (0..world).map(start).collect()
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}

/// A rank that is killed ends all others within five seconds, with the code that asks to start again; started again, all go
/// on to the bits of a run that was never killed. So does a run of which all ranks were killed.
#[test]
fn killed_ranks_go_on() {
    let lab = Lab::new();
    let yaml = lab.yaml("run", "epochs: 6, accumulate: 3, batch_size_: 0, save_every: 4");
    let text = fs::read_to_string(&yaml).unwrap();
    fs::write(&yaml, text.replace("batch_size: 32", "batch_size: 30").replace("batch_size_: 0, ", ""))
        .unwrap();
    let [whole, killed] = ["whole", "killed"].map(|name| lab.dir(name));
    for child in start(&lab, &yaml, &whole, 3) {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    for victim in [Some(1), Some(0), None] {
        let saved = || fs::metadata(killed.join("last.safetensors")).and_then(|file| file.modified()).ok();
        let before = saved();
        let children = start(&lab, &yaml, &killed, 3);
        until("nothing was saved", || saved() != before);
        let victims = victim.map_or(0..3, |rank| rank..rank + 1);
        victims.clone().for_each(|rank| kill(children[rank].id()));
        let since = Instant::now();
        for (rank, child) in children.into_iter().enumerate() {
            let output = child.wait_with_output().unwrap();
            let code = if victims.contains(&rank) { None } else { Some(75) };
            assert_eq!(output.status.code(), code, "rank {rank}: {}", said(&output));
            let told = said(&output).contains("another rank has ended");
            assert!(code.is_none() || told, "{}", said(&output));
        }
        assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    }
    for child in start(&lab, &yaml, &killed, 3) {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    assert_eq!(differing(state(&whole), state(&killed)), [""; 0]);
}

/// torchrun starts all again when one is killed, and they find each other by its store.
#[test]
fn torchrun_starts_killed_ranks_again() {
    let lab = Lab::new();
    let yaml = lab.yaml("run", "epochs: 6, save_every: 4");
    // Its agent says how many threads an operation has, 1, unless the run says more.
    let [one, two] = ["one", "two"].map(|name| lab.dir(name));
    assert!(lab.command(&yaml, &one).arg("train.accumulate=2").output().unwrap().status.success());
    let mut command = Command::new(torchrun());
    command.args(["--no-python", "--nproc-per-node=2", "--max-restarts=3", "--master-port=0"]);
    command.args(["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", "--monitor-interval=0.2"]);
    command.arg(env!("CARGO_BIN_EXE_tchvision")).arg("train").arg(&yaml).arg("--out").arg(&two);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("nothing was saved", || two.join("last.safetensors").exists());
    let workers = format!("/proc/{0}/task/{0}/children", child.id());
    let is_rank = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == b"RANK=1")
    };
    let workers = fs::read_to_string(workers).unwrap();
    let victim = workers.split_whitespace().map(|pid| pid.parse().unwrap()).find(is_rank);
    kill(victim.expect("rank 1 at work"));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let starts = fs::read_to_string(two.join("starts.jsonl")).unwrap();
    assert_eq!(starts.lines().count(), 2, "{starts}");
    assert_eq!(differing(state(&one), state(&two)), [""; 0]);
}

/// Slurm's tasks, one on each node, are the ranks of a trial.
#[test]
fn a_trial_of_two_nodes_is_one_training() {
    let cluster = Cluster::start(2, 1001);
    let sweep = Sweep::new(&cluster, "epochs: 2", "axes:\n  train.optimizer.sgd.lr: [0.1]\n");
    sweep.launch("--nodes 2");
    until("no report", || sweep.dir.join("report.md").exists());
    assert_eq!(sweep.done(), 1, "{:#?}", sweep.status());
    let trial = sweep.dir.join("trials/lr=0.1_seed=0");
    let starts = fs::read_to_string(trial.join("starts.jsonl")).unwrap();
    assert!(starts.lines().count() == 1 && starts.contains(r#""ranks":2"#), "{starts}");
    let alone = sweep.dir.join("alone");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tchvision"));
    command.arg("train").arg(trial.join("config.yaml")).arg("train.accumulate=2").arg("--out").arg(&alone);
    assert!(command.output().unwrap().status.success());
    assert_eq!(differing(state(&alone), state(&trial)), [""; 0]);
}

/// No port is asked for that another may have: 25 runs of two ranks at the same time.
#[test]
fn many_start_at_once() {
    let lab = Lab::new();
    let yaml = lab.yaml("run", "epochs: 1, steps: 1");
    let runs: Vec<_> = (0..25).map(|run| start(&lab, &yaml, &lab.dir(&run.to_string()), 2)).collect();
    for child in runs.into_iter().flatten() {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
}
