//! Weights in the names of Google's first releases, read as timm reads them.

use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};
use tchvision::models::ModelSpec;
use tchvision::weights::{self, Classes, StateFile};

const VIT: &str = "{image_size: 16, patch_size: 8, embed_dim: 24, num_blocks: 2, heads: 2, num_classes: 5}";
const SIGLIP: &str = "{image_size: 16, patch_size: 8, embed_dim: 24, num_blocks: 2, heads: 2}";
const HYBRID: &str =
    "{image_size: 16, patch_size: 1, layers: [2], embed_dim: 24, num_blocks: 2, heads: 2, num_classes: 5}";
const BIT: &str = "{layers: [1, 2, 1, 1], planes: [32, 32, 32, 32], stem_width: 32, num_classes: 5}";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/weights/original")
}

fn spec(model: &str, fields: &str) -> ModelSpec {
    let mut spec = ModelSpec::new(model);
    spec.set = serde_yaml::from_str(fields).unwrap();
    spec
}

fn open(name: &str) -> StateFile {
    StateFile::open(&folder().join(name)).unwrap()
}

/// The input of the script that made the files.
fn images(side: i64) -> Tensor {
    let numel = 3 * side * side;
    Tensor::linspace(-2, 2, numel, (Kind::Float, tch::Device::Cpu)).sin().reshape([1, 3, side, side])
}

#[test]
fn the_logits_are_timms() {
    let text = std::fs::read_to_string(folder().join("logits.json")).unwrap();
    let held: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (name, fields, side, naming) in [
        ("vit.npz", VIT, 16, "google"),
        ("vit_target.npz", VIT, 16, "google"),
        ("vit_stacked.npz", VIT, 16, "google, blocks stacked"),
        ("siglip.npz", SIGLIP, 16, "google"),
        ("hybrid.npz", HYBRID, 16, "google"),
        ("bit.npz", BIT, 64, "google"),
    ] {
        let check = |fields: &str, side: i64, logits: &str| {
            let spec = spec(held[name]["model"].as_str().unwrap(), fields);
            let read = weights::pretrained(&spec, &open(name), Classes::New, Device::Cpu).unwrap();
            assert_eq!(read.naming, naming, "{name}");
            let got = tch::no_grad(|| read.model.forward(&images(side), false)).unwrap();
            let got: Vec<f64> = Vec::try_from(got.flatten(0, -1)).unwrap();
            let want: Vec<f64> = serde_json::from_value(held[name][logits].clone()).unwrap();
            assert_eq!(got.len(), want.len(), "{name}");
            let scale = want.iter().fold(1.0, |max: f64, x| max.max(x.abs()));
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() < 1e-5 * scale, "{name}, {logits}: {got}, timm has {want}");
            }
        };
        check(fields, side, "logits");
        if fields != BIT {
            // timm resamples these files otherwise than a state_dict.
            let resized = fields.replace("image_size: 16", "image_size: 40");
            check(&resized.replace("patch_size: 8", "patch_size: 10"), 40, "resized");
        }
    }
}

/// The same weights for torchvision's ViT, by two translations.
#[test]
fn torchvisions_model_takes_them() {
    let logits = |model: &str| {
        let read =
            weights::pretrained(&spec(model, VIT), &open("vit.npz"), Classes::New, Device::Cpu).unwrap();
        tch::no_grad(|| read.model.forward(&images(16), false)).unwrap()
    };
    let [own, timms] = ["torchvision/vit_b_16", "timm/vit_tiny_patch16_224"].map(logits);
    assert!((own - timms).abs().max().double_value(&[]) < 1e-5);
}

#[test]
fn they_adapt_and_are_strict() {
    // More classes, one channel, a finer grid of positions.
    let other = VIT.replace("num_classes: 5", "num_classes: 7, in_chans: 1").replace("16, p", "24, p");
    let model = "timm/vit_tiny_patch16_224";
    let read =
        weights::pretrained(&spec(model, &other), &open("vit.npz"), Classes::New, Device::Cpu).unwrap();
    assert_eq!(read.fresh, ["head.weight", "head.bias"]);
    let deeper = VIT.replace("num_blocks: 2", "num_blocks: 3");
    let error = weights::pretrained(&spec(model, &deeper), &open("vit.npz"), Classes::New, Device::Cpu)
        .err()
        .unwrap();
    assert!(format!("{error:#}").contains("blocks.2.*: 12 tensors missing"), "{error:#}");
    let wider = VIT.replace("embed_dim: 24", "embed_dim: 32");
    let error =
        weights::pretrained(&spec(model, &wider), &open("vit.npz"), Classes::New, Device::Cpu).err().unwrap();
    assert!(format!("{error:#}").contains("`cls_token` has shape [1, 1, 24]"), "{error:#}");
    // Heads cannot be told from the joined tensors: the way back is refused.
    let error = weights::export(model, Vec::new(), "google").err().unwrap();
    assert!(error.is::<tchvision::Usage>(), "{error:#}");
}
