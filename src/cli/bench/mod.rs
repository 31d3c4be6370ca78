//! `tchvision bench`: what is fast and what is not, beside other libraries in the same run.

mod contest;
mod goals;
mod loader;
mod peer;
mod results;
mod startup;
mod step;
mod weights;

use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use std::process::Command;
use tchvision::report::statistics;

#[derive(Subcommand)]
pub enum Verb {
    /// A frozen model's forward pass, beside PyTorch, ONNX Runtime and OpenVINO
    Infer(step::Args),
    /// A training step, beside PyTorch
    Train(step::Args),
    /// From JPEG files to normalised training batches, beside torchvision's DataLoader and decoding alone
    Loader(loader::Args),
    /// From a file of weights to a model's tensors, beside torch.load and safetensors
    Weights(weights::Args),
    /// From the start of the process to the logits of one image, beside Python with timm
    Startup(startup::Args),
    /// One Markdown page of what the others printed with --json: benches/RESULTS.md
    Results(results::Args),
}

pub fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Infer(args) => step::run(step::Work::Infer, &args),
        Verb::Train(args) => step::run(step::Work::Train, &args),
        Verb::Loader(args) => loader::run(&args),
        Verb::Weights(args) => weights::run(&args),
        Verb::Startup(args) => startup::run(&args),
        Verb::Results(args) => results::run(&args),
    }
}

fn median(values: Vec<f64>) -> f64 {
    statistics::median(values).unwrap_or(f64::NAN)
}

/// What a program prints.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{program}: cannot be run"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}", stderr.trim_end());
    Ok(output.stdout)
}
