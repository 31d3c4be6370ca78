//! ViT and Swin beside their logits (parity.rs): weights adapted to other images and classes, features, first values,
//! stochastic depth, frozen passes, memory.

use crate::common::{assert_close, fill, golden, images, value, values};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use tch::{Device, Kind, Tensor};
use tchvision::experiment::Experiment;
use tchvision::models::{Model, ModelSpec};
use tchvision::nn::Store;
use tchvision::weights::{self, Archive, Classes};

/// The rows of one part of transformers.json.
fn rows(part: &str) -> Vec<Value> {
    golden("transformers.json")[part].as_array().unwrap().clone()
}

/// A registered model with fields set.
fn spec(name: &Value, set: &Value) -> ModelSpec {
    let mut spec = ModelSpec::new(name.as_str().unwrap());
    for (field, value) in set.as_object().unwrap() {
        spec.set(field, &value.to_string()).unwrap();
    }
    spec
}

fn build(spec: &ModelSpec) -> (Box<dyn Model>, Store) {
    let store = Store::new(Device::Cpu);
    (spec.resolve().unwrap().build(&store).unwrap(), store)
}

#[test]
fn weights_adapt_to_other_images_channels_and_classes_as_timms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    for case in rows("adapted") {
        let what = format!("{} {}", case["name"], case["set"]);
        let (_, of) = build(&spec(&case["name"], &case["of"]));
        fill(&of);
        weights::save(&path, &of.state_dict(), HashMap::new()).unwrap();

        let spec = spec(&case["name"], &case["set"]);
        let file = Archive::open(&path).unwrap().choose(None).unwrap();
        let pretrained = weights::pretrained(&spec, &file, Classes::New, Device::Cpu).expect(&what);
        let _no_grad = tch::no_grad_guard();
        for (name, tensor) in pretrained.store.state_dict() {
            if pretrained.fresh.contains(&name) {
                tensor.shallow_clone().copy_(&value(&name, &tensor.size()));
            }
        }
        let [c, h, w] = spec.resolve().unwrap().input();
        let x = images(case["name"].as_str().unwrap(), &[2, c, h, w]);
        let logits = pretrained.model.forward(&x, false).unwrap();
        assert_close(&what, &values(&logits), &case["logits"], 1e-4);
    }
}

#[test]
fn features_are_what_timm_takes_from_every_block_and_stage() {
    for case in rows("intermediate") {
        let name = case["name"].as_str().unwrap();
        let spec = spec(&case["name"], &case["set"]);
        let (net, store) = build(&spec);
        fill(&store);
        let [c, h, w] = spec.resolve().unwrap().input();
        let features = tch::no_grad(|| net.features(&images(name, &[2, c, h, w]), false)).unwrap();
        // The first is the embedding.
        let features = &features[1..];
        let wanted = case["features"].as_array().unwrap();
        assert_eq!(features.len(), wanted.len(), "{name}");
        for ((stage, feature), wanted) in features.iter().zip(wanted) {
            let shape: Vec<i64> = serde_json::from_value(wanted["shape"].clone()).unwrap();
            // timm's tokens are those of the patches, which come last.
            let prefix = feature.size()[1] - shape[1];
            let feature = feature.narrow(1, prefix, shape[1]).contiguous();
            assert_eq!(feature.size(), shape, "{name}: {stage}");
            let step = (feature.numel() / 16).max(1);
            let some: Vec<f64> = values(&feature).into_iter().step_by(step).take(16).collect();
            assert_close(&format!("{name}: {stage}"), &some, &wanted["values"], 1e-4);
        }
    }
}

#[test]
fn parameters_start_as_the_libraries() {
    for case in rows("started") {
        let name = case["name"].as_str().unwrap();
        let (_, store) = build(&spec(&case["name"], &case["set"]));
        let moments = case["moments"].as_object().unwrap();
        assert_eq!(store.parameters().len(), moments.len(), "{name}");
        for (key, tensor) in store.parameters() {
            let [mean, deviation]: [f64; 2] = serde_json::from_value(moments[&key].clone()).unwrap();
            let tensor = tensor.detach().to_kind(Kind::Double);
            let (our_mean, ours) = (tensor.mean(Kind::Double), tensor.std(false));
            let (our_mean, ours) = (our_mean.double_value(&[]), ours.double_value(&[]));
            // Five deviations of what two draws of so many values differ by.
            let noise = 5.0 * (2.0 / tensor.numel() as f64).sqrt() * deviation;
            assert!(
                (our_mean - mean).abs() <= noise + 1e-6 * mean.abs(),
                "{name}: {key} has mean {our_mean}, not {mean}"
            );
            assert!((ours - deviation).abs() <= noise, "{name}: {key} has deviation {ours}, not {deviation}");
        }
    }
}

/// A tiny net of each structure.
const STRUCTURES: [(&str, &str); 14] = [
    ("paper/vit_tiny_32", "{}"),
    ("paper/vit_tiny_32", r#"{"keys": "torchvision"}"#),
    ("timm/vit_base_patch32_clip_quickgelu_224", r#"{"image_size": 64}"#),
    ("timm/vit_base_patch16_siglip_224", r#"{"image_size": 32}"#),
    ("timm/vit_base_patch16_siglip_gap_256", r#"{"image_size": 32}"#),
    ("timm/vit_small_patch14_reg4_dinov2", r#"{"image_size": 28}"#),
    ("timm/vit_giant_patch14_dinov2", r#"{"image_size": 28}"#),
    ("timm/deit3_small_patch16_224", r#"{"image_size": 32}"#),
    ("timm/deit_tiny_distilled_patch16_224", r#"{"image_size": 32}"#),
    ("paper/swin_tiny_32", "{}"),
    ("paper/swin_tiny_32", r#"{"keys": "torchvision", "image_size": 28}"#),
    ("paper/swin_tiny_32", r#"{"position": "absolute", "window": 3}"#),
    ("paper/swin_v2_tiny_32", "{}"),
    ("paper/swin_v2_tiny_32", r#"{"keys": "torchvision", "image_size": 28}"#),
];

/// The same with two blocks, or two stages of two, of few channels.
fn tiny(name: &str, set: &str) -> ModelSpec {
    let mut spec = spec(&name.into(), &serde_json::from_str(set).unwrap());
    let small = match name.contains("swin") {
        true => [("depths", "[2, 2]"), ("embed_dim", "24"), ("heads", "[2, 4]")],
        false => [("num_blocks", "2"), ("embed_dim", "48"), ("heads", "3")],
    };
    small.iter().for_each(|(field, value)| spec.set(field, value).unwrap());
    spec
}

#[test]
fn frozen_passes_give_the_same_logits() {
    for (name, set) in STRUCTURES {
        let spec = tiny(name, set);
        let (net, store) = build(&spec);
        fill(&store);
        let [c, h, w] = spec.resolve().unwrap().input();
        let x = images("frozen", &[3, c, h, w]);
        let pass = || tch::no_grad(|| net.forward(&x, false)).unwrap();
        let plain = pass();
        let largest = plain.abs().max().double_value(&[]);
        for (kind, tolerance) in [(Kind::Float, 1e-4), (Kind::BFloat16, 0.05)] {
            store.freeze(kind);
            let apart = (pass() - &plain).abs().max().double_value(&[]);
            assert!(apart <= tolerance * largest, "{name} {set}, frozen in {kind:?}: {apart} of {largest}");
            if kind == Kind::BFloat16 {
                assert!(apart > 0.0, "{name} {set}: bfloat16 has not taken part");
            }
        }
    }
}

/// The share of samples that are the same in both.
fn same(a: &Tensor, b: &Tensor) -> f64 {
    let same = (a - b).abs().flatten(1, -1).amax([1].as_slice(), false).eq(0.0);
    same.mean(Kind::Double).double_value(&[])
}

/// Of three blocks the first keeps both of its branches, the others drop each with probability 0.4 and 0.8.
#[test]
fn stochastic_depth_grows_from_nothing_over_the_blocks() {
    let _no_grad = tch::no_grad_guard();
    let net = |name: &str, set: &str, depth: &str, value: &str| {
        let mut spec = spec(&name.into(), &serde_json::from_str(set).unwrap());
        let more = [("embed_dim", "8"), ("image_size", "8"), ("drop_path", "0.8"), (depth, value)];
        more.iter().for_each(|(field, value)| spec.set(field, value).unwrap());
        let (net, store) = build(&spec);
        fill(&store);
        net
    };
    let x = images("drop path", &[2000, 3, 8, 8]);
    let near = |share: f64, dropped: f64, what: &str| {
        let noise = 5.0 * (dropped * (1.0 - dropped) / 2000.0).sqrt();
        assert!((share - dropped).abs() <= noise, "{what}: {share} of the samples, not {dropped}");
    };
    for keys in ["timm", "torchvision"] {
        let set = format!(r#"{{"heads": 1, "keys": "{keys}"}}"#);
        let features = net("paper/vit_tiny_32", &set, "num_blocks", "3").features(&x, true).unwrap();
        for (block, dropped) in [0.0f64, 0.4, 0.8].into_iter().enumerate() {
            let share = same(&features[block].1, &features[block + 1].1);
            near(share, dropped.powi(2), &format!("ViT with keys of {keys}, block {block}"));
        }
        // A Swin's stage comes out as after its first block where the two others drop all.
        let set = format!(r#"{{"heads": [1], "keys": "{keys}"}}"#);
        let last = |depths: &str, train: bool| {
            let features = net("paper/swin_tiny_32", &set, "depths", depths).features(&x, train).unwrap();
            features.into_iter().next_back().unwrap().1
        };
        let share = same(&last("[1]", false), &last("[3]", true));
        near(share, (0.4f64 * 0.8).powi(2), &format!("Swin with keys of {keys}"));
    }
}

/// A file that says it has these tensors, all zeros, and takes no room on the disk.
fn sparse_file(path: &Path, tensors: &[(String, Tensor)]) -> u64 {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, tensor) in tensors {
        let start = end;
        end += 4 * tensor.numel() as u64;
        let row = json!({"dtype": "F32", "shape": tensor.size(), "data_offsets": [start, end]});
        header.insert(name.clone(), row);
    }
    let mut header = serde_json::to_string(&header).unwrap();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut file = std::fs::File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len(8 + header.len() as u64 + end).unwrap();
    end
}

/// The largest resident size of this process so far.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

const PEAK: &str = "TCHVISION_TEST_PEAK";

/// Each in a process of its own, which is this test again.
#[test]
#[cfg(target_os = "linux")]
fn large_models_take_little_more_memory_than_their_weights() {
    if let Ok(asked) = std::env::var(PEAK) {
        let (name, path) = asked.split_once(' ').unwrap();
        let spec = ModelSpec::new(name);
        let before = peak_bytes();
        let _kept = match path {
            "" => build(&spec),
            path => {
                let file = Archive::open(Path::new(path)).unwrap().choose(None).unwrap();
                let pretrained = weights::pretrained(&spec, &file, Classes::New, Device::Cpu).unwrap();
                (pretrained.model, pretrained.store)
            }
        };
        println!("\n{PEAK} {}", peak_bytes() - before);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zeros.safetensors");
    let cases = [("timm/vit_large_patch16_224", true), ("timm/swin_base_patch4_window7_224", false)];
    for (name, from_file) in cases {
        let store = Store::meta();
        ModelSpec::new(name).resolve().unwrap().build(&store).unwrap();
        let bytes = sparse_file(&path, &store.state_dict());
        let from = if from_file { path.to_str().unwrap() } else { "" };
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "transformers::large_models_take_little_more_memory_than_their_weights",
                "--nocapture",
            ])
            .env(PEAK, format!("{name} {from}"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        let peak = said.lines().find_map(|line| line.strip_prefix(PEAK)).unwrap_or_else(|| panic!("{said}"));
        let ratio = peak.trim().parse::<f64>().unwrap() / bytes as f64;
        assert!((0.99..1.15).contains(&ratio), "{name}: {ratio} times its weights");
    }
}

/// Every knob is a key of an experiment's YAML.
#[test]
fn knobs_vary_in_an_experiment() {
    let folder = tempfile::tempdir().unwrap();
    let plan = |name: &str, model: &str, knobs: &[&str]| {
        let mut yaml = format!(
            "question: Which?\nbase:\n  model: {model}\n  data: {{dataset: fashion-mnist, image_size: 28}}\n  \
             train: {{epochs: 1, batch_size: 8, optimizer: {{adamw: {{lr: 1.0e-3}}}}}}\nvariants:\n  base: {{}}\n"
        );
        for (i, knob) in knobs.iter().enumerate() {
            yaml.push_str(&format!("  knob{i}: {{{knob}}}\n"));
        }
        let path = folder.path().join(format!("{name}.yaml"));
        std::fs::write(&path, yaml).unwrap();
        let experiment = Experiment::read(&path, &[]).unwrap_or_else(|e| panic!("{e:#}"));
        let trials = experiment.plan().unwrap_or_else(|e| panic!("{e:#}")).trials;
        assert_eq!(trials.len(), knobs.len() + 1);
        trials.iter().map(|trial| (trial.params, trial.macs)).collect::<Vec<_>>()
    };
    let knobs = [
        "model.num_blocks: 6",
        "model.embed_dim: 96",
        "model.mlp_ratio: 2",
        "model.patch_size: 7",
        "data.image_size: 64",
        "model.registers: 4",
        "model.gated_mlp: true",
        "model.layer_scale: 0.1",
        "model.position: none",
        "model.pool: map",
        "model.qkv_bias: false",
        "model.heads: 6",
    ];
    let costs = plan("vit", "{name: paper/vit_tiny_32}", &knobs);
    for (knob, cost) in knobs.iter().zip(&costs[1..]) {
        // Heads share the channels: their number costs nothing.
        assert_eq!(*cost == costs[0], knob.contains("heads"), "{knob}: {cost:?} of {:?}", costs[0]);
    }
    let knobs = [
        "model.depths: [2, 2, 2]",
        "model.embed_dim: 48",
        "model.mlp_ratio: 2",
        "model.patch_size: 4",
        "data.image_size: 64",
        "model.window: 2",
        "model.version: v2",
        "model.position: none",
        "model.position: absolute",
        "model.position: absolute_and_relative",
        "model.shift: false",
    ];
    let costs = plan("swin", "{name: paper/swin_tiny_32}", &knobs);
    for (knob, cost) in knobs.iter().zip(&costs[1..]) {
        assert_eq!(*cost == costs[0], knob.contains("shift"), "{knob}: {cost:?} of {:?}", costs[0]);
    }
}
