//! `tchvision weights convert`.

use super::arguments::{model, open};
use crate::cli::{print, print_json};
use anyhow::Result;
use serde::Serialize;
use std::collections::HashMap;
use std::path::PathBuf;
use tch::Device;
use tchvision::Usage;
use tchvision::weights::{self, Classes, Format, Pretrained};

#[derive(clap::Args)]
pub struct Args {
    file: PathBuf,
    /// The model that the weights are of; with a tag, the model that those public weights are of
    #[arg(long, value_name = "NAME[.TAG]")]
    model: String,
    /// Where the safetensors go
    #[arg(long, value_name = "OUT.safetensors")]
    to: PathBuf,
    /// Whose names the tensors get: torchvision or timm; without it, those of the model's own library
    #[arg(long)]
    naming: Option<String>,
    /// Classes of the model; with another number than the file's, a new classifier
    #[arg(long, value_name = "N")]
    num_classes: Option<i64>,
    /// Keep the classifier's rows of these classes of the file, in this order
    #[arg(long, value_name = "I,J,…", value_delimiter = ',', conflicts_with = "num_classes")]
    classes: Option<Vec<i64>>,
    /// Input channels of the model, the first convolution adapted to them
    #[arg(long, value_name = "C")]
    in_chans: Option<i64>,
    /// Height and width of the model's images, tables of positions resampled to them
    #[arg(long, value_name = "SIDE")]
    image_size: Option<i64>,
    /// Set a field of the model's configuration, such as `window=12` of a Swin
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// The state_dict under this key, where the file has several
    #[arg(long)]
    key: Option<String>,
    #[arg(long)]
    json: bool,
}

/// The start of a new classifier, so that the same command gives the same file.
const SEED: i64 = 0;

#[derive(Serialize)]
struct Converted<'a> {
    model: &'a str,
    format: Format,
    naming: String,
    to: &'a str,
    tensors: usize,
    /// Tensors that start anew.
    fresh: Vec<String>,
}

pub fn run(args: &Args) -> Result<()> {
    let selected = args.classes.as_deref();
    let num_classes = selected.map(|classes| classes.len() as i64).or(args.num_classes);
    let fields = [("num_classes", num_classes), ("in_chans", args.in_chans), ("image_size", args.image_size)];
    let spec = model(&args.model, &fields, &args.set)?;
    let name = spec.resolve()?.name;
    let own = name.split('/').next().unwrap_or_default();
    let to = args.naming.as_deref().unwrap_or(own);
    // Before the work: a naming that the model does not have.
    weights::export(name, Vec::new(), to)?;
    let same = |path: &PathBuf| path.canonicalize().ok();
    if same(&args.to).is_some() && same(&args.to) == same(&args.file) {
        return Err(Usage(format!("--to {}: is the file that is read", args.to.display())).into());
    }

    let file = open(&args.file, args.key.as_deref())?;
    tch::manual_seed(SEED);
    let classes = selected.map_or(Classes::New, Classes::Selected);
    let Pretrained { store, naming, fresh, .. } = weights::pretrained(&spec, &file, classes, Device::Cpu)?;
    let tensors = weights::export(name, store.state_dict(), to)?;
    // What Python's libraries look for in a file of PyTorch's layout.
    let about = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    weights::save(&args.to, &tensors, about)?;

    let (format, tensors) = (file.format(), tensors.len());
    if args.json {
        return print_json(&Converted { model: name, format, naming, to, tensors, fresh });
    }
    print(format_args!(
        "{}: {tensors} tensors of {name}, from {naming}'s names to {to}'s",
        args.to.display()
    ))?;
    match fresh.as_slice() {
        [] => Ok(()),
        fresh => print(format_args!("new: {}", fresh.join(", "))),
    }
}
