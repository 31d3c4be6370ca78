//! Experiments: plans, refusals before anything runs, runs that are killed and go on, reports.

mod common;

use common::lab::{Lab, bits, text};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

fn tchvision(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tchvision"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn demo() -> String {
    format!("{}/experiments/demo.yaml", env!("CARGO_MANIFEST_DIR"))
}

fn json(out: &Output) -> Value {
    assert!(out.status.success(), "{}", text(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// An experiment over the lab's data: `axes` and what follows, over a small net.
fn yaml(lab: &Lab, name: &str, rest: &str) -> PathBuf {
    let path = lab.folder.path().join(format!("{name}.yaml"));
    let text = format!(
        "question: Which?\n\
         base:\n  model: {{name: paper/wrn_16_4, depth: 10, width: 0.5, in_chans: 1, num_classes: 4}}\n  \
         data: {{dataset: 'idx:{}', augment: [pad_crop: 1]}}\n  \
         train: {{epochs: 3, batch_size: 32, save_every: 4, optimizer: {{sgd: {{lr: 0.05}}}}}}\n  threads: 1\n{rest}",
        lab.folder.path().display()
    );
    fs::write(&path, text).unwrap();
    path
}

fn run(yaml: &Path, dir: &Path, more: &[&str]) -> Output {
    let mut command = tchvision(&["experiment", "run"]);
    command.arg(yaml).arg("--out").arg(dir).args(more).output().unwrap()
}

const WIDTHS: &str = "axes: {model.width: [0.5, 1.0]}\nseeds: 2\n";

#[test]
fn the_demo_plans_variants_of_equal_cost() {
    let plan = json(&tchvision(&["experiment", "plan", &demo(), "--json"]).output().unwrap());
    assert_eq!(plan["experiment"], "demo");
    let trials = plan["trials"].as_array().unwrap();
    let pairs: Vec<(u64, u64)> = trials
        .iter()
        .map(|t| (t["variant"]["model.cardinality"].as_u64().unwrap(), t["seed"].as_u64().unwrap()))
        .collect();
    assert_eq!(pairs, [(1, 0), (1, 1), (2, 0), (2, 1), (4, 0), (4, 1), (8, 0), (8, 1)]);
    let base = trials[0]["macs"].as_f64().unwrap();
    for trial in trials {
        assert!((trial["macs"].as_f64().unwrap() / base - 1.0).abs() <= 0.03, "{trial}");
        assert!(trial["params"].as_u64().unwrap() > 0 && trial["activations"].as_u64().unwrap() > 0);
        assert_eq!(trial["model"], "paper/resnext29");
    }
}

#[test]
fn axes_zip_and_variants_multiply() {
    let lab = Lab::new();
    let rest = "axes: {model.width: [0.5, 1]}\n\
                zip: {train.epochs: [1, 2, 3], train.batch_size: [16, 32, 64]}\n\
                variants: {plain: {}, dropped: {model.dropout: 0.1, train.label_smoothing: 0.1}}\n\
                seeds: [7, 9]\n";
    let file = yaml(&lab, "product", rest);
    let plan = json(&tchvision(&["experiment", "plan", file.to_str().unwrap(), "--json"]).output().unwrap());
    let trials = plan["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 2 * 3 * 2 * 2);
    let ids: std::collections::HashSet<&str> = trials.iter().map(|t| t["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), trials.len());
    assert!(ids.contains("dropped_width=0.5_epochs=2_batch_size=32_seed=9"), "{ids:?}");
    for trial in trials {
        let variant = &trial["variant"];
        assert_eq!(
            variant["train.batch_size"].as_u64().unwrap(),
            8 << variant["train.epochs"].as_u64().unwrap()
        );
    }
}

/// Every refusal has its place, and nothing is written.
#[test]
fn what_cannot_run_is_refused_with_its_place() {
    let lab = Lab::new();
    let dir = lab.dir("refused");
    let refused = |rest: &str, more: &[&str], message: &str| {
        let file = yaml(&lab, "wrong", rest);
        let out = run(&file, &dir, more);
        let got = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{rest}: {got}");
        assert!(got.contains(message), "{rest}: {message:?} is not in {got:?}");
        assert!(!dir.exists());
    };
    refused("axis: {model.width: [1]}\n", &[], "wrong.yaml:7:1: unknown field `axis`; did you mean `axes`?");
    refused(
        "axes: {model.widht: [1]}\n",
        &[],
        "wrong.yaml:7:8: `model` paper/wrn_16_4: unknown field `widht`",
    );
    refused("axes: {train.epochs: [1, two]}\n", &[], "wrong.yaml:7:26: invalid type: string \"two\"");
    refused("axes: {train.epochs: [1, 0]}\n", &[], "wrong.yaml:7:26: variant epochs=0: `train.epochs`: 0");
    refused("axes: {train.epochs: []}\n", &[], "wrong.yaml:7:22: an axis without values");
    refused(
        "axes: {model.width: [1], model.width: [2]}\n",
        &[],
        "wrong.yaml:7:7: axes: duplicate entry with key \"model.width\"",
    );
    refused("axes: {model.num_classes: [4, 5]}\n", &[], "set `model.num_classes: 4`");
    refused(
        "zip: {train.epochs: [1, 2], model.width: [1]}\n",
        &[],
        "wrong.yaml:7:42: 1 values, and `train.epochs` has 2",
    );
    refused("seeds: 0\n", &[], "wrong.yaml:7:8: seeds: invalid value");
    refused("report: {x: model.depth}\n", &[], "`model.depth` is neither an axis nor a cost");
    refused(
        "match: {macs: base, by: model.widht}\n",
        &[],
        "wrong.yaml:7:25: a knob is the key path of a number",
    );
    refused("match: {by: model.width}\n", &[], "takes exactly one of");
    refused(
        "axes: {model.depth: [10, 100]}\nmatch: {macs: base, by: model.stem, tolerance: 0.01}\n",
        &[],
        "wrong.yaml:7:26: variant depth=100: macs cannot be matched",
    );
    refused("seeds: 1\n", &["model.widht=1"], "`model.widht=1`: ");
    refused(
        "seeds: 1\n",
        &["--only", "seed=5"],
        "--only seed=5: no such trial; write an ID such as `seed=0`",
    );
    refused(
        "seeds: 1\n",
        &["data.dataset=idx:/nowhere"],
        "/nowhere/train-images-idx3-ubyte.gz: cannot be opened",
    );
}

/// The numbers of an experiment's directory, without the clock's.
fn numbers(dir: &Path) -> Vec<Vec<String>> {
    let csv = fs::read_to_string(dir.join("results.csv")).unwrap();
    let mut lines = csv.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let titles = lines.next().unwrap();
    let clock = titles.iter().position(|title| title == "images_per_second").unwrap();
    let rows = lines.map(|mut row| {
        row.remove(clock);
        row
    });
    std::iter::once(titles.clone()).chain(rows).collect()
}

fn trials(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> =
        fs::read_dir(dir.join("trials")).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

#[test]
fn killed_at_any_moment_an_experiment_ends_with_the_same_numbers() {
    let lab = Lab::new();
    let file = yaml(&lab, "killed", WIDTHS);
    let (whole, killed) = (lab.dir("whole"), lab.dir("killed"));
    let started = Instant::now();
    let out = run(&file, &whole, &["--jobs", "1"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let duration = started.elapsed();
    let mut kills = 0;
    for attempt in 1.. {
        assert!(attempt < 100, "the experiment does not get on");
        let mut command = tchvision(&["experiment", "run"]);
        let mut child = command.arg(&file).arg("--out").arg(&killed).args(["--jobs", "2"]).spawn().unwrap();
        sleep(duration.mul_f64(0.3 + 0.1 * f64::from(attempt)));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(kills >= 1);
    assert_eq!(numbers(&whole), numbers(&killed));
    assert_eq!(trials(&whole).len(), 4);
    for (a, b) in trials(&whole).iter().zip(trials(&killed)) {
        assert!(bits(&a.join("last.safetensors")) == bits(&b.join("last.safetensors")), "{}", a.display());
    }
}

#[cfg(unix)]
#[test]
fn interrupted_an_experiment_saves_and_goes_on() {
    let lab = Lab::new();
    let file = yaml(&lab, "stopped", WIDTHS);
    let dir = lab.dir("stopped");
    let mut command = tchvision(&["experiment", "run"]);
    let child =
        command.arg(&file).arg("--out").arg(&dir).args(["--jobs", "2", "train.epochs=200"]).spawn().unwrap();
    let began = |seed: u32| dir.join(format!("trials/width=0.5_seed={seed}/metrics.jsonl")).exists();
    while !(began(0) && began(1)) {
        sleep(Duration::from_millis(10));
    }
    let status =
        json(&tchvision(&["experiment", "status", dir.to_str().unwrap(), "--json"]).output().unwrap());
    let states: Vec<&str> = status.as_array().unwrap().iter().map(|t| t["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["running", "running", "waiting", "waiting"]);
    Command::new("kill").arg("-INT").arg(child.id().to_string()).status().unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(75), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("run the same command again to go on"), "{}", text(&out.stderr));
    assert!(dir.join("trials/width=0.5_seed=0/last.safetensors").exists());
    // The directory stands for the experiment, the overrides included.
    let plan = json(&tchvision(&["experiment", "plan", dir.to_str().unwrap(), "--json"]).output().unwrap());
    assert_eq!(plan["experiment"], "stopped");
    let again = run(&file, &dir, &[]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("ran with another configuration"), "{}", text(&again.stderr));
}

#[test]
fn a_trial_that_fails_does_not_stop_the_others() {
    let lab = Lab::new();
    let file = yaml(&lab, "failing", "axes: {train.optimizer.sgd.lr: [0.05, 1.0e+30]}\n");
    let dir = lab.dir("failing");
    let out = run(&file, &dir, &["--jobs", "1"]);
    assert_eq!(out.status.code(), Some(1));
    let said = text(&out.stderr);
    assert!(said.contains("1 trial(s) failed: lr=1e+30_seed=0"), "{said}");
    let status =
        json(&tchvision(&["experiment", "status", dir.to_str().unwrap(), "--json"]).output().unwrap());
    assert_eq!((&status[0]["state"], &status[1]["state"]), (&"done".into(), &"failed".into()));
    assert!(status[1]["reason"].as_str().unwrap().contains("the training loss is"), "{status}");
    let report = fs::read_to_string(dir.join("report.md")).unwrap();
    assert!(report.contains("not done") && report.contains("lr=1e+30_seed=0"), "{report}");
    assert_eq!(numbers(&dir)[2][4], "nan");
}

#[test]
fn only_what_is_missing_runs() {
    let lab = Lab::new();
    let file = yaml(&lab, "grown", "axes: {model.width: [0.5, 1.0]}\n");
    let dir = lab.dir("grown");
    let finished = |out: &Output| text(&out.stderr).lines().filter(|line| line.contains("top-1")).count();
    let first = run(&file, &dir, &["--only", "width=1.0"]);
    assert_eq!((first.status.success(), finished(&first)), (true, 1), "{}", text(&first.stderr));
    let rest = run(&file, &dir, &[]);
    assert_eq!((rest.status.success(), finished(&rest)), (true, 1), "{}", text(&rest.stderr));
    assert_eq!(finished(&run(&file, &dir, &[])), 0);
    let file = yaml(&lab, "grown", "axes: {model.width: [0.5, 1.0, 1.5]}\n");
    let grown = run(&file, &dir, &[]);
    assert_eq!((grown.status.success(), finished(&grown)), (true, 1), "{}", text(&grown.stderr));
    assert_eq!(numbers(&dir).len(), 4);
}

#[test]
fn the_report_has_table_pictures_and_needs_no_network() {
    let lab = Lab::new();
    let rest = "axes: {model.depth: [10, 16]}\nmatch: {params: base, by: model.width, tolerance: 0.05}\nseeds: 2\n\
                report: {x: model.depth, y: loss}\n";
    let file = yaml(&lab, "report", rest);
    let dir = lab.dir("report");
    let out = run(&file, &dir, &[]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let said = text(&out.stdout);
    for part in ["Which?", "depth", "width", "Best is depth ", "standard error", "report.html", "--logdir"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let rows = numbers(&dir);
    let titles = "model.depth,params,macs,activations,top1_mean,top1_std,loss_mean,seeds,model.width";
    assert_eq!(
        rows[0].iter().filter(|t| *t != "images_per_second").cloned().collect::<Vec<_>>().join(","),
        titles
    );
    let params = |row: &[String]| row[1].parse::<f64>().unwrap();
    assert!((params(&rows[2]) / params(&rows[1]) - 1.0).abs() < 0.05, "{rows:?}");
    assert_eq!(rows[1][7], "2");
    let html = fs::read_to_string(dir.join("report.html")).unwrap();
    assert_eq!(html.matches("<svg").count(), 3);
    let addresses = html.split("http").skip(1).filter(|rest| !rest.starts_with("://www.w3.org/"));
    assert_eq!(addresses.count(), 0, "the page names another address than the SVG name space");
    assert!(!html.contains("<link") && !html.contains(" src="));
    for file in ["report.md", "over_axis.svg", "pareto.svg", "curves.svg", "plan.json", "experiment.yaml"] {
        assert!(dir.join(file).exists(), "{file}");
    }
    // The mean in the table is the mean of the results.
    let top1 = |path: &PathBuf| {
        let result: Value = serde_json::from_slice(&fs::read(path.join("result.json")).unwrap()).unwrap();
        result["top1"].as_f64().unwrap()
    };
    let results: Vec<f64> = trials(&dir)
        .iter()
        .filter(|path| path.ends_with("depth=10_seed=0") || path.ends_with("depth=10_seed=1"))
        .map(top1)
        .collect();
    let mean = (results[0] + results[1]) / 2.0;
    let std = ((results[0] - mean).powi(2) + (results[1] - mean).powi(2)).sqrt();
    assert!((rows[1][4].parse::<f64>().unwrap() - mean).abs() < 1e-9);
    assert!((rows[1][5].parse::<f64>().unwrap() - std).abs() < 1e-9);
}

/// TensorBoard's own reader, from the virtual environment that `make test` makes.
#[test]
fn tensorboard_reads_curves_and_hparams() {
    let lab = Lab::new();
    let file = yaml(&lab, "board", "axes: {model.width: [0.5, 1.0]}\n");
    let dir = lab.dir("board");
    assert!(run(&file, &dir, &[]).status.success());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".venv/bin/python");
    assert!(python.exists(), "{}: `make test` makes it", python.display());
    let out =
        Command::new(python).arg(root.join("tests/read_events.py")).arg(dir.join("trials")).output().unwrap();
    let read = json(&out);
    for trial in trials(&dir) {
        let name = trial.file_name().unwrap().to_string_lossy().into_owned();
        let rows = fs::read_to_string(trial.join("metrics.jsonl")).unwrap();
        let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for (tag, key) in
            [("top1/test", "test_top1"), ("loss/train", "train_loss"), ("loss/test", "test_loss")]
        {
            let curve = read[&name]["scalars"][tag].as_array().unwrap();
            assert_eq!(curve.len(), 3, "{name} {tag}");
            for (point, row) in curve.iter().zip(&rows) {
                assert_eq!(point[0], row["epoch"]);
                let (got, want) = (point[1].as_f64().unwrap(), row[key].as_f64().unwrap());
                assert!((got - want).abs() <= 1e-6 * want.abs().max(1.0), "{name} {tag}: {got} {want}");
            }
        }
        let hparams = &read[&name]["hparams"];
        assert_eq!(hparams["train.optimizer.sgd.lr"], 0.05);
        assert_eq!(hparams["model.name"], "paper/wrn_16_4");
        assert!(name.contains(&format!("width={}", hparams["model.width"])), "{name} {hparams}");
        assert_eq!(read[&name]["status"], "STATUS_SUCCESS");
    }
    assert_eq!(read["metrics"], serde_json::json!(["images_per_second", "loss/test", "top1/test"]));
}
