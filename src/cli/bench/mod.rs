//! `tchvision bench`: what is fast and what is not, beside other libraries in the same run.

mod contest;
mod goals;
mod loader;
mod peer;
mod results;
mod startup;
mod step;
mod weights;
mod work;

use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use serde::de::DeserializeOwned;
use std::process::Command;
use std::time::Instant;
use tchvision::report::statistics;
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

fn median(values: Vec<f64>) -> f64 {
    statistics::median(values).unwrap_or(f64::NAN)
}

/// The contestant that is this program.
const OWN: &str = "tchvision";

/// Runs each contestant once, from start to end, and gives `took` its name, what it prints as JSON and its milliseconds.
/// Another than ours that fails is left out from then on, and named on stderr.
///
/// # Errors
/// Our own failure.
fn turn<T: DeserializeOwned>(
    contestants: &mut Vec<(&'static str, Command)>,
    mut took: impl FnMut(&'static str, T, f64),
) -> Result<()> {
    for (name, mut command) in std::mem::take(contestants) {
        eprintln!("{name}");
        let start = Instant::now();
        let printed = output(&mut command);
        let ms = 1000.0 * start.elapsed().as_secs_f64();
        match printed.and_then(|printed| Ok(serde_json::from_slice(&printed)?)) {
            Ok(outcome) => {
                took(name, outcome, ms);
                contestants.push((name, command));
            }
            Err(error) if name == OWN => return Err(error),
            Err(error) => eprintln!("left out: {name}: {error:#}"),
        }
    }
    Ok(())
}

/// What a program prints.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{program}: cannot be run"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}", stderr.trim_end());
    Ok(output.stdout)
}
