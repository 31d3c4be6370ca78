//! `tchvision weights map`.

use super::arguments::{model, open};
use crate::cli::{print, print_json};
use anyhow::{Context, Result};
use serde::Serialize;
use std::fs;
use std::path::PathBuf;
use tchvision::Usage;
use tchvision::nn::Store;
use tchvision::weights::{self, Draft, Recognised};

#[derive(clap::Args)]
pub struct Args {
    /// The file of weights
    file: PathBuf,
    /// The model that the weights are of; with a tag, the model that those public weights are of
    #[arg(long, value_name = "NAME[.TAG]")]
    model: String,
    /// Where the pairs of names go
    #[arg(long, value_name = "MAP.yaml")]
    to: PathBuf,
    /// Set a field of the model's configuration, such as `num_classes=10`
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// The state_dict under this key, where the file has several
    #[arg(long)]
    key: Option<String>,
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Mapped<'a> {
    model: &'a str,
    to: &'a str,
    /// Layers and single tensors with one name of the file.
    paired: usize,
    /// Those with several or none, which a person has to choose.
    open: usize,
}

pub fn run(args: &Args) -> Result<()> {
    let spec = model(&args.model, &[], &args.set)?;
    let architecture = spec.resolve()?;
    let store = Store::meta();
    architecture.build(&store)?;
    let wanted = store.state_dict();
    let file = open(&args.file, args.key.as_deref())?;
    let Recognised { naming, state, .. } = weights::recognise(&spec, file.state_dict()?)?;
    if weights::compare(&state, &wanted).is_empty() {
        let text = format!("{}: its names are {naming}'s and fit; no map is needed", args.file.display());
        return Err(Usage(text).into());
    }
    if args.to.exists() {
        return Err(Usage(format!("--to {}: is there already", args.to.display())).into());
    }
    let Draft { text, paired, open } = weights::draft(file.state_dict()?, &wanted);
    fs::write(&args.to, text).with_context(|| args.to.display().to_string())?;
    let to = args.to.display().to_string();
    if args.json {
        return print_json(&Mapped { model: architecture.name, to: &to, paired, open });
    }
    print(format_args!("{to}: {paired} layers of {} paired, {open} open", architecture.name))
}
