//! A study answers its question: choices that leave the test images alone, trials that start from others, and words where
//! the numbers say nothing.

use super::common::lab::{Lab, bits};
use super::yard::{Yard, json};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// An experiment over images in memory, of a small net.
fn experiment(yard: &Yard, name: &str, data: &Path, keys: &str, rest: &str) {
    let text = format!(
        "question: Which?\nbase:\n  \
         model: {{name: paper/wrn_16_4, num_layers: 10, width: 0.5, in_chans: 1, num_classes: 4}}\n  \
         data: {{dataset: 'idx:{}'}}\n  train: {{epochs: 4, batch_size: 32, optimizer: {{sgd: {{lr: 0.05}}}}}}\n  \
         threads: 1\n{keys}{rest}",
        data.display()
    );
    yard.write(&format!("{name}.yaml"), &text);
}

/// The labels of the test images, each replaced by the next class.
fn spoil_test_labels(data: &Path) {
    let file = data.join("t10k-labels-idx1-ubyte");
    let mut bytes = fs::read(&file).unwrap();
    bytes[8..].iter_mut().for_each(|label| *label = (*label + 1) % 4);
    fs::write(file, bytes).unwrap();
}

fn rows(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn no_choice_reads_a_test_image_where_there_are_validation_images() {
    let yard = Yard::new();
    let (right, wrong) = (Lab::new(), Lab::new());
    spoil_test_labels(wrong.folder.path());
    for (name, lab) in [("right", &right), ("wrong", &wrong)] {
        let data = lab.folder.path();
        let halving =
            "axes: {train.optimizer.sgd.lr: [0.0, 0.002, 0.05, 0.1]}\nhalving: {first: 1, factor: 2}\n";
        experiment(&yard, &format!("{name}_halving"), data, "", halving);
        let search = "search: {alpha: [1.0], beta: [1.0, 1.2], gamma: [1.0, 1.4], constraint: beta * gamma, target: 1.3, \
                      tolerance: 0.2}\nscale: {phi: [0, 1]}\n";
        experiment(&yard, &format!("{name}_search"), data, "", search);
        let more = ["data.validation=0.25", "train.keep_best=2"].join(" ");
        yard.ok(&format!("experiment run {name}_halving.yaml {more}"));
        yard.ok(&format!("experiment run {name}_search.yaml {more} scale.depth=model.num_layers"));
        let run = format!(
            "model: {{name: paper/wrn_16_4, num_layers: 10, width: 0.5, in_chans: 1, num_classes: 4}}\n\
             data: {{dataset: 'idx:{}', validation: 80}}\n\
             train: {{epochs: 30, batch_size: 32, patience: 2, optimizer: {{sgd: {{lr: 0.05}}}}}}\nthreads: 1\n",
            data.display()
        );
        yard.write(&format!("{name}.yaml"), &run);
        yard.ok(&format!("train {name}.yaml --out runs/{name}"));
    }
    let same = |file: &str| {
        let [a, b] = ["right", "wrong"].map(|name| {
            fs::read_to_string(yard.path(&format!("runs/{name}{file}")))
                .unwrap_or_else(|e| panic!("{file}: {e}"))
        });
        assert_eq!(a, b, "{file}");
    };
    same("_halving/halving.json");
    let ladder = |name: &str| json(&yard.path(&format!("runs/{name}_search/plan.json")))["trials"].clone();
    assert_eq!(ladder("right"), ladder("wrong"));
    let [right, wrong] = ["right", "wrong"].map(|name| json(&yard.path(&format!("runs/{name}/result.json"))));
    for key in ["best_epoch", "best_top1", "epochs", "validation_top1", "validation_loss", "validation_top5"]
    {
        assert!(right[key].is_number(), "{key}: {right}");
        assert_eq!(right[key], wrong[key], "{key}");
    }
    assert!(right["top1"].as_f64() > Some(80.0) && wrong["top1"].as_f64() < Some(20.0), "{right} {wrong}");
    assert_eq!(
        bits(&yard.path("runs/right/best.safetensors")),
        bits(&yard.path("runs/wrong/best.safetensors"))
    );
    for row in rows(&yard.path("runs/right")) {
        assert!(row["test_top1"].is_null() && row["test_loss"].is_null(), "read before the end: {row}");
        assert!(row["validation_top1"].is_number() && row["validation_top5"].is_number(), "{row}");
    }
    // What `eval` finds of the same weights on the same test images.
    let found = yard.json("eval --run runs/right --json");
    assert_eq!((&found["top1"], &found["images"]), (&right["top1"], &100.into()));
    // Without them the choice is told to flatter.
    let plan = yard.json("experiment plan right_halving.yaml --json");
    assert!(plan["concerns"][0].as_str().unwrap().contains("`halving` chooses by the test images"), "{plan}");
}

#[test]
fn validation_images_are_the_same_for_every_seed_and_never_trained_on() {
    use std::collections::HashSet;
    use tchvision::data::{DataConfig, Loaded, Pictures};
    let lab = Lab::new();
    let load = |validation: &str, seed: u64| {
        let text = format!("{{dataset: 'idx:{}', {validation}}}", lab.folder.path().display());
        let config: DataConfig = tchvision::yaml::parse(&text, "data").unwrap();
        config.load(seed).unwrap()
    };
    let images = |pictures: &Pictures| -> HashSet<Vec<u8>> {
        let Pictures::Memory(data) = pictures else { panic!("in memory") };
        (0..data.images.count).map(|i| data.images.get(i).to_vec()).collect()
    };
    let Loaded { train: all, validation: None, test, .. } = load("", 0) else { panic!("none was asked for") };
    let first = images(load("validation: 0.25", 0).validation.as_ref().unwrap());
    for seed in [0, 7] {
        let loaded = load("validation: 80, train: 100", seed);
        let (train, validation) = (images(&loaded.train), images(loaded.validation.as_ref().unwrap()));
        assert_eq!((train.len(), validation.len()), (100, 80));
        assert_eq!(validation, first);
        assert!(train.is_disjoint(&validation));
        assert!(train.union(&validation).all(|image| images(&all).contains(image)));
        assert_eq!(images(&loaded.test), images(&test));
    }
}

#[test]
fn a_trial_starts_from_the_weights_of_another_of_its_seed() {
    let yard = Yard::new();
    let lab = Lab::new();
    // The second is planned first and runs after; nothing changes its weights.
    let variants = "variants:\n  \
        shallow-again: {init: {trial: shallow}, train.optimizer.sgd.lr: 0.0, train.epochs: 1}\n  \
        deep: {model.num_layers: 16, init: {trial: shallow, layers: {conv1: conv1, fc: fc}}, train.optimizer.sgd.lr: 0.0, train.epochs: 1}\n  \
        shallow: {train.epochs: 1}\nseeds: 2\n";
    experiment(&yard, "e", lab.folder.path(), "", variants);
    let plan = yard.json("experiment plan e.yaml --json");
    let after: Vec<&Value> = plan["trials"].as_array().unwrap().iter().map(|trial| &trial["after"]).collect();
    let [zero, one] = ["shallow_seed=0", "shallow_seed=1"].map(Value::from);
    assert_eq!(after, [&zero, &one, &zero, &one, &Value::Null, &Value::Null]);
    yard.ok("experiment run e.yaml --jobs 2 --out elsewhere");
    let weights = |id: &str| {
        let file = yard.path(&format!("elsewhere/trials/{id}/last.safetensors"));
        let all = bits(&file).into_iter();
        all.filter(|(name, _)| !name.contains("running") && !name.contains("tracked")).collect::<Vec<_>>()
    };
    let of = |all: &[(String, Vec<u8>)], name: &str| all.iter().find(|(n, _)| n == name).unwrap().1.clone();
    for seed in 0..2 {
        let [shallow, again, deep] =
            ["shallow", "shallow-again", "deep"].map(|name| weights(&format!("{name}_seed={seed}")));
        for name in ["fc.weight", "fc.bias", "conv1.weight"] {
            assert_eq!(of(&shallow, name), of(&deep, name), "{name}");
            assert_eq!(of(&shallow, name), of(&again, name), "{name}");
        }
    }
    assert_ne!(of(&weights("shallow_seed=0"), "fc.weight"), of(&weights("shallow_seed=1"), "fc.weight"));
    // Where it is now, it goes on; and alone it says what is missing.
    fs::rename(yard.path("elsewhere"), yard.path("moved")).unwrap();
    let out = yard.ok("experiment run e.yaml --out moved");
    assert!(out.contains("6"), "{out}");
    fs::remove_dir_all(yard.path("moved/trials/deep_seed=1")).unwrap();
    fs::remove_dir_all(yard.path("moved/trials/shallow_seed=1")).unwrap();
    let refused = yard.fails(1, "experiment run e.yaml --out moved --only deep,seed=1");
    assert!(refused.contains("shallow_seed=1 is not done"), "{refused}");
}

#[test]
fn a_start_from_no_other_trial_is_refused_at_its_place() {
    let yard = Yard::new();
    let lab = Lab::new();
    let refused = |variants: &str| {
        experiment(&yard, "e", lab.folder.path(), "", variants);
        yard.fails(2, "experiment plan e.yaml")
    };
    let text = refused("variants:\n  a: {}\n  b: {init: {trial: c}}\n");
    assert!(text.contains("e.yaml:9:21: `c` is no other variant"), "{text}");
    let text = refused("variants:\n  a: {init: {trial: b}}\n  b: {init: {trial: a}}\n");
    assert!(text.contains("starts from a trial that in the end starts from it"), "{text}");
    let text = refused("variants:\n  a: {init: {trial: a}}\n");
    assert!(text.contains("`a` is no other variant"), "{text}");
    let text = refused("variants:\n  a: {}\n  b: {init: {trial: a, from: x.safetensors}}\n");
    assert!(text.contains("either `from: WEIGHTS` or, in an experiment, `trial: VARIANT`"), "{text}");
    // Of several it is the one with the same other settings.
    let axes = "axes: {model.width: [0.5, 1.0]}\nvariants:\n  a: {}\n  b: {init: {trial: a}}\n";
    experiment(&yard, "e", lab.folder.path(), "", axes);
    let plan = yard.json("experiment plan e.yaml --json");
    let after = |id: &str| {
        plan["trials"].as_array().unwrap().iter().find(|t| t["id"] == id).unwrap()["after"].clone()
    };
    assert_eq!(after("b_width=0.5_seed=0"), "a_width=0.5_seed=0");
    assert_eq!(after("b_width=1.0_seed=0"), "a_width=1.0_seed=0");
}

#[test]
fn what_says_nothing_is_said_in_words() {
    let yard = Yard::new();
    let lab = Lab::new();
    let variants = "variants:\n  learns: {}\n  same: {model.width: 0.5}\n  clipped: {train.clip_grad_norm: 1.0e9}\n  \
        still: {train.optimizer.sgd: {lr: 0.001, weight_decay: 1000.0}}\n";
    experiment(&yard, "e", lab.folder.path(), "", variants);
    let text = fs::read_to_string(yard.path("e.yaml")).unwrap();
    yard.write("e.yaml", &text.replace("Which?", "At equal MACs, which is best?"));
    let plan = yard.ok("experiment plan e.yaml");
    assert!(plan.contains("learns; same are one and the same run"), "{plan}");
    yard.ok("experiment run e.yaml");
    let report = fs::read_to_string(yard.path("runs/e/report.md")).unwrap();
    assert!(report.contains("At chance level (25.0 %), so that it has not learned: still."), "{report}");
    assert!(report.contains("learns; same; clipped have the same results to the last digit"), "{report}");
    let (note, verdict) = (
        report.find("**Note:**").unwrap(),
        report.find("Best is").or(report.find("variants are best")).unwrap(),
    );
    assert!(note < verdict, "{report}");
    assert!(!plan.contains("MACs that are"), "{plan}");
    let page = fs::read_to_string(yard.path("runs/e/report.html")).unwrap();
    assert!(page.contains("class=\"concern\">At chance level"), "{page}");

    experiment(&yard, "w", lab.folder.path(), "", "axes: {model.width: [0.5, 1.0]}\n");
    let text = fs::read_to_string(yard.path("w.yaml")).unwrap();
    yard.write("w.yaml", &text.replace("Which?", "At equal MACs, which width?"));
    let plan = yard.ok("experiment plan w.yaml");
    assert!(plan.contains("MACs that are equal, and they are not"), "{plan}");
    // Twice the cost of the base, each by its own knob.
    let twice = "variants: {base: {}, wider: {}, deeper: {}}\n\
        match: {macs: 2 * base, by: {wider: model.width, deeper: model.num_layers}, tolerance: 0.3}\n";
    experiment(&yard, "t", lab.folder.path(), "", twice);
    let plan = yard.json("experiment plan t.yaml --json");
    let macs: Vec<f64> =
        plan["trials"].as_array().unwrap().iter().map(|t| t["macs"].as_f64().unwrap()).collect();
    assert!(macs[1..].iter().all(|macs_of| (macs_of / macs[0] / 2.0 - 1.0).abs() <= 0.3), "{macs:?}");
    assert!(plan["concerns"].is_null(), "{plan}");
    // Points of a search whose measured cost is outside are left out.
    let search = |within: &str| {
        format!(
            "search: {{alpha: [1.0], beta: [1.0, 1.41, 2.0], gamma: [1.0, 1.42], constraint: beta^2 * gamma^2, \
             target: 2.5, tolerance: 1.6{within}}}\nscale: {{depth: model.num_layers}}\n"
        )
    };
    let points = |within: &str| {
        experiment(&yard, "s", lab.folder.path(), "", &search(within));
        yard.json("experiment plan s.yaml --json")["trials"].as_array().unwrap().clone()
    };
    let (all, bounded) = (points(""), points(", within: {macs: [1.5 * base, 2.5 * base]}"));
    let cost = |trial: &Value| trial["macs"].as_f64().unwrap() / macs[0];
    assert!(all.iter().any(|t| cost(t) > 2.5) && bounded.len() < all.len(), "{all:?}");
    assert!(bounded.iter().all(|t| (1.5..=2.5).contains(&cost(t))), "{bounded:?}");
    experiment(&yard, "s", lab.folder.path(), "", &search(", within: {macs: [7 * base, 8 * base]}"));
    let refused = yard.fails(2, "experiment plan s.yaml");
    assert!(refused.contains("no point of the grid costs so: they have macs from"), "{refused}");
}

#[test]
fn accuracy_is_set_against_measured_latency() {
    let yard = Yard::new();
    let lab = Lab::new();
    let widths = "axes: {model.width: [0.5, 4.0]}\nreport: {x: latency, y: top5}\n";
    experiment(&yard, "e", lab.folder.path(), "", widths);
    yard.ok("experiment run e.yaml train.epochs=1");
    let measured = json(&yard.path("runs/e/latency.json"));
    let ms = |id: &str| measured["median_ms"][id].as_f64().unwrap();
    let (narrow, wide) = (ms("width=0.5_seed=0"), ms("width=4.0_seed=0"));
    // Which is faster is not for a test on a busy machine to say.
    assert!(0.0 < narrow && 0.0 < wide, "{measured}");
    let csv = fs::read_to_string(yard.path("runs/e/results.csv")).unwrap();
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let at = lines[0].iter().position(|title| *title == "latency_ms").unwrap();
    assert_eq!([&lines[1], &lines[2]].map(|line| line[at].parse::<f64>().unwrap()), [narrow, wide]);
    // Measured once on a machine.
    yard.ok("experiment report runs/e");
    assert_eq!(json(&yard.path("runs/e/latency.json")), measured);
    let report = fs::read_to_string(yard.path("runs/e/report.md")).unwrap();
    assert!(report.contains("ms an image") && report.contains("(latency.svg)"), "{report}");
    assert!(report.contains("Top-5 over latency"), "{report}");
}

/// SENet's figure over a run here, held to timm's own gates of the same weights.
#[test]
fn excitations_are_those_that_timm_computes() {
    let yard = Yard::new();
    yard.write_run(
        "se",
        "model: {name: timm/seresnet18}\ndata: {dataset: 'folder:pictures', image_size: 32}\n\
         train: {optimizer: {sgd: {lr: 0.01}}}\n",
    );
    yard.ok("train se.yaml train.epochs=1 --out runs/se");
    let rows = yard.json("explain excitations --run runs/se --out figures --batch-size 7 --json");
    assert_eq!(rows.as_array().unwrap().len(), 8, "{rows}");
    assert_eq!((&rows[0]["block"], &rows[7]["channels"]), (&"layer1.0.se".into(), &512.into()));
    for file in ["over_depth.svg", "layer1_0_se.png", "layer4_1_se.svg", "index.html"] {
        assert!(yard.path(&format!("figures/{file}")).is_file(), "{file}");
    }
    let script = r#"
import json, pathlib, sys, timm, torch
from safetensors import safe_open
from safetensors.torch import load_file
folder = pathlib.Path(sys.argv[1])
file = safe_open(folder / "runs/se/last.safetensors", "pt")
model = timm.create_model("seresnet18", num_classes=3).eval()
model.load_state_dict({k: file.get_tensor(k) for k in file.keys() if not k.startswith("optim.")})
gates = {}
for name, module in model.named_modules():
    if name.endswith(".se"):
        module.gate.register_forward_hook(lambda m, i, o, name=name: gates.setdefault(name, []).append(o.flatten(1)))
labels = []
for label, name in enumerate(["blue", "green", "red"]):
    for picture in sorted((folder / "pictures/val" / name).iterdir()):
        tensor = load_file(folder / "inputs" / f"{name}{picture.stem}.safetensors")["input"]
        with torch.no_grad():
            model(tensor)
        labels.append(label)
ours = load_file(folder / "figures/excitations.safetensors")
labels, worst = torch.tensor(labels), 0.0
for name, of in gates.items():
    of = torch.cat(of)
    means = torch.stack([of[labels == label].mean(0) for label in range(3)])
    worst = max(worst, (means - ours[name]).abs().max().item())
print(json.dumps({"blocks": len(gates), "same": sorted(gates) == sorted(ours), "worst": worst}))
"#;
    fs::create_dir(yard.path("inputs")).unwrap();
    for name in ["blue", "green", "red"] {
        for i in 0..11 {
            let picture = format!("pictures/val/{name}/{i:02}.bmp");
            yard.ok(&format!("preprocess {picture} --run runs/se --to inputs/{name}{i:02}.safetensors"));
        }
    }
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let out = std::process::Command::new(python).args(["-c", script]).arg(yard.path("")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let said: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&said["blocks"], &said["same"]), (&8.into(), &true.into()), "{said}");
    assert!(said["worst"].as_f64().unwrap() < 1e-5, "{said}");
    // A model without gates is told so.
    yard.write_run(
        "plain",
        "model: {name: paper/resnet20, num_layers: 8}\ndata: {dataset: 'folder:pictures', image_size: 24}\n",
    );
    yard.ok("train plain.yaml train.epochs=1 --out runs/plain");
    let refused = yard.fails(1, "explain excitations --run runs/plain --out none");
    assert!(refused.contains("no squeeze-and-excitation"), "{refused}");
}
