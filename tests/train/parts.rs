//! Which parameters a run trains and how fast, against timm's groups; frozen stages and their features.

use crate::common::golden;
use crate::common::lab::{Lab, bits, kill_until_done, text, written};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use tchvision::models;
use tchvision::train::{self, RunConfig, Treatment};
use tchvision::weights::StateFile;
use tchvision::yaml::{Document, Override};

fn groups(lab: &Lab, model: &str) -> Vec<Treatment> {
    let path = lab.folder.path().join("groups.yaml");
    let text = format!(
        "model: {{name: {model}}}\ndata: {{dataset: imagenet-1k, image_size: 224}}\n\
         train: {{layer_decay: 0.75, decay_norm_and_bias: false, optimizer: {{adamw: {{weight_decay: 0.05}}}}}}\n"
    );
    fs::write(&path, text).unwrap();
    train::groups(&RunConfig::read(&Document::read(&path, Vec::<Override>::new()).unwrap()).unwrap()).unwrap()
}

/// The model's name here: timm's, or torchvision's where the networks are the same.
fn known(model: &str) -> String {
    let timm = format!("timm/{model}");
    if models::find(&timm).is_ok() { timm } else { format!("torchvision/{model}") }
}

/// torchvision's key of a parameter for timm's, where they differ.
fn own(model: &str, key: &str) -> String {
    if model != "convnext_tiny" {
        return key.to_owned();
    }
    let parts: Vec<&str> = key.split('.').collect();
    let stage = |i: &str, step: usize| 2 * i.parse::<usize>().unwrap() + step;
    match parts.as_slice() {
        ["stem", rest @ ..] => format!("features.0.{}", rest.join(".")),
        ["stages", i, "downsample", rest @ ..] => format!("features.{}.{}", stage(i, 0), rest.join(".")),
        ["stages", i, "blocks", block, "gamma"] => format!("features.{}.{block}.layer_scale", stage(i, 1)),
        ["stages", i, "blocks", block, rest @ .., last] => {
            let part = match rest.join(".").as_str() {
                "conv_dw" => 0,
                "norm" => 2,
                "mlp.fc1" => 3,
                _ => 5,
            };
            format!("features.{}.{block}.block.{part}.{last}", stage(i, 1))
        }
        ["head", "norm", last] => format!("classifier.0.{last}"),
        _ => format!("classifier.2.{}", parts[parts.len() - 1]),
    }
}

#[test]
fn layers_are_those_that_timm_counts() {
    let lab = Lab::new();
    let golden = golden("groups.json");
    for (model, wanted) in golden.as_object().unwrap() {
        // torchvision's layer scales have three dimensions, and decay.
        let decay = |name: &str, decay: f64| if name.ends_with("layer_scale") { 0.0 } else { decay };
        let of = |name: &str, [scale, weight_decay]: [f64; 2]| {
            (name.to_owned(), [scale.to_bits(), decay(name, weight_decay).to_bits()])
        };
        let found = groups(&lab, &known(model));
        let found: BTreeMap<_, _> =
            found.iter().map(|group| of(&group.name, [group.lr_scale, group.weight_decay])).collect();
        let wanted = wanted.as_array().unwrap().iter().flat_map(|group| {
            let numbers = [0, 1].map(|i| group[i].as_f64().unwrap());
            let names = group[2].as_array().unwrap();
            names.iter().map(move |name| of(&own(model, name.as_str().unwrap()), numbers))
        });
        assert_eq!(found, wanted.collect(), "{model}");
    }
    // The same networks by torchvision's keys.
    for (timm, torchvision) in [
        ("timm/vit_base_patch16_224", "torchvision/vit_b_16"),
        ("timm/swin_tiny_patch4_window7_224", "torchvision/swin_t"),
        ("timm/efficientnet_b0", "torchvision/efficientnet_b0"),
    ] {
        let scales = |model: &str| {
            let mut scales: Vec<_> = groups(&lab, model)
                .into_iter()
                .map(|group| (group.lr_scale.to_bits(), group.shape.iter().product::<i64>()))
                .collect();
            scales.sort();
            scales
        };
        assert_eq!(scales(timm), scales(torchvision), "{torchvision}");
    }
}

fn tensors(dir: &Path) -> HashMap<String, Vec<u8>> {
    bits(&dir.join("last.safetensors")).into_iter().filter(|(name, _)| !name.starts_with("optim.")).collect()
}

/// The keys whose bits differ.
fn changed(a: &Path, b: &Path) -> Vec<String> {
    let (a, b) = (tensors(a), tensors(b));
    let mut keys: Vec<String> =
        a.into_iter().filter(|(key, bits)| b[key] != *bits).map(|(key, _)| key).collect();
    keys.sort();
    keys
}

#[test]
fn what_is_frozen_stays_to_the_bit_with_its_statistics() {
    let lab = Lab::new();
    let run = |name: &str, train: &str, arguments: &[&str]| {
        let yaml = lab.yaml(name, &format!("epochs: 1, {train}"));
        let output = lab.command(&yaml, &lab.dir(name)).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    run("source", "optimizer: {sgd: {lr: 0.1}}", &[]);
    let source = lab.dir("source");
    let init = format!("init={}", source.display());
    let stderr = run("stages", "freeze: [stem, 'layer[12]']", &[&init]);
    assert!(stderr.contains("of them frozen"), "{stderr}");
    let parts: Vec<String> = changed(&source, &lab.dir("stages"));
    assert!(
        parts
            .iter()
            .all(|key| !key.starts_with("conv1") && !key.starts_with("layer1") && !key.starts_with("layer2"))
    );
    for key in
        ["layer3.0.conv1.weight", "layer3.0.bn1.running_mean", "layer3.0.bn1.num_batches_tracked", "fc.bias"]
    {
        assert!(parts.iter().any(|part| part == key), "{key}: {parts:?}");
    }
    run("probe", "freeze: all", &[&init]);
    assert_eq!(changed(&source, &lab.dir("probe")), ["fc.bias", "fc.weight"]);
    run("norms", "freeze: ['layer.*bn\\d']", &[&init]);
    let parts = changed(&source, &lab.dir("norms"));
    assert!(
        parts.iter().all(|key| !key.contains(".bn")) && parts.iter().any(|key| key.starts_with("layer1."))
    );

    // Twice the rate is twice the step, and none is none.
    let step = "steps: 1, optimizer: {sgd: {lr: 0.5, momentum: 0}}, schedule: {constant: {}}";
    run("plain", step, &[&init]);
    run(
        "groups",
        &format!("{step}, groups: [{{match: fc, lr_scale: 2}}, {{match: stem, lr_scale: 0}}]"),
        &[&init],
    );
    let file = |name: &str| StateFile::open(&lab.dir(name).join("last.safetensors")).unwrap();
    let moved = |name: &str, key: &str| &*file(name).get(key).unwrap() - &*file("source").get(key).unwrap();
    let (once, twice) = (moved("plain", "fc.weight"), moved("groups", "fc.weight"));
    assert!(
        (&once * 2.0 - &twice).abs().max().double_value(&[]) < 1e-7
            && once.abs().max().double_value(&[]) > 1e-4
    );
    assert!(moved("plain", "conv1.weight").abs().max().double_value(&[]) > 0.0);
    assert_eq!(moved("groups", "conv1.weight").abs().max().double_value(&[]), 0.0);
}

#[test]
fn patterns_that_match_nothing_name_what_is_near_before_anything_runs() {
    let lab = Lab::new();
    let yaml = lab.yaml("wrong", "epochs: 1");
    for (given, says) in [
        ("train.freeze=[layer4]", "`layer3`"),
        ("train.freeze=layer1.0.conv9", "`layer1.0.conv1`"),
        ("train.freeze=[all, head]", "nothing is left to train"),
        ("train.freeze=['lay(er']", "no pattern"),
        ("train.groups=[{match: fcc, lr_scale: 2}]", "it has the stages stem, layer1, layer2"),
        ("train.groups=[{match: fc, lr_scale: -1}]", "from 0 up"),
        ("train.layer_decay=1.5", "at most 1"),
    ] {
        let output = lab.command(&yaml, &lab.dir("wrong")).arg(given).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{given}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(says), "{given}: {}", text(&output.stderr));
        assert!(!lab.dir("wrong").exists());
    }
    let output = lab
        .command(&yaml, &lab.dir("wrong"))
        .args(["train.freeze=all", "--groups", "--json"])
        .output()
        .unwrap();
    let groups: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let trained: Vec<_> =
        groups.iter().filter(|group| group["trained"] == true).map(|group| &group["name"]).collect();
    assert_eq!(trained, ["fc.weight", "fc.bias"]);
    assert_eq!(groups[0]["shape"], serde_json::json!([16, 1, 3, 3]));
    assert!(!lab.dir("wrong").exists());
}

/// Without augmentation and dropout the features of the frozen stages are computed once; the numbers are the same within
/// rounding, and after kills to the bit.
#[test]
fn cached_features_train_as_the_frozen_stages_do() {
    let lab = Lab::new();
    let plain = ["data.augment=[]", "model.block_dropout=0"];
    let run = |name: &str, more: &[&str]| {
        let yaml = lab.yaml(name, "epochs: 6, save_every: 3, ema: 0.9, freeze: [stem, layer1, layer2], optimizer: {sgd: {lr: 0.05}}");
        let mut command = lab.command(&yaml, &lab.dir(name));
        command.args(plain).args(more);
        command
    };
    for (name, more) in [("cached", &[][..]), ("computed", &["train.cache_features=false"])] {
        let output = run(name, more).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let [cached, computed] = ["cached", "computed"].map(|name| {
        let text = fs::read_to_string(lab.dir(name).join("result.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    });
    let [a, b] = [&cached, &computed].map(|result| result["loss"].as_f64().unwrap());
    assert!((a - b).abs() < 1e-3 * b, "{a} {b}");

    // L-BFGS on all of them at once keeps its history.
    let lbfgs = "train.optimizer={lbfgs: {line_search_fn: strong_wolfe, history_size: 5, max_iter: 4}}";
    let probe =
        ["train.batch_size=320", "train.save_every=1", "train.freeze=all", "train.schedule=constant", lbfgs];
    assert!(run("probe", &probe).output().unwrap().status.success());
    let killed = lab.dir("killed-probe");
    let start = || run("killed-probe", &probe).spawn().unwrap();
    assert!(kill_until_done(start, || written(&killed.join("last.safetensors"))) > 0);
    assert!(bits(&killed.join("last.safetensors")) == bits(&lab.dir("probe").join("last.safetensors")));

    let killed = lab.dir("killed");
    let start = || run("killed", &[]).spawn().unwrap();
    assert!(kill_until_done(start, || written(&killed.join("last.safetensors"))) > 0);
    assert!(bits(&killed.join("last.safetensors")) == bits(&lab.dir("cached").join("last.safetensors")));
    assert!(bits(&killed.join("best.safetensors")) == bits(&lab.dir("cached").join("best.safetensors")));
}
