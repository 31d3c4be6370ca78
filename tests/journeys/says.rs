//! What a run says before it trains and while it does.

use super::yard::{Yard, stderr};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

const RUN: &str = "model: {name: paper/resnet20, num_layers: 8}\n\
    data: {dataset: 'folder:pictures', image_size: 24}\n";

#[test]
fn a_plan_says_what_would_run_and_leaves_nothing() {
    let yard = Yard::new();
    yard.write_run("run", RUN);
    let plan = yard.json("train run.yaml --plan --json");
    for (key, value) in [
        ("params", 74_835.into()),
        ("train_images", 72.into()),
        ("test_images", 33.into()),
        ("classes", 3.into()),
        ("steps_per_epoch", 9.into()),
        ("steps", 27.into()),
        ("weights", serde_json::json!("new, seed 0")),
        ("device", "cpu".into()),
    ] {
        assert_eq!(plan[key], value, "{plan}");
    }
    let text = yard.ok("train run.yaml --plan");
    assert!(
        text.lines().count() <= 8 && text.contains("72 training and 33 test images of 3 classes"),
        "{text}"
    );
    assert!(!yard.path("runs").exists());
    yard.ok("train run.yaml --events --until 1");
    let plan = yard.json("train run.yaml --plan --json");
    assert_eq!(plan["weights"], "runs/run/last.safetensors, step 9 after 1 epochs");
}

#[test]
fn lines_come_while_it_runs() {
    let yard = Yard::new();
    yard.write_run("run", RUN);
    let mut child = yard.command("train run.yaml train.epochs=400").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let header: Vec<String> = lines.by_ref().take_while(|line| !line.starts_with("memory")).collect();
    assert!(header[0].starts_with("model      paper/resnet20: 74.83 k parameters"), "{header:?}");
    let first = lines.next().unwrap();
    assert!(first.starts_with("step 3/3600 epoch 1/400 loss "), "{first}");
    assert!(
        first.contains(" lr 1.000e-1 ") && first.contains(" img/s, ") && first.ends_with(" left"),
        "{first}"
    );
    assert!(child.try_wait().unwrap().is_none(), "it still runs");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_model_too_large_for_the_machine_is_refused() {
    let yard = Yard::new();
    // Channels where a factor is meant.
    yard.write_run(
        "wide",
        "model: {name: paper/wrn_28_10, width: 640}\ndata: {dataset: 'folder:pictures', image_size: 24}\n",
    );
    let started = std::time::Instant::now();
    let refused = yard.fails(2, "train wide.yaml");
    assert!(refused.contains(" GB are free") && refused.contains("train.check_memory"), "{refused}");
    assert!(started.elapsed().as_secs() < 20 && !yard.path("runs").exists());
    // Its costs are known all the same.
    let costs = yard.json("models show paper/wrn_28_10 --set width=640 --json");
    assert!(costs["params"].as_u64().unwrap() > 100_000_000_000);
}

#[test]
fn averages_are_warm_after_one_epoch() {
    let yard = Yard::new();
    yard.write_run("ema", "model: {name: paper/resnet20, num_layers: 8}\ndata: {dataset: 'folder:pictures', image_size: 24}\ntrain: {ema: 0.9999}\n");
    let out = yard.run("train ema.yaml --json");
    let result: serde_json::Value =
        serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", stderr(&out)));
    yard.write_run("cold", "model: {name: paper/resnet20, num_layers: 8}\ndata: {dataset: 'folder:pictures', image_size: 24}\ntrain: {ema: {decay: 0.9999, warmup: false}}\n");
    let cold = yard.json("train cold.yaml --json");
    assert!(result["loss"].as_f64().unwrap() != cold["loss"].as_f64().unwrap());
    let wrong = yard.fails(2, "train ema.yaml train.ema=fast --out other");
    assert!(wrong.contains("a decay such as 0.999 is expected"), "{wrong}");
}
