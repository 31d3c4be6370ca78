//! Networks without a classifier (`num_classes: 0`), and the pooled vectors that come beside the logits.

use crate::common::{fill_repeating, golden, images, values};
use tch::{Device, Kind, Tensor};
use tchvision::models::{self, Model, ModelSpec};
use tchvision::nn::{Outputs, Store};

/// What pooled.py writes about one name.
#[derive(serde::Deserialize)]
struct Case {
    name: String,
    size: i64,
    gain: f64,
    #[serde(default)]
    resized: bool,
    width: i64,
    sum: f64,
    #[serde(rename = "logits")]
    some: Vec<f64>,
}

impl Case {
    fn net(&self, headless: bool) -> (Box<dyn Model>, Store) {
        let mut spec = ModelSpec::new(&self.name);
        if headless {
            spec.set("num_classes", "0").unwrap();
        }
        if self.resized {
            spec.set("image_size", &self.size.to_string()).unwrap();
        }
        let store = Store::uninitialised(Device::Cpu);
        let net = spec.resolve().unwrap().build(&store).unwrap();
        fill_repeating(&store, self.gain);
        (net, store)
    }

    fn check(&self, what: &str, pooled: &Tensor) {
        assert_eq!(pooled.size(), [1, self.width], "{}: {what}", self.name);
        let got = values(pooled);
        let largest = got.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
        assert!(largest > 0.0, "{}: {what} is 0", self.name);
        let step = (got.len() / 16).max(1);
        for (i, (got, want)) in got.iter().step_by(step).zip(&self.some).enumerate() {
            assert!((got - want).abs() <= 1e-4 * largest, "{}: {what} {i} is {got}, not {want}", self.name);
        }
        let (sum, most) = (got.iter().sum::<f64>(), 1e-4 * largest * (got.len() as f64).sqrt());
        assert!((sum - self.sum).abs() <= most, "{}: {what}: sum {sum}, not {}", self.name, self.sum);
    }
}

#[test]
fn pooled_vectors_are_those_of_the_libraries() {
    let cases: Vec<Case> = serde_json::from_value(golden("pooled.json")).unwrap();
    assert!(cases.len() >= 20);
    for case in cases {
        let x = images(&case.name, &[2, 3, case.size, case.size]).narrow(0, 0, 1);
        let (net, _) = case.net(true);
        case.check("without a classifier", &tch::no_grad(|| net.forward(&x, false)).unwrap());
        let (net, store) = case.net(false);
        let logits = tch::no_grad(|| net.forward(&x, false)).unwrap();
        let outputs: Outputs = tch::no_grad(|| net.outputs(&x, false)).unwrap();
        case.check("beside the logits", &outputs.pooled);
        assert_eq!(outputs.logits, logits, "{}", case.name);
        store.freeze(Kind::Float);
        case.check("frozen", &net.outputs(&x, false).unwrap().pooled);
    }
}

#[test]
fn every_name_builds_without_a_classifier() {
    for entry in models::entries() {
        let mut spec = ModelSpec::new(&entry.name);
        spec.set("num_classes", "0").unwrap();
        let model = spec.resolve().unwrap();
        let cost = model.complexity(model.input()).unwrap();
        let width = cost.stages.last().unwrap().output.as_slice();
        assert!(matches!(width, [width] if *width > 0), "{}: {width:?}", entry.name);
        let whole = entry.architecture().unwrap();
        assert!(cost.params <= whole.count_parameters().unwrap(), "{}", entry.name);
        let error = spec.set("num_classes", "-1").and_then(|()| spec.check()).unwrap_err();
        assert!(format!("{error:#}").contains("num_classes"), "{}: {error:#}", entry.name);
    }
}
