//! `tchvision weights convert`.

use super::arguments::{local, model, names_of, with};
use crate::cli::{print, print_json};
use anyhow::Result;
use serde::Serialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tch::Device;
use tchvision::Usage;
use tchvision::data::InputSettings;
use tchvision::models::ModelSpec;
use tchvision::train::RunWeights;
use tchvision::weights::{
    self, About, Classes, Format, Mapping, Origin, Pretrained, checkpoint_weights, has_averages,
};

#[derive(clap::Args)]
pub struct Args {
    /// A file of weights, or a run's directory
    #[arg(value_name = "FILE|DIR", required_unless_present = "run")]
    file: Option<PathBuf>,
    /// The run in this directory, its weights as they are at its end
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    run: Option<PathBuf>,
    /// The model that the weights are of; with a tag, the model that those public weights are of. Weights of a run here
    /// know it
    #[arg(long, value_name = "NAME[.TAG]")]
    model: Option<String>,
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
    /// The state_dict, or the module in one, under this key, where the file has several
    #[arg(long, visible_alias = "prefix", value_name = "KEY")]
    key: Option<String>,
    /// Pairs of the model's names and the file's, as `weights map` writes them
    #[arg(long, value_name = "MAP.yaml")]
    map: Option<PathBuf>,
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
    let path = args.file.as_deref().or(args.run.as_deref()).unwrap_or(Path::new(""));
    let RunWeights { state: file, about, note } = RunWeights::open(&local(path)?, args.key.as_deref())?;
    note.iter().for_each(|note| eprintln!("{note}"));
    let spec = match (&args.model, &about) {
        (Some(name), _) => model(name, &fields, &args.set)?,
        (None, Some(about)) => with(about.model.clone(), &fields, &args.set)?,
        (None, None) => match Origin::of(&file)? {
            Some(origin) => with(origin.spec, &fields, &args.set)?,
            None => return Err(weights::unnamed(&file)),
        },
    };
    let name = spec.resolve()?.name;
    let own = name.split('/').next().unwrap_or_default();
    let to = args.naming.as_deref().unwrap_or(own);
    // Before the work: a naming that the model does not have.
    weights::export(name, Vec::new(), to)?;
    let same = |path: &Path| path.canonicalize().ok();
    if same(&args.to).is_some() && same(&args.to) == same(file.path()) {
        return Err(Usage(format!("--to {}: is the file that is read", args.to.display())).into());
    }

    let averaged = has_averages(&file);
    let file = checkpoint_weights(file, averaged)?;
    tch::manual_seed(SEED);
    let classes = selected.map_or(Classes::New, Classes::Selected);
    let map = args.map.as_deref().map(Mapping::read).transpose()?;
    let Pretrained { store, spec, naming, notes, fresh, .. } =
        weights::pretrained_by(map.as_ref(), &spec, &file, classes, Device::Cpu)?;
    notes.iter().for_each(|note| eprintln!("{note}"));
    let tensors = weights::export(name, store.state_dict(), to)?;
    weights::save(&args.to, &tensors, args.metadata(about, &spec, num_classes)?)?;

    let (format, tensors) = (file.format(), tensors.len());
    if args.json {
        return print_json(&Converted { model: name, format, naming, to, tensors, fresh });
    }
    print(format_args!(
        "{}: {tensors} tensors of {name}, from {} to {to}'s",
        args.to.display(),
        names_of(&naming)
    ))?;
    match fresh.as_slice() {
        [] => Ok(()),
        fresh => print(format_args!("new: {}", fresh.join(", "))),
    }
}

impl Args {
    /// What the file says of itself, where that is known and still true.
    fn metadata(
        &self,
        about: Option<About>,
        spec: &ModelSpec,
        num_classes: Option<i64>,
    ) -> Result<HashMap<String, String>> {
        let model = spec.resolve()?;
        let Some(about) = about.filter(|about| about.model.name == model.name && self.in_chans.is_none())
        else {
            // What Python's libraries look for in a file of PyTorch's layout.
            return Ok(HashMap::from([("format".to_owned(), "pt".to_owned())]));
        };
        let name = |class: usize| about.classes.get(class).cloned().unwrap_or_else(|| class.to_string());
        let classes = match (&self.classes, num_classes) {
            (Some(selected), _) => selected.iter().map(|&class| name(class as usize)).collect(),
            (None, Some(count)) if count as usize != about.classes.len() => {
                (0..count).map(|i| i.to_string()).collect()
            }
            (None, _) => about.classes.clone(),
        };
        let settings = InputSettings { size: self.image_size, ..InputSettings::default() };
        let same = classes == about.classes && self.image_size.is_none();
        let (top1, loss) = if same { (about.top1, about.loss) } else { (None, None) };
        let model = ModelSpec { name: model.name.to_owned(), set: model.fields()? };
        About { model, classes, top1, loss, input: settings.apply(about.input.clone())?, ..about }.metadata()
    }
}
