//! Runs that start from weights: of a run, a file, a folder, public ones, those of the hub.

use crate::common::lab::{Lab, text};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Output;
use tch::{Device, Kind, Tensor};
use tchvision::models::ModelSpec;
use tchvision::nn::Store;
use tchvision::weights::{self, About, StateFile};

/// Nothing learns: what differs from the weights is new.
const STILL: &str = "epochs: 1, steps: 2, optimizer: {sgd: {lr: 0.0}}";

fn run(lab: &Lab, name: &str, arguments: &[&str]) -> Output {
    let yaml = lab.yaml(name, STILL);
    let mut command = lab.command(&yaml, &lab.dir(name));
    command.args(arguments).env("HF_HUB_CACHE", lab.folder.path().join("hub")).env("HF_HUB_OFFLINE", "1");
    command.output().unwrap()
}

fn ok(lab: &Lab, name: &str, arguments: &[&str]) -> String {
    let output = run(lab, name, arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stderr)
}

fn fails(lab: &Lab, name: &str, arguments: &[&str], code: i32) -> String {
    let output = run(lab, name, arguments);
    assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
    text(&output.stderr)
}

fn last(lab: &Lab, name: &str) -> StateFile {
    StateFile::open(&lab.dir(name).join("last.safetensors")).unwrap()
}

fn result(dir: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(dir.join("result.json")).unwrap()).unwrap()
}

/// The parameters of a run that are not those of `weights`.
fn new(lab: &Lab, name: &str, weights: &StateFile) -> Vec<String> {
    let state = last(lab, name);
    let names = state.names().iter().filter(|name| name.ends_with("weight") || name.ends_with("bias"));
    let is_new = |name: &&String| {
        weights.get(name).unwrap().size() != state.get(name).unwrap().size()
            || *weights.get(name).unwrap() != *state.get(name).unwrap()
    };
    names.filter(|name| !name.starts_with("optim.")).filter(is_new).cloned().collect()
}

#[test]
fn a_run_starts_from_another_and_tells_what_is_new() {
    let lab = Lab::new();
    ok(&lab, "source", &["train.optimizer.sgd.lr=0.1", "train.ema=0.5", "data.mean=[0.3]", "data.std=[0.2]"]);
    let dir = lab.dir("source").display().to_string();
    let source = weights::checkpoint_weights(last(&lab, "source"), true).unwrap();
    let raw = weights::checkpoint_weights(last(&lab, "source"), false).unwrap();

    // The averages, with their normalisation; nothing is new.
    ok(&lab, "same", &[&format!("init={dir}")]);
    assert_eq!(new(&lab, "same", &source), Vec::<String>::new());
    let about = About::of(&last(&lab, "same")).unwrap().unwrap();
    assert_eq!((about.input.statistics.mean, about.input.statistics.std), (vec![0.3], vec![0.2]));
    assert_eq!(result(&lab.dir("same"))["parents"][0]["new"], serde_json::Value::Null);
    ok(&lab, "raw", &[&format!("init={{from: {dir}, ema: false}}"), "data.mean=[0.4]"]);
    assert_eq!(new(&lab, "raw", &raw), Vec::<String>::new());
    assert_ne!(new(&lab, "raw", &source), Vec::<String>::new());
    let about = About::of(&last(&lab, "raw")).unwrap().unwrap();
    assert_eq!((about.input.statistics.mean, about.input.statistics.std), (vec![0.4], vec![0.2]));

    // A new head, because it is asked for or because the classes differ.
    let stderr = ok(&lab, "head", &[&format!("init={{from: {dir}, head: new}}")]);
    assert!(stderr.contains("; new: fc.weight, fc.bias"), "{stderr}");
    assert_eq!(new(&lab, "head", &source), ["fc.bias", "fc.weight"]);
    let parent = &result(&lab.dir("head"))["parents"][0];
    assert_eq!(parent["new"], serde_json::json!(["fc.weight", "fc.bias"]));
    let config = fs::read_to_string(lab.dir("head").join("config.yaml")).unwrap();
    assert!(config.contains(parent["sha256"].as_str().unwrap()), "{config}");
    let three = lab.folder.path().join("three.safetensors");
    let tensors = source.names().iter().map(|name| {
        let tensor = source.get(name).unwrap().copy();
        let tensor = if name.starts_with("fc.") { tensor.narrow(0, 0, 3) } else { tensor };
        (name.clone(), tensor.copy())
    });
    weights::save(&three, &tensors.collect::<Vec<_>>(), HashMap::new()).unwrap();
    let init = format!("init={}", three.display());
    ok(&lab, "classes", &[&init]);
    assert_eq!(new(&lab, "classes", &StateFile::open(&three).unwrap()), ["fc.bias", "fc.weight"]);
    let keep = format!("init={{from: {}, head: keep}}", three.display());
    let message = fails(&lab, "keep", &[&keep], 2);
    assert!(message.contains("4 classes") && message.contains("write `head: new`"), "{message}");
    assert!(!lab.dir("keep").exists());

    // Names that nobody knows, paired by hand.
    let strange = lab.folder.path().join("strange.safetensors");
    let map = lab.folder.path().join("pairs.yaml");
    let keys: Vec<String> =
        source.names().iter().filter(|name| !name.ends_with("tracked")).cloned().collect();
    let tensors = keys.iter().enumerate().map(|(i, key)| (format!("t{i}"), source.get(key).unwrap().copy()));
    weights::save(&strange, &tensors.collect::<Vec<_>>(), HashMap::new()).unwrap();
    let lines = keys.iter().enumerate().map(|(i, key)| format!("{key}: t{i}\n"));
    fs::write(&map, lines.collect::<String>()).unwrap();
    let by_map = format!("init={{from: {}, map: {}}}", strange.display(), map.display());
    ok(&lab, "map", &[&by_map]);
    assert_eq!(new(&lab, "map", &source), Vec::<String>::new());

    // Weights that have changed are not those that the run began with.
    weights::save(
        &three,
        &[("fc.bias".to_owned(), Tensor::zeros([3], (Kind::Float, Device::Cpu)))],
        HashMap::new(),
    )
    .unwrap();
    let message = fails(&lab, "classes", &[&init, "train.log_every=1"], 2);
    assert!(message.contains("began with other weights"), "{message}");
    fs::remove_file(&three).unwrap();
    ok(&lab, "classes", &[&init]);
    let message = fails(&lab, "gone", &[&init], 1);
    assert!(message.contains("three.safetensors"), "{message}");
}

#[test]
fn public_weights_are_adapted_to_the_classes_and_channels_of_the_data() {
    let lab = Lab::new();
    let store = Store::new(Device::Cpu);
    ModelSpec::new("resnet18").resolve().unwrap().build(&store).unwrap();
    for repository in ["timm--resnet18.a1_in1k", "me--mine"] {
        let snapshot = lab.folder.path().join(format!("hub/models--{repository}/snapshots/main"));
        fs::create_dir_all(&snapshot).unwrap();
        weights::save(&snapshot.join("model.safetensors"), &store.state_dict(), HashMap::new()).unwrap();
    }
    let model = "model={name: resnet18}";
    let stderr = ok(&lab, "public", &[model, "init=resnet18.a1_in1k"]);
    assert!(stderr.contains("; new: fc.weight, fc.bias"), "{stderr}");
    let state = last(&lab, "public");
    let of = |name: &str| store.state_dict().into_iter().find(|(key, _)| key == name).unwrap().1;
    let summed = of("conv1.weight").sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
    assert_eq!(*state.get("conv1.weight").unwrap(), summed);
    assert_eq!(*state.get("layer4.1.conv2.weight").unwrap(), of("layer4.1.conv2.weight"));
    assert_eq!(state.get("fc.weight").unwrap().size(), [4, 512]);
    // timm's `adapt_to_chs`: the mean over the channels.
    let statistics = About::of(&state).unwrap().unwrap().input.statistics;
    assert!((statistics.mean[0] - 0.449).abs() < 1e-6 && (statistics.std[0] - 0.226).abs() < 1e-6);

    ok(&lab, "hub", &[model, "init=hf:me/mine"]);
    assert_eq!(*last(&lab, "hub").get("layer1.0.bn1.weight").unwrap(), of("layer1.0.bn1.weight"));
    ok(
        &lab,
        "folder",
        &[model, &format!("init={}/hub/models--me--mine/snapshots/main", lab.folder.path().display())],
    );

    for (init, says) in [
        ("resnet18.a1_in2k", "a2_in1k"),
        ("resnet81", "resnet18"),
        ("hf:mine", "hf:OWNER/NAME"),
        ("{from: resnet18, head: old}", "keep"),
        ("{from: resnet18, trial: a}", "takes either"),
        ("{from: resnet18, head: new, layers: {fc: fc}}", "remove one"),
    ] {
        let message = fails(&lab, "wrong", &[model, &format!("init={init}")], 2);
        assert!(message.contains(says), "{init}: {message}");
    }
}
