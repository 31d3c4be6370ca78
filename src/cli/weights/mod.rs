//! `tchvision weights`: the public ones, what is in files of weights, and whether it is right.

mod convert;
mod fetch;
mod inspect;
mod list;
mod verify;

use super::assignments;
use anyhow::Result;
use clap::Subcommand;
use std::path::Path;
use tchvision::models::ModelSpec;
use tchvision::weights::{Archive, StateFile, catalogue};
use tchvision::{Usage, brief};

#[derive(Subcommand)]
pub enum Verb {
    /// Format, state_dicts and tensors of a file; executes nothing
    Inspect(inspect::Args),
    /// Write a file's weights as safetensors, named and adapted for a model
    Convert(convert::Args),
    /// Whether a model with a file's weights gives the reference's logits
    Verify(verify::Args),
    /// The public weights: what they were trained on, their input, accuracy and licence
    List(list::Args),
    /// Get weights from the hub or their address; a download that broke off is taken up again
    Fetch(fetch::Args),
}

pub fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Inspect(args) => inspect::run(&args),
        Verb::Convert(args) => convert::run(&args),
        Verb::Verify(args) => verify::run(&args),
        Verb::List(args) => list::run(args),
        Verb::Fetch(args) => fetch::run(args),
    }
}

/// The one state_dict of a file, or the one with this key.
fn open(path: &Path, key: Option<&str>) -> Result<StateFile> {
    Archive::open(path)?.choose(key)
}

/// A registered model, or with a tag the one that those public weights are of, with some fields set; a wrong name or
/// value is wrong usage.
fn model(name: &str, fields: &[(&str, Option<i64>)], set: &[String]) -> Result<ModelSpec> {
    let usage = |e: anyhow::Error| Usage(brief(&e));
    let mut spec = match name.contains('.') {
        true => catalogue::find(name).and_then(|entry| entry.spec()).map_err(usage)?,
        false => ModelSpec::new(name),
    };
    for (field, value) in fields {
        if let Some(value) = value {
            spec.set(field, &value.to_string()).map_err(usage)?;
        }
    }
    for (field, value) in assignments(set)? {
        spec.set(field, value).map_err(usage)?;
    }
    spec.resolve().map_err(usage)?;
    Ok(spec)
}
