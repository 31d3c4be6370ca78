//! A network with its weights and its preprocessing, as the verbs that look at pictures name it.

use super::progress::FileBar;
use super::{Dtype, resolve_device};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use tch::Device;
use tchvision::data::Preprocess;
use tchvision::data::image::{self, RgbImage};
use tchvision::evaluate::Protocol;
use tchvision::models::{Model, ModelSpec};
use tchvision::nn::Store;
use tchvision::torch::device;
use tchvision::train::checkpoint_weights;
use tchvision::weights::catalogue::{self, Entry};
use tchvision::weights::{Archive, Classes, Hub, pretrained};
use tchvision::{Usage, brief};

#[derive(clap::Args)]
pub struct Args {
    /// Such as `resnet50`, `timm/resnet50`, `resnet50.a1_in1k`
    #[arg(long, value_name = "NAME[.TAG]")]
    pub model: String,
    /// A file, or the tag of public weights; without it, those of the model's name
    #[arg(long, value_name = "FILE|TAG")]
    weights: Option<String>,
    /// Override a field of the model's configuration, for weights from a file
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Height and width of the input, tables of positions resampled to them; without it, those of the weights
    #[arg(long, value_name = "SIDE")]
    image_size: Option<i64>,
    /// The state_dict under this key, where the file has several
    #[arg(long)]
    key: Option<String>,
    /// Of a run's `last.safetensors`, the averaged weights instead of the raw ones
    #[arg(long)]
    ema: bool,
    /// `cpu`, `cuda`, `cuda:N`, or `auto`: a GPU where there is one
    #[arg(long, default_value = "cpu")]
    device: String,
    /// What a frozen model computes in; bfloat16 is faster where the processor or the GPU knows it, and rounds
    #[arg(long, default_value = "float32")]
    dtype: Dtype,
}

/// For fewer views weights stay as they are.
const WORTH_FREEZING: usize = 4;

/// A network with its weights.
pub struct Network {
    /// The model's registered name.
    pub name: String,
    pub model: Box<dyn Model>,
    pub device: Device,
    store: Store,
    dtype: Dtype,
    /// Outputs of the head.
    pub classes: usize,
    /// Height and width of the input that the model is stated for.
    side: i64,
    /// Another height and width of the input, which the command line asked for.
    image_size: Option<i64>,
    /// The public weights of its name.
    entry: Option<&'static Entry>,
}

impl Args {
    /// Reads or fetches the weights. Fields in `also` are set where the command line does not.
    pub fn open(&self, also: &[(&str, i64)]) -> Result<Network> {
        // Before anything else asks libtorch about CUDA.
        let device = resolve_device(&self.device)?;
        device::set_up(device, false)?;
        let file = self.weights.as_deref().map(Path::new).filter(|path| path.exists());
        if let Some(file) = file {
            // A name with a tag, or of public weights, tells how their pictures are prepared.
            return self.read(file, catalogue::find(&self.model).ok(), also, device);
        }
        if !self.set.is_empty() || self.key.is_some() || self.ema {
            return Err(Usage("--set, --key and --ema go with a file of weights".into()).into());
        }
        let entry = self.entry()?;
        let progress = FileBar::new();
        let fetched = Hub::from_env()?.fetch(entry, &mut |file, done, total| progress.set(file, done, total));
        progress.finish();
        self.read(&fetched?.path, Some(entry), &[], device)
    }

    /// The public weights that the name and the tag mean.
    fn entry(&self) -> Result<&'static Entry> {
        let name = match &self.weights {
            Some(tag) => format!("{}.{tag}", self.model),
            None => self.model.clone(),
        };
        catalogue::find(&name).map_err(|error| {
            let no_file =
                self.weights.as_ref().map(|weights| format!("--weights {weights}: no such file, and "));
            Usage(format!("{}{}", no_file.unwrap_or_default(), brief(&error))).into()
        })
    }

    fn read(
        &self,
        file: &Path,
        entry: Option<&'static Entry>,
        also: &[(&str, i64)],
        device: Device,
    ) -> Result<Network> {
        let usage = |e: anyhow::Error| Usage(brief(&e));
        // For a data set's classes and channels the model is the one that `train` builds.
        let mut spec = match (entry, also) {
            (Some(entry), []) => entry.spec()?,
            (Some(entry), _) => ModelSpec::new(&entry.model),
            (None, _) => ModelSpec::new(&self.model),
        };
        let fields = spec.resolve().and_then(|model| model.fields()).map_err(usage)?;
        let size = self.image_size.map(|side| ("image_size", side));
        for (field, value) in
            also.iter().copied().chain(size).filter(|(field, _)| fields.contains_key(*field))
        {
            spec.set(field, &value.to_string())?;
        }
        assign(&mut spec, &self.set)?;
        spec.resolve().map_err(usage)?;
        let state = checkpoint_weights(Archive::open(file)?.choose(self.key.as_deref())?, self.ema)?;
        let pretrained = pretrained(&spec, &state, Classes::New, device)?;
        ensure!(
            pretrained.fresh.is_empty(),
            "{}: no classifier ({}) of the model's classes; --set num_classes=N tells how many the file has",
            file.display(),
            pretrained.fresh.join(", ")
        );
        let architecture = spec.resolve()?;
        let classes = architecture.fields()?.get("num_classes").and_then(|value| value.as_u64()).unwrap_or(0);
        ensure!(classes > 0, "{} has no classifier: its outputs are no classes", architecture.name);
        Ok(Network {
            name: architecture.name.to_owned(),
            model: pretrained.model,
            device,
            store: pretrained.store,
            dtype: self.dtype,
            classes: classes as usize,
            side: architecture.input()[1],
            image_size: self.image_size,
            entry,
        })
    }
}

/// Sets fields of a model's configuration as `--set FIELD=VALUE` spells them.
pub fn assign(spec: &mut ModelSpec, assignments: &[String]) -> Result<()> {
    for assignment in assignments {
        let (field, value) = assignment.split_once('=').ok_or_else(|| {
            Usage(format!("--set {assignment}: write FIELD=VALUE, such as --set num_classes=10"))
        })?;
        spec.set(field, value).map_err(|e| Usage(brief(&e)))?;
    }
    Ok(())
}

/// How pictures become the input of a model, by the name of its public weights, or an input of another size.
pub fn preprocess(name: &str, side: Option<i64>) -> Result<Preprocess> {
    let entry = catalogue::find(name).map_err(|error| Usage(brief(&error)))?;
    Ok(sized(entry.preprocess.clone(), side))
}

/// The same share of the picture in another size.
fn sized(preprocess: Preprocess, side: Option<i64>) -> Preprocess {
    let Some(side) = side else { return preprocess };
    let resize = (side as f64 / preprocess.crop_pct).floor() as i64;
    Preprocess { input: [3, side, side], resize, ..preprocess }
}

impl Network {
    /// Makes it ready for so many views: weights are folded and packed where that takes less time than it saves, and where
    /// they are to be of another dtype.
    pub fn expect(&self, views: usize) {
        if views >= WORTH_FREEZING || self.dtype != Dtype::Float32 {
            self.store.freeze(self.dtype.kind());
        }
    }

    /// How pictures become its input. Where no public weights tell, says on stderr what is assumed.
    pub fn preprocess(&self) -> Preprocess {
        if let Some(entry) = self.entry {
            return sized(entry.preprocess.clone(), self.image_size);
        }
        let preprocess = Preprocess::imagenet(self.image_size.unwrap_or(self.side));
        eprintln!(
            "{}: no public weights tell how its pictures are prepared: the middle {} of {} pixels is taken, with \
             ImageNet's mean and deviation",
            self.name, preprocess.input[1], preprocess.resize
        );
        preprocess
    }

    /// The names of the outputs, where they are known.
    pub fn labels(&self) -> Option<Vec<&'static str>> {
        let public = self.entry.filter(|entry| entry.classes == self.classes as i64);
        match public {
            Some(entry) => entry.labels(),
            None => catalogue::imagenet_labels(self.classes as i64),
        }
    }
}

/// The views of a picture in a file; an error names the file.
pub fn views(protocol: Protocol, preprocess: &Preprocess, path: &Path) -> Result<Vec<RgbImage>> {
    let image = image::read(path)?;
    protocol.views(preprocess, &image).with_context(|| path.display().to_string())
}
