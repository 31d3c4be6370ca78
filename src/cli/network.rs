//! Which network, as the verbs that look at pictures name it.

use super::progress::FileBar;
use super::{Dtype, assignments, resolve_device};
use anyhow::Result;
use std::path::{Path, PathBuf};
use tchvision::classifier::Builder;
use tchvision::data::image::Interpolation;
use tchvision::data::{InputSettings, ModelInput};
use tchvision::weights::catalogue::{self, Entry};
use tchvision::{Classifier, Usage, brief};

#[derive(clap::Args)]
#[group(id = "network")]
pub struct Args {
    /// Such as `resnet50`, `timm/resnet50`, `resnet50.a1_in1k`; weights of a run here know it
    #[arg(long, value_name = "NAME[.TAG]", required_unless_present_any = ["run", "weights"])]
    model: Option<String>,
    /// The run in this directory: its model, input, classes and weights as they are at its end
    #[arg(long, value_name = "DIR", conflicts_with = "weights")]
    run: Option<PathBuf>,
    /// A file, a run's directory, or the tag of public weights; without it, those of the model's name
    #[arg(long, value_name = "FILE|DIR|TAG")]
    weights: Option<String>,
    /// Override a field of the model's configuration, for weights from a file
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    input: Input,
    /// The state_dict under this key, where the file has several
    #[arg(long)]
    key: Option<String>,
    /// Of a run's `last.safetensors` the averaged weights, which are taken by themselves where there are such
    #[arg(long, conflicts_with = "raw")]
    ema: bool,
    /// Of a run's `last.safetensors` the weights as they are trained, not averaged
    #[arg(long)]
    raw: bool,
    /// `cpu`, `cuda`, `cuda:N`, or `auto`: a GPU where there is one
    #[arg(long, default_value = "cpu")]
    device: String,
    /// What a frozen model computes in: float32, unless the weights were tested in bfloat16, which is faster where the
    /// processor or the GPU knows it, and rounds
    #[arg(long)]
    dtype: Option<Dtype>,
}

/// How pictures become the input.
#[derive(Clone, clap::Args)]
#[group(id = "input")]
pub struct Input {
    /// Height and width of the input, tables of positions resampled to them; without it, those of the weights
    #[arg(long, visible_alias = "image-size", value_name = "SIDE")]
    size: Option<i64>,
    /// The fraction of the resized picture that the crop keeps, such as 0.875; without it, that of the weights
    #[arg(long, value_name = "FRACTION")]
    crop: Option<f64>,
    /// How pictures are resized; without it, as the weights were trained
    #[arg(long, value_enum)]
    interpolation: Option<Interpolation>,
    /// The mean of each channel, for pixels in [0, 1]
    #[arg(long, value_name = "R,G,B", value_delimiter = ',')]
    mean: Option<Vec<f32>>,
    /// The standard deviation of each channel
    #[arg(long, value_name = "R,G,B", value_delimiter = ',')]
    std: Option<Vec<f32>>,
    /// The larger input or other crop with which the weights' library evaluates them, for public weights
    #[arg(long)]
    test_settings: bool,
}

impl Input {
    /// With what the flags say of the input.
    pub fn of(&self, builder: Builder) -> Builder {
        let builder = builder.input(self.settings());
        if self.test_settings { builder.test_settings() } else { builder }
    }

    /// Of public weights, without the weights.
    pub fn of_entry(&self, entry: &Entry) -> Result<ModelInput> {
        let none = || Usage(format!("{}: it has no test settings of its own", entry.name()));
        let preprocess =
            if self.test_settings { entry.test.clone().ok_or_else(none)? } else { entry.preprocess.clone() };
        self.settings().apply(preprocess.into())
    }

    fn settings(&self) -> InputSettings {
        let Self { size, crop, interpolation, mean, std, .. } = self.clone();
        InputSettings { size, crop, interpolation, mean, std }
    }
}

impl Args {
    /// The classifier that the flags describe.
    pub fn builder(&self) -> Result<Builder> {
        // Before anything else asks libtorch about CUDA.
        let device = resolve_device(&self.device)?;
        let mut builder = self.source()?.device(device);
        if let Some(dtype) = self.dtype {
            builder = builder.dtype(dtype.kind());
        }
        for (field, value) in assignments(&self.set)? {
            builder = builder.set(field, value);
        }
        if let Some(key) = &self.key {
            builder = builder.key(key);
        }
        if self.ema || self.raw {
            builder = builder.averaged(self.ema);
        }
        Ok(self.input.of(builder))
    }

    /// The model and its weights.
    fn source(&self) -> Result<Builder> {
        let named = |name: &Option<String>| {
            name.as_ref().map_or_else(Builder::default, |name| Classifier::builder(name))
        };
        if let Some(run) = &self.run {
            return Ok(named(&self.model).file(run));
        }
        match (&self.weights, &self.model) {
            (Some(file), model) if Path::new(file).exists() => Ok(named(model).file(file)),
            (Some(tag), Some(model)) => {
                let name = format!("{model}.{tag}");
                catalogue::find(&name).map_err(|error| {
                    Usage(format!("--weights {tag}: no such file, and {}", brief(&error)))
                })?;
                Ok(Classifier::builder(&name))
            }
            (Some(file), None) => Err(Usage(format!("--weights {file}: no such file")).into()),
            (None, model) => Ok(named(model)),
        }
    }
}

/// Opens a classifier with a bar for weights that are fetched.
pub fn open(builder: Builder) -> Result<Classifier> {
    let progress = FileBar::new();
    let classifier = builder.open(&mut |file, done, total| progress.set(file, done, total));
    progress.finish();
    classifier
}

/// Says on stderr which weights these are, and what is assumed.
pub fn show_notes(classifier: &Classifier) {
    classifier.notes().iter().for_each(|note| eprintln!("{note}"));
}
