//! `tchvision bench`: what is fast and what is not, beside other libraries in the same run.

mod contest;
mod goals;
mod loader;
mod peer;
mod report;
mod results;
mod startup;
mod step;
mod turn;
mod weights;
mod work;

use anyhow::Result;
use clap::Subcommand;
use work::Work;

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
        Verb::Infer(args) => step::run(Work::Infer, &args),
        Verb::Train(args) => step::run(Work::Train, &args),
        Verb::Loader(args) => loader::run(&args),
        Verb::Weights(args) => weights::run(&args),
        Verb::Startup(args) => startup::run(&args),
        Verb::Results(args) => results::run(&args),
    }
}
