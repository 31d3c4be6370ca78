//! Experiments: plans, refusals before anything runs, runs that are killed and go on, reports.

use crate::common::lab::{Lab, bits, kill_until_done, text, written};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

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
         base:\n  model: {{name: paper/wrn_16_4, num_layers: 10, width: 0.5, in_chans: 1, num_classes: 4}}\n  \
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
                variants: {plain: {}, dropped: {model.block_dropout: 0.1, train.label_smoothing: 0.1}}\n\
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

/// The plan of a file as JSON.
fn plan(file: &Path) -> Value {
    json(&tchvision(&["experiment", "plan", file.to_str().unwrap(), "--json"]).output().unwrap())
}

#[test]
fn variants_have_axes_of_their_own_and_axes_have_ranges() {
    let lab = Lab::new();
    let rest = "variants:\n  shallow: {model.num_layers: 10, axes: {model.width: {from: 0.5, to: 1.5, step: 0.5}}}\n  \
                deep: {model.num_layers: 16}\naxes: {train.batch_size: {from: 8, to: 32, times: 2}}\n";
    let plan = plan(&yaml(&lab, "nested", rest));
    let ids: Vec<&str> =
        plan["trials"].as_array().unwrap().iter().map(|t| t["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), (3 + 1) * 3);
    assert_eq!(ids[0], "shallow_width=0.5_batch_size=8_seed=0");
    assert_eq!(ids[11], "deep_batch_size=32_seed=0");
}

#[test]
fn samples_are_different_repeatable_and_within_their_costs() {
    let lab = Lab::new();
    let sample = |seed: u64, low: u64| {
        format!(
            "sample:\n  count: 12\n  seed: {seed}\n  of: {{model.width: {{from: 0.5, to: 4.0, log: true}}, model.stem_width: {{from: 8, \
             to: 64, multiple: 8}}, model.kernels: [[3, 3], [3, 1]]}}\n  within: {{params: [{low}, 90000]}}\nseeds: 2\n"
        )
    };
    let first = plan(&yaml(&lab, "sample", &sample(0, 20_000)));
    let trials = first["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 24);
    let variants: std::collections::HashSet<String> =
        trials.iter().map(|t| t["variant"].to_string()).collect();
    assert_eq!(variants.len(), 12);
    assert!(trials.iter().all(|t| (20_000..=90_000).contains(&t["params"].as_u64().unwrap())));
    assert!(trials.iter().all(|t| t["variant"]["model.stem_width"].as_i64().unwrap() % 8 == 0));
    assert_eq!(first, plan(&yaml(&lab, "sample", &sample(0, 20_000))));
    assert_ne!(first["trials"], plan(&yaml(&lab, "sample", &sample(1, 20_000)))["trials"]);
    let out = run(&yaml(&lab, "sample", &sample(0, 89_999)), &lab.dir("sample"), &[]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("of 12 variants found; the others drawn had params from"));
}

/// EfficientNet's knobs are multipliers, ViT's and ResNet's are counts; each takes part as it is.
#[test]
fn compound_scaling_turns_the_knobs_of_any_model() {
    let lab = Lab::new();
    let file = lab.folder.path().join("scaled.yaml");
    let scaled = |model: &str, scale: &str| {
        let text = format!(
            "question: How?\nbase:\n  model: {model}\n  data: {{dataset: imagenet-1k, image_size: 224}}\nscale: {scale}\n"
        );
        fs::write(&file, text).unwrap();
        plan(&file)["trials"].as_array().unwrap().clone()
    };
    let nets = scaled("{name: efficientnet_b0}", "{phi: [0, 1, 2], alpha: 1.2, beta: 1.1, gamma: 1.15}");
    assert_eq!(nets[0]["macs"], 385_814_752_u64);
    let solved = &nets[2]["solved"];
    assert_eq!((&solved["model.depth"], &solved["model.width"]), (&1.44.into(), &1.21.into()));
    assert_eq!(solved["data.image_size"], 296);
    let growth = nets[2]["macs"].as_f64().unwrap() / nets[0]["macs"].as_f64().unwrap();
    assert!((4.0..5.5).contains(&growth), "{growth}");
    let resnets = scaled(
        "{name: resnet50}",
        "{phi: [1], alpha: 2, beta: 2, depth: model.layers, width: model.planes, resolution: data.image_size}",
    );
    assert_eq!(resnets[0]["solved"]["model.layers"], serde_json::json!([6, 8, 12, 6]));
    assert_eq!(resnets[0]["solved"]["model.planes"], serde_json::json!([128, 256, 512, 1024]));
    // Twelve heads must divide the width: 880 is not possible, 876 is the nearest.
    let vits = scaled(
        "{name: timm/vit_base_patch16_224}",
        "{phi: [1], alpha: 1.2, beta: 1.15, gamma: 1.3, depth: model.num_blocks, width: model.embed_dim}",
    );
    let solved = &vits[0]["solved"];
    assert_eq!((&solved["model.num_blocks"], &solved["model.embed_dim"]), (&15.into(), &876.into()));
    assert_eq!(solved["data.image_size"], 291);
}

/// A grid under a constraint, and the best of it on the ladder: one file, two steps.
#[test]
fn a_search_ends_on_the_ladder_of_its_best_point() {
    let lab = Lab::new();
    let rest = "search: {alpha: [1.0, 1.6, 2.6], beta: [1.0, 1.5], gamma: [1.0, 1.3], constraint: alpha * beta^2 * gamma^2, \
                target: 2.4, tolerance: 0.31}\nscale: {phi: [0, 1, 2]}\n";
    let file = yaml(&lab, "search", rest);
    let before = plan(&file);
    let ids = |plan: &Value| -> Vec<String> {
        let trials = plan["trials"].as_array().unwrap().iter();
        trials.map(|t| t["id"].as_str().unwrap().to_owned()).collect()
    };
    let grid = ["phi=1_alpha=1_beta=1.5_gamma=1_seed=0", "phi=1_alpha=1.6_beta=1_gamma=1.3_seed=0"];
    assert_eq!(ids(&before)[..2], grid);
    assert_eq!(ids(&before).len(), 3);
    assert!(before["next"].as_str().unwrap().contains("the best of these"), "{before}");
    let dir = lab.dir("search");
    let out = run(&file, &dir, &["train.epochs=1"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let after = plan(&dir);
    assert_eq!(after["next"], Value::Null);
    let all = ids(&after);
    assert_eq!(all.len(), 5);
    assert_eq!(trials(&dir).len(), 5);
    // The last two have the coefficients of the best of the first three.
    let top1 = |id: &String| {
        let path = dir.join("trials").join(id).join("result.json");
        let result: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        result["top1"].as_f64().unwrap()
    };
    let best = all[..3].iter().max_by(|a, b| top1(a).total_cmp(&top1(b)).then(b.cmp(a))).unwrap();
    let point = best.split_once('_').unwrap().1;
    assert!(all[..3].iter().filter(|id| top1(id) == top1(best)).count() > 1 || all[3].ends_with(point));
    assert!(all[3].starts_with("phi=0_") && all[4].starts_with("phi=2_"), "{all:?}");
    assert_eq!(numbers(&dir).len(), 6);
}

/// Of four variants two go on after the first epoch, and one after the second.
#[test]
fn halving_gives_up_on_the_worse_and_says_so() {
    let lab = Lab::new();
    let rest = "axes: {train.optimizer.sgd.lr: [0.0, 0.02, 0.05, 1.0e-6]}\nhalving: {first: 1, factor: 2}\n";
    let file = yaml(&lab, "halving", rest);
    let dir = lab.dir("halving");
    let out = run(&file, &dir, &["--jobs", "2", "train.epochs=4"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let status =
        json(&tchvision(&["experiment", "status", dir.to_str().unwrap(), "--json"]).output().unwrap());
    let states = |state: &str| -> Vec<(String, u64)> {
        let all = status.as_array().unwrap().iter().filter(|trial| trial["state"] == state);
        all.map(|t| (t["id"].as_str().unwrap().to_owned(), t["epoch"].as_u64().unwrap())).collect()
    };
    let (done, dropped) = (states("done"), states("dropped"));
    assert_eq!((done.len(), dropped.len()), (1, 3), "{status}");
    assert_eq!(done[0].1, 4);
    let mut epochs: Vec<u64> = dropped.iter().map(|(_, epoch)| *epoch).collect();
    epochs.sort_unstable();
    assert_eq!(epochs, [1, 1, 2]);
    let again = run(&dir, &dir, &[]);
    assert!(again.status.success() && !text(&again.stderr).contains("top-1"), "{}", text(&again.stderr));
    let report = fs::read_to_string(dir.join("report.md")).unwrap();
    assert!(report.contains("dropped: among the worse after epoch 1"), "{report}");
}

/// Asynchronously nobody waits: on one place or three the best goes to the end, and records alone decide what is left.
#[test]
fn asynchronous_halving_ends_with_the_best() {
    let lab = Lab::new();
    let rest = "axes: {train.optimizer.sgd.lr: [0.0, 0.05, 1.0e-5, 1.0e-6]}\nhalving: {first: 1, factor: 2, asynchronous: true}\n";
    let file = yaml(&lab, "race", rest);
    for jobs in ["1", "3"] {
        let dir = lab.dir(&format!("race{jobs}"));
        let out = run(&file, &dir, &["--jobs", jobs, "train.epochs=4"]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        let status =
            json(&tchvision(&["experiment", "status", dir.to_str().unwrap(), "--json"]).output().unwrap());
        let state = |id: &str| {
            status.as_array().unwrap().iter().find(|trial| trial["id"] == id).unwrap()["state"].clone()
        };
        assert_eq!(state("lr=0.05_seed=0"), "done", "{status}");
        let dropped = status.as_array().unwrap().iter().filter(|trial| trial["state"] == "dropped").count();
        assert!((1..=3).contains(&dropped), "{status}");
        let again = run(&dir, &dir, &[]);
        assert!(again.status.success() && !text(&again.stderr).contains("top-1"), "{}", text(&again.stderr));
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
    refused("axis: {model.width: [1]}\n", &[], "wrong.yaml:7:1: unknown key `axis`; did you mean `axes`?");
    refused(
        "axes: {model.widht: [1]}\n",
        &[],
        "wrong.yaml:7:8: unknown field `widht` of paper/wrn_16_4; did you mean `width`?",
    );
    refused("axes: {train.epochs: [1, two]}\n", &[], "wrong.yaml:7:26: `train.epochs`: expected a whole");
    refused("axes: {train.epochs: [1, 0]}\n", &[], "wrong.yaml:7:26: variant epochs=0: `train.epochs`: 0");
    refused("axes: {train.epochs: []}\n", &[], "wrong.yaml:7:22: an axis without values");
    refused(
        "axes: {model.width: [1], model.width: [2]}\n",
        &[],
        "wrong.yaml:7:26: the key `axes.model.width` is there twice, first in line 7; remove one",
    );
    refused(
        "axes: {train.optimizer.sgd.lr: [0.1, 1e-1]}\n",
        &[],
        "wrong.yaml:7:38: `0.1` is there twice; remove one",
    );
    refused("axes: {model.num_classes: [4, 5]}\n", &[], "set `model.num_classes: 4`");
    refused(
        "zip: {train.epochs: [1, 2], model.width: [1]}\n",
        &[],
        "wrong.yaml:7:42: 1 values, and `train.epochs` has 2",
    );
    refused("halving: {first: 0}\n", &[], "wrong.yaml:7:10: takes `first` of 1 or more epochs");
    refused("seeds: 0\n", &[], "wrong.yaml:7:8: `seeds`: expected a number of seeds from 1 to 1000");
    refused("report: {x: model.num_layers}\n", &[], "`model.num_layers` is neither an axis nor a cost");
    refused(
        "match: {macs: base, by: model.widht}\n",
        &[],
        "wrong.yaml:7:25: `model.widht` is no knob (the key path of a number",
    );
    refused(
        "variants: {wide: {}}\nmatch: {macs: base, by: {wied: model.width}}\n",
        &[],
        "wrong.yaml:8:26: no variant is called `wied`; did you mean `wide`?",
    );
    refused(
        "variants: {wide: {}}\nmatch: {macs: base, by: {wide: scale.phi}}\n",
        &[],
        "wrong.yaml:8:32: `scale.phi` is no knob (the key path of a number",
    );
    refused(
        "variants: {wide: {model.width: 2}}\nmatch: {macs: base, by: {wide: model.width}}\n",
        &[],
        "wrong.yaml:8:32: the knob is an axis too",
    );
    refused(
        "scale: {phi: [1]}\nmatch: {macs: base, by: scale.phi}\n",
        &[],
        "wrong.yaml:8:25: the knob is an axis too",
    );
    refused("match: {by: model.width}\n", &[], "takes exactly one of");
    refused(
        "axes: {model.width: {from: 1, to: 2}}\n",
        &[],
        "wrong.yaml:7:21: `axes.model.width`: a range takes `step`",
    );
    refused("axes: {scale.alpha: [1]}\n", &[], "wrong.yaml:7:22: there is no `scale` whose key");
    refused(
        "scale: {phi: [1], alpha: 2, depth: model.kernels.x}\n",
        &[],
        "wrong.yaml:7:15: variant phi=1: `model.kernels.x` times 2.0000: the base has no `model.kernels.x`",
    );
    refused("scale: {phi: [1], beta: 2, width: model.block}\n", &[], "which is no number");
    refused(
        "search: {alpha: [1], beta: [1], gamma: [1, 1.2], constraint: alpha * gama, target: 2, tolerance: 0.1}\n",
        &[],
        "wrong.yaml:7:62: `gama` has no value here",
    );
    refused(
        "search: {alpha: [1], beta: [1], gamma: [1, 1.2], constraint: gamma^2, target: 2, tolerance: 0.1}\n",
        &[],
        "the nearest is phi=1, alpha=1, beta=1, gamma=1.2 with 1.4400",
    );
    refused(
        "sample: {count: 2, of: {model.widht: [1, 2]}}\n",
        &[],
        "wrong.yaml:7:25: unknown field `widht` of paper/wrn_16_4",
    );
    refused(
        "zip: {model.width: [1, 2]}\naxes: {model.width: [1]}\n",
        &[],
        "wrong.yaml:7:21: the same key in two places",
    );
    refused(
        "report: {paper: {num_layers=10: {params: 1 M}}}\n",
        &[],
        "wrong.yaml:7:33: no variant has these settings",
    );
    refused(
        "report: {paper: {x: {params: much}}}\n",
        &[],
        "wrong.yaml:7:30: `report.paper.x.params`: expected a number as printed",
    );
    refused(
        "axes: {model.num_layers: [10, 100]}\nmatch: {macs: base, by: model.stem_width, tolerance: 0.01}\n",
        &[],
        "wrong.yaml:7:31: variant num_layers=100: macs cannot be matched to 546176 by `model.stem_width`: the nearest is 7818896 at 1",
    );
    refused("seeds: 1\n", &["model.widht=1"], "`model.widht=1`: ");
    refused(
        "seeds: 1\n",
        &["--only", "seed=5"],
        "seed=5: no such trial: write an ID such as `seed=0`, or KEY=VALUE (--only TRIAL)",
    );
    refused("seeds: 1\n", &["data.dataset=idx:/nowhere"], "/nowhere/train-images-idx3-ubyte.gz is missing");
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
    let out = run(&file, &whole, &["--jobs", "1"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let start = || {
        let mut command = tchvision(&["experiment", "run"]);
        command.arg(&file).arg("--out").arg(&killed).args(["--jobs", "2"]).spawn().unwrap()
    };
    let saved = || {
        let trials = fs::read_dir(killed.join("trials")).ok()?;
        trials.filter_map(|trial| written(&trial.ok()?.path().join("last.safetensors"))).max()
    };
    assert!(kill_until_done(start, saved) > 0);
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
    // So does its file alone, elsewhere.
    let elsewhere = lab.folder.path().join("elsewhere.yaml");
    fs::copy(dir.join("experiment.yaml"), &elsewhere).unwrap();
    let copied =
        json(&tchvision(&["experiment", "plan", elsewhere.to_str().unwrap(), "--json"]).output().unwrap());
    let kept: Value = serde_json::from_slice(&fs::read(dir.join("plan.json")).unwrap()).unwrap();
    assert_eq!((&copied["trials"], &kept["trials"]), (&plan["trials"], &plan["trials"]));
    let again = run(&file, &dir, &[]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("train.epochs is 200 there, 3 here"), "{}", text(&again.stderr));
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
    let report = fs::read_to_string(dir.join("report.md")).unwrap();
    assert!(report.contains("The Pareto front of top-1 over MACs holds"), "{report}");
}

#[test]
fn the_report_has_table_pictures_and_needs_no_network() {
    let lab = Lab::new();
    let rest = "axes: {model.num_layers: [10, 16]}\nmatch: {params: base, by: model.width, tolerance: 0.05}\nseeds: 2\n\
                report: {x: model.num_layers, y: loss, paper: {num_layers=16: {params: 21 k, error: 5.9}}}\n";
    let file = yaml(&lab, "report", rest);
    let dir = lab.dir("report");
    let out = run(&file, &dir, &[]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let said = text(&out.stdout);
    for part in [
        "Which?",
        "num_layers",
        "width",
        "Best is num_layers 1",
        "Over 2 seeds they differ by",
        "minus the first's",
        "report.html",
        "--logdir",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let rows = numbers(&dir);
    let titles =
        "model.num_layers,params,macs,activations,top1_mean,top1_std,loss_mean,seeds,model.width,top5_mean";
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
    let figures = "num_layers 16 | 20.";
    let markdown = fs::read_to_string(dir.join("report.md")).unwrap();
    assert!(markdown.contains(figures) && markdown.contains("| 21 k |"), "{markdown}");
    assert!(markdown.contains(" 1 thread(s) a trial, "), "{markdown}");
    assert!(
        html.contains("Beside the paper") && html.contains("as precisely as it prints them: 1 of 1"),
        "{html}"
    );
    for file in [
        "report.md",
        "over_axis.svg",
        "over_axis.png",
        "pareto.svg",
        "curves.svg",
        "plan.json",
        "experiment.yaml",
    ] {
        assert!(dir.join(file).exists(), "{file}");
    }
    // The mean in the table is the mean of the results.
    let top1 = |path: &PathBuf| {
        let result: Value = serde_json::from_slice(&fs::read(path.join("result.json")).unwrap()).unwrap();
        result["top1"].as_f64().unwrap()
    };
    let results: Vec<f64> = trials(&dir)
        .iter()
        .filter(|path| path.ends_with("num_layers=10_seed=0") || path.ends_with("num_layers=10_seed=1"))
        .map(top1)
        .collect();
    let mean = (results[0] + results[1]) / 2.0;
    let std = ((results[0] - mean).powi(2) + (results[1] - mean).powi(2)).sqrt();
    assert!((rows[1][4].parse::<f64>().unwrap() - mean).abs() < 1e-9);
    assert!((rows[1][5].parse::<f64>().unwrap() - std).abs() < 1e-9);
}

/// TensorBoard's own reader, from the virtual environment that `make test` makes.
#[test]
fn tensorboard_reads_curves_pictures_histograms_and_hparams() {
    let lab = Lab::new();
    let file = yaml(&lab, "board", "axes: {model.width: [0.5, 1.0]}\n");
    let dir = lab.dir("board");
    assert!(run(&file, &dir, &["train.histograms=true"]).status.success());
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
            [("test/top1", "test_top1"), ("train/epoch_loss", "train_loss"), ("test/loss", "test_loss")]
        {
            let curve = read[&name]["scalars"][tag].as_array().unwrap();
            assert_eq!(curve.len(), 3, "{name} {tag}");
            for (point, row) in curve.iter().zip(&rows) {
                assert_eq!(point[0], row["step"]);
                let (got, want) = (point[1].as_f64().unwrap(), row[key].as_f64().unwrap());
                assert!((got - want).abs() <= 1e-6 * want.abs().max(1.0), "{name} {tag}: {got} {want}");
            }
        }
        let filters = &read[&name]["images"]["first filters"];
        // Sixteen of 3×3, sixteen pixels each, in four rows.
        assert_eq!(*filters, serde_json::json!([[30, 196, 196, "89504e47"]]), "{name}");
        let wrong = 100 - rows[2]["test_top1"].as_f64().unwrap() as usize;
        let mistakes =
            read[&name]["images"].as_object().unwrap().keys().filter(|tag| tag.contains(" taken for "));
        assert_eq!(mistakes.count(), wrong.min(8), "{name}");
        let (_, weights) =
            bits(&trial.join("last.safetensors")).into_iter().find(|(n, _)| n == "conv1.weight").unwrap();
        let count = (weights.len() / 4) as f64;
        let histogram = &read[&name]["histograms"]["weights/conv1.weight"];
        assert_eq!(
            *histogram,
            serde_json::json!([[10, count, count], [20, count, count], [30, count, count]]),
            "{name}"
        );
        let hparams = &read[&name]["hparams"];
        assert_eq!(hparams["train.optimizer.sgd.lr"], 0.05);
        assert_eq!(hparams["model.name"], "paper/wrn_16_4");
        assert!(name.contains(&format!("width={}", hparams["model.width"])), "{name} {hparams}");
        assert_eq!(read[&name]["status"], "STATUS_SUCCESS");
    }
    assert_eq!(read["metrics"], serde_json::json!(["test/loss", "test/top1", "train/images_per_second"]));
}
