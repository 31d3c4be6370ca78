//! `tchvision weights`: the public weights, and getting them.

mod fetch;
mod list;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Verb {
    /// The public weights: what they were trained on, their input, accuracy and licence
    List(list::Args),
    /// Get weights from the hub or their address; a download that broke off is taken up again
    Fetch(fetch::Args),
}

pub fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::List(args) => list::run(args),
        Verb::Fetch(args) => fetch::run(args),
    }
}
