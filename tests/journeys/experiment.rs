//! An experiment's directory is its own, grows, says what it takes, and is cleaned.

use super::yard::Yard;
use std::fs;

const BASE: &str = "base:\n  model: {name: paper/resnet20, num_layers: 8}\n  \
    data: {dataset: 'folder:pictures', image_size: 24}\n  train: {epochs: 1, batch_size: 16}\n  threads: 1\n";

fn experiment(question: &str, rest: &str) -> String {
    format!("question: {question}\n{BASE}{rest}")
}

#[test]
fn another_experiments_answer_is_not_replaced() {
    let yard = Yard::new();
    yard.write(
        "e1.yaml",
        &experiment("Does the rate matter?", "axes: {train.optimizer.sgd.lr: [0.01, 0.1]}\n"),
    );
    yard.write(
        "other/e1.yaml",
        &experiment("Does the momentum matter?", "axes: {train.optimizer.sgd.momentum: [0, 0.9]}\n"),
    );
    yard.ok("experiment run e1.yaml");
    let files = ["experiment.yaml", "plan.json", "results.csv", "report.md"]
        .map(|name| yard.path(&format!("runs/e1/{name}")));
    let before = files.clone().map(|file| fs::read(file).unwrap());
    yard.ok("experiment plan other/e1.yaml");
    for verb in ["run", "report", "status"] {
        let refused = yard.fails(2, &format!("experiment {verb} other/e1.yaml"));
        assert!(
            refused.contains("`Does the rate matter?`, and not `Does the momentum matter?`"),
            "{refused}"
        );
        assert!(refused.contains("--out DIR"), "{refused}");
    }
    // The same question of another base.
    let refused = yard.fails(2, "experiment run e1.yaml train.epochs=2 model.num_layers=14");
    assert!(
        refused.contains("model.num_layers is 8 there, 14 here; train.epochs is 1 there, 2 here"),
        "{refused}"
    );
    assert_eq!(files.map(|file| fs::read(file).unwrap()), before);
    yard.ok("experiment run other/e1.yaml --out runs/e2");
    // More seeds, more values and circumstances are the same experiment.
    yard.write(
        "e1.yaml",
        &experiment("Does the rate matter?", "seeds: 2\naxes: {train.optimizer.sgd.lr: [0.01, 0.1, 0.2]}\n"),
    );
    let kept =
        fs::metadata(yard.path("runs/e1/trials/lr=0.1_seed=0/result.json")).unwrap().modified().unwrap();
    yard.ok("experiment run e1.yaml train.log_every=1");
    assert_eq!(
        fs::metadata(yard.path("runs/e1/trials/lr=0.1_seed=0/result.json")).unwrap().modified().unwrap(),
        kept
    );
    let trials = fs::read_to_string(yard.path("runs/e1/trials.csv")).unwrap();
    assert!(trials.starts_with("id,train.optimizer.sgd.lr,seed,state,params,"), "{trials}");
    assert_eq!((trials.lines().count(), trials.matches(",done,").count()), (7, 6), "{trials}");
    assert_eq!(fs::read_to_string(yard.path("runs/e1/results.csv")).unwrap().lines().count(), 4);
}

#[test]
fn a_directory_says_what_it_takes_and_is_cleaned() {
    let yard = Yard::new();
    let text = |rates: &str| {
        experiment("Does the rate matter?", &format!("axes: {{train.optimizer.sgd.lr: {rates}}}\n"))
    };
    yard.write("e1.yaml", &text("[0.01, 0.1, 0.2]"));
    yard.ok("experiment run e1.yaml");
    let status = yard.json("experiment status runs/e1 --json");
    assert!(
        status.as_array().unwrap().iter().all(|trial| trial["bytes"].as_u64().unwrap() > 300_000),
        "{status}"
    );
    assert!(yard.ok("experiment status runs/e1").contains("3 of 3 trials are done, "));
    yard.write("e1.yaml", &text("[0.01, 0.1]"));
    // Nothing goes before a flag says what.
    assert!(yard.ok("experiment clean e1.yaml").contains("could be freed"));
    assert!(yard.ok("experiment clean e1.yaml --checkpoints --dry-run").contains("could be freed"));
    assert!(yard.path("runs/e1/trials/lr=0.1_seed=0/last.safetensors").exists());
    let gone = yard.json("experiment clean e1.yaml --checkpoints --stale --json");
    let gone: Vec<&str> = gone.as_array().unwrap().iter().map(|row| row["path"].as_str().unwrap()).collect();
    assert_eq!(
        gone,
        [
            "runs/e1/trials/lr=0.01_seed=0/last.safetensors",
            "runs/e1/trials/lr=0.1_seed=0/last.safetensors",
            "runs/e1/trials/lr=0.2_seed=0"
        ]
    );
    assert!(gone.iter().all(|path| !yard.path(path).exists()));
    // What is left is enough for the report, and for an evaluation.
    yard.ok("experiment report e1.yaml");
    let top1 = yard.json("eval --run runs/e1/trials/lr=0.1_seed=0 --json")["top1"].clone();
    assert_eq!(top1, super::yard::json(&yard.path("runs/e1/trials/lr=0.1_seed=0/result.json"))["best_top1"]);
}

#[test]
fn status_knows_the_directory_of_one_run() {
    let yard = Yard::new();
    yard.write_run(
        "run",
        "model: {name: paper/resnet20, num_layers: 8}\ndata: {dataset: 'folder:pictures', image_size: 24}\n",
    );
    yard.ok("train run.yaml --events --until 1");
    let status = yard.json("experiment status runs/run --json");
    assert_eq!(
        (&status["state"], &status["epoch"], &status["epochs"]),
        (&"interrupted".into(), &1.into(), &3.into())
    );
    yard.ok("train run.yaml");
    assert!(yard.ok("experiment status runs/run").starts_with("paper/resnet20: done, epoch 3/3, top-1 "));
}

#[test]
fn structured_values_have_short_names() {
    let yard = Yard::new();
    let axes = "axes:\n  train.optimizer: [{sgd: {lr: 0.1, momentum: 0.9}}, {adamw: {lr: 0.001}}]\n  \
                data.augment: [[], [flip, {pad_crop: 4}]]\n";
    yard.write("rules.yaml", &experiment("Which rule?", axes));
    let plan = yard.json("experiment plan rules.yaml --json");
    let ids: Vec<&str> =
        plan["trials"].as_array().unwrap().iter().map(|trial| trial["id"].as_str().unwrap()).collect();
    assert_eq!(
        ids,
        [
            "optimizer=sgd-lr-0.1-momentum-0.9_augment=none_seed=0",
            "optimizer=sgd-lr-0.1-momentum-0.9_augment=flip+pad_crop-4_seed=0",
            "optimizer=adamw-lr-0.001_augment=none_seed=0",
            "optimizer=adamw-lr-0.001_augment=flip+pad_crop-4_seed=0",
        ]
    );
    assert!(
        yard.ok("experiment plan rules.yaml")
            .contains("optimizer sgd lr 0.1 momentum 0.9, augment flip+pad_crop 4")
    );
}
