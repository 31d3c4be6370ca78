//! `tchvision bench`: what is fast and what is not, beside other libraries in the same run.

mod peer;
mod step;
mod weights;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Verb {
    /// A frozen model's forward pass, beside PyTorch, ONNX Runtime and OpenVINO
    Infer(step::Args),
    /// A training step, beside PyTorch
    Train(step::Args),
    /// From a file of weights to a model's tensors, beside torch.load and safetensors
    Weights(weights::Args),
}

pub fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Infer(args) => step::run(step::Work::Infer, &args),
        Verb::Train(args) => step::run(step::Work::Train, &args),
        Verb::Weights(args) => weights::run(&args),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    values.get(low).zip(values.get(high)).map_or(f64::NAN, |(a, b)| (a + b) / 2.0)
}
