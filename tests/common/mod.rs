//! What several tests share: values from a hash, as `goldens/make.py` has them, and comparison with goldens.
#![allow(dead_code)]

pub mod lab;
pub mod server;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tch::Tensor;
use tchvision::models::Model;
use tchvision::nn::Store;

/// libtorch has one generator a process: tests that seed it, and those that draw from it beside them, take turns.
pub fn generator() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A golden file.
pub fn golden(name: &str) -> serde_json::Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// One number in [0, 1) an index from `start` on: SplitMix64 of the FNV-1a hash of the name plus the index.
fn stream(name: &str, start: usize) -> impl Iterator<Item = f64> {
    let hash = |seed: u64, byte: u8| (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    (start as u64..).map(move |index| {
        let mut z = seed.wrapping_add(index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
    })
}

/// The first numbers of that stream.
pub fn uniform(name: &str, numel: usize) -> Vec<f64> {
    stream(name, 0).take(numel).collect()
}

/// Values at a time: large tensors need little beside themselves.
const CHUNK: usize = 1 << 20;

/// After so many the values of large models repeat, to be fast; a prime, so that no two rows are alike.
const PERIOD: usize = 131_071;

/// Writes what a tensor of the state_dict is filled with; `gain` scales weights of two and more dimensions.
fn fill_tensor(name: &str, tensor: &Tensor, gain: f64, repeat: bool) {
    let (shape, numel) = (tensor.size(), tensor.numel());
    let mut fan = shape.iter().skip(1).product::<i64>() as f64;
    if shape.len() == 2 && name.contains(".conv_") {
        // The kernels of CondConv, flattened: their fan is not in the shape.
        fan = fan.sqrt();
    }
    let scale = gain * (3.0 / fan).sqrt();
    // In Python's order of operations, so that the bits are the same: (factor * u + offset) * scale.
    let (factor, offset, scale) = match shape.len() {
        _ if name.ends_with("running_var") => (1.0, 0.5, 1.0),
        1 if name.ends_with("weight") => (1.0, 0.5, 1.0),
        0 | 1 => (1.0, -0.5, 0.2),
        _ => (2.0, -1.0, scale),
    };
    let values = |start: usize, length: usize| {
        let values = stream(name, start).take(length).map(|u| ((factor * u + offset) * scale) as f32);
        Tensor::from_slice(&values.collect::<Vec<_>>())
    };
    let flat = tensor.view(-1);
    let most = if repeat { PERIOD } else { CHUNK };
    let chunk = most.min(numel);
    let mut drawn = values(0, chunk);
    for start in (0..numel).step_by(chunk) {
        let length = chunk.min(numel - start);
        if start > 0 && !repeat {
            drawn = values(start, length);
        }
        flat.narrow(0, start as i64, length as i64).copy_(&drawn.narrow(0, 0, length as i64));
    }
}

/// A tensor of these values.
pub fn value(name: &str, shape: &[i64]) -> Tensor {
    let tensor = Tensor::empty(shape, (tch::Kind::Float, tch::Device::Cpu));
    fill_tensor(name, &tensor, 1.0, false);
    tensor
}

/// An input of unit scale.
pub fn images(name: &str, shape: &[i64]) -> Tensor {
    let u = uniform(name, shape.iter().product::<i64>() as usize);
    Tensor::from_slice(&u.into_iter().map(|u| (4.0 * u - 2.0) as f32).collect::<Vec<_>>()).reshape(shape)
}

/// Fills a model's tensors by their keys.
pub fn fill(store: &Store) {
    fill_scaled(store, 1.0);
}

/// Fills a model's tensors by their keys, weights scaled by `gain`.
pub fn fill_scaled(store: &Store, gain: f64) {
    fill_tensors(store, gain, false);
}

/// The same with values that repeat: a large model takes seconds.
pub fn fill_repeating(store: &Store, gain: f64) {
    fill_tensors(store, gain, true);
}

fn fill_tensors(store: &Store, gain: f64, repeat: bool) {
    let _no_grad = tch::no_grad_guard();
    for (name, tensor) in store.state_dict() {
        if tensor.is_floating_point() {
            fill_tensor(&name, &tensor, gain, repeat);
        }
    }
}

/// A digest of all keys with their shapes.
pub fn keys_digest(store: &Store) -> f64 {
    let mut keys: Vec<String> =
        store.state_dict().iter().map(|(key, tensor)| format!("{key}{:?}", tensor.size())).collect();
    keys.sort();
    uniform(&keys.join("\n"), 1)[0]
}

/// The values of a tensor.
pub fn values(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.detach().to_kind(tch::Kind::Double).contiguous().flatten(0, -1);
    Vec::try_from(&flat).unwrap()
}

/// All values within `tolerance` of the golden ones, relative to the largest of them.
pub fn assert_close(what: &str, got: &[f64], want: &serde_json::Value, tolerance: f64) {
    let want: Vec<f64> = serde_json::from_value(want.clone()).unwrap();
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(1.0, |max: f64, x| max.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        assert!((got - want).abs() <= tolerance * largest, "{what}: value {i} is {got}, PyTorch has {want}");
    }
}

/// Frozen in bfloat16 the model gives logits near those of float32; thawed again, it trains.
pub fn freezes_in_bfloat16(name: &str, net: &dyn Model, store: &Store, x: &Tensor) {
    let pass = || values(&tch::no_grad(|| net.forward(x, false)).unwrap());
    let plain = pass();
    store.freeze(tch::Kind::BFloat16);
    let largest = plain.iter().fold(0.0, |max: f64, logit| max.max(logit.abs()));
    for (i, (got, want)) in pass().iter().zip(&plain).enumerate() {
        assert!(
            (got - want).abs() <= 0.2 * largest,
            "{name}: logit {i} is {got} in bfloat16, {want} in float32"
        );
    }
    store.thaw();
}
