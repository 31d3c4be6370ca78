//! What a model costs for one image: parameters, multiply-adds, activations.

use super::Config;
use crate::nn::{self, Cost, Layer, Store};
use crate::torch;
use anyhow::{Context, Result, ensure};
use serde::Serialize;

/// What one image costs, in all and stage by stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Complexity {
    pub params: u64,
    pub macs: u64,
    pub activations: u64,
    pub input: [i64; 3],
    pub stages: Vec<StageComplexity>,
}

/// The share of one stage, or of the head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StageComplexity {
    pub name: String,
    /// Shape of the output for one image, without the batch.
    pub output: Vec<i64>,
    pub macs: u64,
    pub activations: u64,
}

/// Counts a model by a dry run on the meta device: nothing is allocated.
///
/// # Errors
/// A configuration that makes no network, or an input it cannot take.
pub(crate) fn complexity(config: &impl Config, input: [i64; 3]) -> Result<Complexity> {
    ensure!(input.iter().all(|&n| n > 0), "input {input:?}: every number must be positive");
    let store = Store::meta();
    let model = config.build(&store)?;
    let _no_grad = tch::no_grad_guard();
    let mut x = torch::empty_meta(&[1, input[0], input[1], input[2]], tch::Kind::Float)?;
    let mut total =
        Complexity { params: store.count_parameters(), macs: 0, activations: 0, input, stages: Vec::new() };
    let head: (&str, &dyn Layer) = ("head", model.head());
    for (name, stage) in model.stages().into_iter().chain([head]) {
        let (y, Cost { macs, activations }) = nn::cost::measure(|| stage.forward(&x, false));
        x = y.with_context(|| format!("`{name}` cannot take {:?} (model input {input:?})", x.size()))?;
        total.macs += macs;
        total.activations += activations;
        let output = x.size()[1..].to_vec();
        total.stages.push(StageComplexity { name: name.to_owned(), output, macs, activations });
    }
    Ok(total)
}
