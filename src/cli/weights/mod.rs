//! `tchvision weights`: the public ones, what is in files of weights, and whether it is right.

mod arguments;
mod average;
mod convert;
mod fetch;
mod inspect;
mod list;
mod map;
mod verify;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Verb {
    /// Format, state_dicts and tensors of a file; executes nothing
    Inspect(inspect::Args),
    /// Write a file's weights as safetensors, named and adapted for a model
    Convert(convert::Args),
    /// Write which names of a file are the model's, to be edited and passed by `--map`
    Map(map::Args),
    /// Whether a model with a file's weights gives the reference's logits
    Verify(verify::Args),
    /// Write the mean of several files of weights of one network: a model soup
    Average(average::Args),
    /// The public weights: what they were trained on, their input, accuracy and licence
    List(list::Args),
    /// Get weights from the hub or their address; a download that broke off is taken up again
    Fetch(fetch::Args),
}

pub fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Inspect(args) => inspect::run(&args),
        Verb::Convert(args) => convert::run(&args),
        Verb::Map(args) => map::run(&args),
        Verb::Verify(args) => verify::run(&args),
        Verb::Average(args) => average::run(&args),
        Verb::List(args) => list::run(args),
        Verb::Fetch(args) => fetch::run(args),
    }
}
