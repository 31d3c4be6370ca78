//! `tchvision weights`: the public weights.

mod list;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Verb {
    /// The public weights: what they were trained on, their input, accuracy and licence
    List(list::Args),
}

pub fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::List(args) => list::run(args),
    }
}
