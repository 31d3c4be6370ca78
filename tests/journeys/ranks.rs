//! One run trained by several processes, which are to come to what one comes to.

use super::common::lab::Lab;
use std::fs;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use tchvision::weights::StateFile;

/// Starts the processes of a run by hand, each a command with its rank.
fn start(lab: &Lab, yaml: &Path, dir: &Path, world: usize, overrides: &[&str]) -> Vec<Child> {
    let start = |rank: usize| {
        let mut command = lab.command(yaml, dir);
        command.args(overrides).env("WORLD_SIZE", world.to_string()).env("RANK", rank.to_string());
        command.env("TCHVISION_RANK_TIMEOUT", "60").stdin(Stdio::null()).spawn().unwrap()
    };
    (0..world).map(start).collect()
}

fn ends(children: Vec<Child>) -> Vec<Output> {
    children.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn train(lab: &Lab, yaml: &Path, dir: &Path, world: usize, overrides: &[&str]) -> Vec<Output> {
    let outputs = ends(start(lab, yaml, dir, world, overrides));
    for output in &outputs {
        assert!(output.status.success(), "{}", stderr(output));
    }
    outputs
}

/// Weights, averages, momenta and counters of a checkpoint, by name.
fn state(file: &Path) -> Vec<(String, Vec<f64>)> {
    let state = StateFile::open(file).unwrap().state_dict().unwrap();
    let flat =
        |tensor: &tch::Tensor| Vec::try_from(&tensor.to_kind(tch::Kind::Double).flatten(0, -1)).unwrap();
    state.tensors.iter().map(|(name, tensor)| (name.clone(), flat(tensor))).collect()
}

/// The names of what is not the same in every bit.
fn differing(one: Vec<(String, Vec<f64>)>, other: Vec<(String, Vec<f64>)>) -> Vec<String> {
    assert_eq!(one.len(), other.len());
    one.into_iter().zip(other).filter(|(a, b)| a != b).map(|(a, _)| a.0).collect()
}

/// The epochs without what is a matter of time and machine.
fn epochs(dir: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    let epoch = |line: &str| {
        let mut epoch: serde_json::Value = serde_json::from_str(line).unwrap();
        for key in ["images_per_second", "seconds", "wall_time", "peak_memory_bytes"] {
            epoch.as_object_mut().unwrap().remove(key);
        }
        epoch
    };
    text.lines().map(epoch).collect()
}

/// 50 steps with dropout, mixup, EMA and batch norm.
#[test]
fn two_ranks_are_one_process_with_two_micro_batches() {
    let lab = Lab::new();
    let yaml = lab.yaml("run", "epochs: 5, ema: 0.99, clip_grad_norm: 5.0, save_every: 7");
    let mixed = fs::read_to_string(&yaml).unwrap().replace("augment:", "mix: {mixup: 0.2}, augment:");
    fs::write(&yaml, mixed).unwrap();
    let [one, two] = ["one", "two"].map(|name| lab.dir(name));
    let output = lab.command(&yaml, &one).arg("train.accumulate=2").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let outputs = train(&lab, &yaml, &two, 2, &[]);
    for (rank, output) in outputs.iter().enumerate() {
        let said = stderr(output);
        let first = said.lines().next().unwrap();
        assert!(
            first.starts_with(&format!("rank {rank} of 2 on ")) && first.ends_with(", cpu, gloo"),
            "{said}"
        );
        assert!(!said.contains("Warning"), "{said}");
    }
    // One says what all have come to.
    assert!(outputs[1].stdout.is_empty() && !outputs[0].stdout.is_empty());
    let files = ["last.safetensors", "best.safetensors"];
    for file in files {
        assert_eq!(differing(state(&one.join(file)), state(&two.join(file))), [""; 0], "{file}");
    }
    assert_eq!(epochs(&one), epochs(&two));
    assert_eq!(epochs(&two)[4]["step"], 50);
    let starts = fs::read_to_string(two.join("starts.jsonl")).unwrap();
    assert!(starts.contains(r#""ranks":2"#), "{starts}");
    assert!(!fs::read_to_string(one.join("starts.jsonl")).unwrap().contains("ranks"));
}

/// The same weights give the same counts, whatever the number of processes: 100 test images in batches of 16.
#[test]
fn every_picture_is_tested_once() {
    let lab = Lab::new();
    let yaml = lab.yaml("run", "epochs: 2, accumulate: 12, eval_batch_size: 16");
    let text = fs::read_to_string(&yaml).unwrap().replace("batch_size: 32", "batch_size: 24");
    fs::write(&yaml, text).unwrap();
    // One step is too small to tell roundings of one world from those of another.
    let result = |world: usize| {
        let dir = lab.dir(&world.to_string());
        train(&lab, &yaml, &dir, world, &["train.steps=1"]);
        let result = fs::read_to_string(dir.join("result.json")).unwrap();
        let mut result: serde_json::Value = serde_json::from_str(&result).unwrap();
        let loss = result["loss"].as_f64().unwrap();
        let counts = ["top1", "top5", "balanced_accuracy", "f1"].map(|key| result[key].take());
        (counts, loss, result["ece"].as_f64().unwrap())
    };
    let one = result(1);
    assert!(one.0[0].as_f64().unwrap() > 0.0);
    for world in [2, 3, 4] {
        let (counts, loss, ece) = result(world);
        assert_eq!(counts, one.0, "{world} ranks");
        assert!((loss - one.1).abs() < 1e-6 && (ece - one.2).abs() < 1e-6, "{world} ranks");
    }
}

/// A run that two processes have begun goes on in one, to the bits that two would have come to; three cannot share it.
#[test]
fn another_number_of_ranks_goes_on() {
    let lab = Lab::new();
    let yaml = lab.yaml("run", "epochs: 3, ema: 0.99, keep_optimizer: true");
    let [whole, parts] = ["whole", "parts"].map(|name| lab.dir(name));
    train(&lab, &yaml, &whole, 2, &[]);
    // Stopped after each epoch, and gone on with by another number of processes.
    for (until, world) in [("1", 2), ("2", 1), ("3", 2)] {
        let arguments = ["--events", "--until", until];
        train(&lab, &yaml, &parts, world, &arguments);
    }
    assert_eq!(
        differing(state(&whole.join("last.safetensors")), state(&parts.join("last.safetensors"))),
        [""; 0]
    );
    assert_eq!(epochs(&whole), epochs(&parts));

    let begun = lab.dir("begun");
    train(&lab, &yaml, &begun, 2, &["--events", "--until", "1"]);
    for output in ends(start(&lab, &yaml, &begun, 3, &[])) {
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("began with 2 micro-batches a step, which 3 processes cannot share alike"),
            "{said}"
        );
    }
    // Nor does a batch that does not divide begin.
    let new = lab.dir("new");
    for output in ends(start(&lab, &yaml, &new, 3, &[])) {
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("train.batch_size") && said.contains("use a multiple of 3"), "{said}");
    }
    assert!(!new.exists());
}

/// What one finds wrong all say, and end.
#[test]
fn a_missing_or_failing_rank_is_named() {
    let lab = Lab::new();
    let yaml = lab.yaml("run", "epochs: 1");
    let mut alone = lab.command(&yaml, &lab.dir("alone"));
    alone.env("WORLD_SIZE", "4").env("RANK", "0").env("TCHVISION_RANK_TIMEOUT", "0.5");
    let output = alone.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("ranks 1, 2, 3 of 4 have not come within 0.5 seconds"),
        "{}",
        stderr(&output)
    );

    let mut second = lab.command(&yaml, &lab.dir("second"));
    second.env("WORLD_SIZE", "2").env("RANK", "1").env("TCHVISION_RANK_TIMEOUT", "0.5");
    let output = second.output().unwrap();
    assert!(stderr(&output).contains("rank 0 has not come within 0.5 seconds"), "{}", stderr(&output));

    // A directory that another process holds is rank 0's error, and by it the other's.
    let taken = lab.dir("taken");
    fs::create_dir_all(&taken).unwrap();
    let lock = fs::File::create(taken.join("run.lock")).unwrap();
    lock.lock().unwrap();
    let outputs = ends(start(&lab, &yaml, &taken, 2, &[]));
    for (output, whose) in outputs.iter().zip(["error: ", "error: rank 0: "]) {
        let said = stderr(output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(whose) && said.contains("another process trains there"), "{said}");
    }
}
