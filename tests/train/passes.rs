//! Training passes against torchvision and timm, dropout and stochastic depth on.

use crate::common::{assert_close, fill_scaled, generator, golden, images, values};
use serde_json::Value;
use tch::Device;
use tchvision::models::ModelSpec;
use tchvision::nn::Store;

/// A net of goldens/training.py.
#[derive(serde::Deserialize)]
struct Case {
    name: String,
    set: serde_json::Map<String, Value>,
    side: i64,
    gain: f64,
    logits: Value,
    auxiliary: Vec<Value>,
}

const SEED: i64 = 7;

/// The same layers drop the same values with the same probabilities in the same order; norms take the statistics of
/// the batch.
#[test]
fn the_same_seed_drops_what_the_libraries_drop() {
    let cases: Vec<Case> = serde_json::from_value(golden("training.json")).unwrap();
    assert!(cases.len() > 15);
    for Case { name, set, side, gain, logits, auxiliary } in cases {
        let mut spec = ModelSpec::new(&name);
        set.iter().for_each(|(field, value)| spec.set(field, &value.to_string()).unwrap());
        spec.set("num_classes", "10").unwrap();
        let store = Store::uninitialised(Device::Cpu);
        let net = spec.resolve().unwrap().build(&store).unwrap();
        fill_scaled(&store, gain);
        let x = images("images", &[4, 3, side, side]);
        let _no_grad = tch::no_grad_guard();
        let _turn = generator();
        tch::manual_seed(SEED);
        let (got, heads) = net.forward_auxiliary(&x, true).unwrap();
        assert_close(&name, &values(&got), &logits, 1e-4);
        assert_eq!(heads.len(), auxiliary.len(), "{name}");
        heads.iter().zip(&auxiliary).for_each(|(got, want)| assert_close(&name, &values(got), want, 1e-4));
    }
}
