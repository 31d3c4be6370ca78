//! A family of one's own: registered by name, counted, frozen, and trained from YAML.

use crate::common::lab::Lab;
use std::fs;
use std::sync::atomic::AtomicBool;
use tch::{Device, Kind, Tensor};
use tchvision::models::{self, Config, Frozen, Model, ModelSpec, Net};
use tchvision::nn::{Activation, Classifier, Conv, Conv2d, ConvAct, Layer, Linear, Store, cost};
use tchvision::train::{self, RunConfig};
use tchvision::yaml::{Document, Override};

/// A convolution, a layer of one's own, and the usual head.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Tiny {
    num_classes: i64,
    in_chans: i64,
    width: i64,
}

/// The square of every value, counted as one multiply-add.
struct Square;

impl Layer for Square {
    fn forward(&self, x: &Tensor, _train: bool) -> anyhow::Result<Tensor> {
        cost::record(x.numel() as i64, 0);
        Ok(x.f_mul(x)?)
    }
}

impl Config for Tiny {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, 12, 12]
    }

    fn build(&self, store: &Store) -> anyhow::Result<Box<dyn Model>> {
        let Self { num_classes, in_chans, width } = *self;
        let path = store.root();
        let stem = Conv2d::new(&(&path / "stem"), Conv::new(in_chans, width, 3).same().stride(2))?;
        let stages: Vec<(&str, Box<dyn Layer>)> =
            vec![("stem", Box::new(ConvAct(stem, Activation::Identity))), ("square", Box::new(Square))];
        let head = Classifier::new(num_classes, 0.0, || Linear::new(&(&path / "fc"), width, num_classes))?;
        Ok(Box::new(Net::new(stages, head)))
    }
}

#[test]
fn a_family_of_ones_own() {
    models::register("mine/tiny", "Tiny", Tiny { num_classes: 10, in_chans: 3, width: 8 }).unwrap();
    let again = models::register("mine/tiny", "Tiny", Tiny { num_classes: 10, in_chans: 3, width: 8 });
    assert!(format!("{:#}", again.unwrap_err()).contains("mine/tiny"));
    for wrong in ["tiny", "mine/ti ny", "mine/tiny.v1", "/tiny", "a/b/c"] {
        let tiny = Tiny { num_classes: 10, in_chans: 3, width: 8 };
        assert!(models::register(wrong, "Tiny", tiny).is_err(), "{wrong}");
    }
    assert!(models::entries().iter().any(|entry| entry.name == "mine/tiny" && entry.source() == "mine"));
    // By its whole name and its bare one, with fields; what is wrong is told as of ours.
    let mut spec = ModelSpec::new("tiny");
    spec.set("width", "16").unwrap();
    let cost = spec.resolve().unwrap().complexity([3, 12, 12]).unwrap();
    assert_eq!(cost.macs, 36 * 27 * 16 + 36 * 16 + 16 * 10);
    let error = spec.set("widht", "3").and_then(|()| spec.check()).unwrap_err();
    assert!(format!("{error:#}").contains("`width`"), "{error:#}");
    // Frozen it gives the same.
    let store = Store::new(Device::Cpu);
    let model = ModelSpec::new("mine/tiny").resolve().unwrap().build(&store).unwrap();
    let x = Tensor::rand([2, 3, 12, 12], (Kind::Float, Device::Cpu));
    let plain = tch::no_grad(|| model.forward(&x, false)).unwrap();
    let frozen = Frozen::new(model, &store, Kind::Float);
    assert!((frozen.forward(&x).unwrap() - plain).abs().max().double_value(&[]) < 1e-5);
    // Trained from a file.
    let lab = Lab::new();
    let path = lab.folder.path().join("own.yaml");
    let text = format!(
        "model: {{name: mine/tiny, in_chans: 1, num_classes: 4}}\n\
         data: {{dataset: 'idx:{}'}}\n\
         train: {{epochs: 6, batch_size: 32, optimizer: {{sgd: {{lr: 0.05, momentum: 0.9}}}}}}\n\
         seed: 5\nthreads: 1\n",
        lab.folder.path().display()
    );
    fs::write(&path, text).unwrap();
    let config = RunConfig::read(&Document::read(&path, Vec::<Override>::new()).unwrap()).unwrap();
    let result = train::run(&config, &lab.dir("own"), &AtomicBool::new(false), &mut |_| {}).unwrap();
    let last = serde_json::to_value(&result).unwrap();
    assert!(lab.dir("own").join("best.safetensors").is_file(), "{last}");
}
