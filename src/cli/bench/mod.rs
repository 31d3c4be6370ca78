//! `tchvision bench`: what is fast and what is not, beside other libraries in the same run.

mod weights;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Verb {
    /// From a file of weights to a model's tensors, beside torch.load and safetensors
    Weights(weights::Args),
}

pub fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Weights(args) => weights::run(&args),
    }
}
