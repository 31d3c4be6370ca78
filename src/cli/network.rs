//! Which network, or which several, as the verbs that look at pictures name them.

use super::progress::FileBar;
use super::{Dtype, assignments, resolve_device};
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use tchvision::classifier::Builder;
use tchvision::data::image::Interpolation;
use tchvision::data::{InputSettings, ModelInput};
use tchvision::evaluate::Protocol;
use tchvision::train::RunDir;
use tchvision::weights::HUB;
use tchvision::weights::catalogue::{self, Entry};
use tchvision::{Classifier, Usage, brief};

#[derive(clap::Args)]
#[group(id = "network")]
pub struct Args {
    /// Such as `resnet50`, `timm/resnet50`, `resnet50.a1_in1k`; weights of a run here know it. Again for an ensemble, whose
    /// probabilities are the mean of its members': one for each of the weights, or one for all
    #[arg(long, value_name = "NAME[.TAG]", required_unless_present_any = ["run", "weights"])]
    model: Vec<String>,
    /// The run in this directory: its model, input, classes and weights as they are at its end; again for an ensemble
    #[arg(long, value_name = "DIR", conflicts_with = "weights")]
    run: Vec<PathBuf>,
    /// A file, a folder, a run's directory, the tag of public weights, or a repository of the hub; without it, those of the model's name; again for an ensemble
    #[arg(long, value_name = "FILE|DIR|TAG|hf:OWNER/NAME")]
    weights: Vec<String>,
    /// Override a field of the model's configuration, for weights from a file
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    input: Input,
    /// The state_dict, or the module in one, under this key, where the file has several
    #[arg(long, visible_alias = "prefix", value_name = "KEY")]
    key: Option<String>,
    /// Pairs of the model's names and the file's, as `weights map` writes them
    #[arg(long, value_name = "MAP.yaml")]
    map: Option<PathBuf>,
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
    /// The classifiers that the flags describe: one, or the members of an ensemble.
    pub fn builders(&self) -> Result<Vec<Builder>> {
        // Before anything else asks libtorch about CUDA.
        let device = resolve_device(&self.device)?;
        let builder = |source: Builder| {
            let mut builder = source.device(device);
            if let Some(dtype) = self.dtype {
                builder = builder.dtype(dtype.kind());
            }
            for (field, value) in assignments(&self.set)? {
                builder = builder.set(field, value);
            }
            if let Some(key) = &self.key {
                builder = builder.key(key);
            }
            if let Some(map) = &self.map {
                builder = builder.map(map);
            }
            if self.ema || self.raw {
                builder = builder.averaged(self.ema);
            }
            Ok(self.input.of(builder))
        };
        self.sources()?.into_iter().map(builder).collect()
    }

    /// What the flags call each of them, in the order of [`Self::builders`].
    pub fn names(&self) -> Vec<String> {
        let runs = self.run.iter().map(|run| run.display().to_string());
        let weights: Vec<String> = runs.chain(self.weights.iter().cloned()).collect();
        let model = |i: usize| self.model.get(if self.model.len() == 1 { 0 } else { i });
        let name = |i: usize| match (model(i), weights.get(i)) {
            (Some(model), Some(weights)) => format!("{model} {weights}"),
            (Some(name), None) | (None, Some(name)) => name.clone(),
            (None, None) => String::new(),
        };
        (0..self.model.len().max(weights.len())).map(name).collect()
    }

    /// With what the flags say of device, dtype and input, for weights that are found otherwise.
    pub fn set_on(&self, source: Builder) -> Result<Builder> {
        let mut builder = source.device(resolve_device(&self.device)?);
        if let Some(dtype) = self.dtype {
            builder = builder.dtype(dtype.kind());
        }
        Ok(self.input.of(builder))
    }

    /// The one classifier that the flags describe.
    pub fn builder(&self) -> Result<Builder> {
        let several = |_| Usage("one network at a time: name one --model, --weights or --run".to_owned());
        let [builder] = <[_; 1]>::try_from(self.builders()?).map_err(several)?;
        Ok(builder)
    }

    /// How the runs were tested at their ends.
    pub fn protocol(&self) -> Result<Protocol> {
        let mut protocols = Vec::new();
        for run in &self.run {
            protocols.push(RunDir::new(run).config()?.map_or_else(Protocol::default, |run| run.protocol));
        }
        protocols.dedup();
        match &protocols[..] {
            [] => Ok(Protocol::default()),
            [protocol] => Ok(protocol.clone()),
            [a, b, ..] => {
                Err(Usage(format!("one run was tested {a}, another {b}: choose by --protocol")).into())
            }
        }
    }

    /// The models and their weights.
    fn sources(&self) -> Result<Vec<Builder>> {
        let (models, files) = (self.model.len(), self.run.len() + self.weights.len());
        let count = models.max(files);
        let fits = models <= 1 || files == 0 || models == files;
        let text = format!("{models} models for {files} weights: name one model, or one for each");
        ensure!(fits, Usage(text));
        let source = |i: usize| {
            let model = self.model.get(if models == 1 { 0 } else { i });
            self.source(model.map(String::as_str), self.run.get(i), self.weights.get(i))
        };
        (0..count).map(source).collect()
    }

    /// A model and its weights.
    fn source(
        &self,
        model: Option<&str>,
        run: Option<&PathBuf>,
        weights: Option<&String>,
    ) -> Result<Builder> {
        let named = || model.map_or_else(Builder::default, Classifier::builder);
        if let Some(run) = run {
            return Ok(named().file(run));
        }
        match (weights, model) {
            (Some(file), _) if Path::new(file).exists() || file.starts_with(HUB) => Ok(named().file(file)),
            (Some(tag), Some(model)) => {
                let name = format!("{model}.{tag}");
                catalogue::find(&name).map_err(|error| {
                    Usage(format!("--weights {tag}: no such file, and {}", brief(&error)))
                })?;
                Ok(Classifier::builder(&name))
            }
            (Some(file), None) => Err(Usage(format!("--weights {file}: no such file")).into()),
            (None, _) => Ok(named()),
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
