//! Which network, as the verbs that look at pictures name it.

use super::progress::FileBar;
use super::{Dtype, assignments, resolve_device};
use anyhow::Result;
use std::path::Path;
use tchvision::classifier::Builder;
use tchvision::weights::catalogue;
use tchvision::{Classifier, Usage, brief};

#[derive(clap::Args)]
#[group(id = "network")]
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

impl Args {
    /// The classifier that the flags describe.
    pub fn builder(&self) -> Result<Builder> {
        // Before anything else asks libtorch about CUDA.
        let device = resolve_device(&self.device)?;
        let mut builder = match &self.weights {
            Some(file) if Path::new(file).exists() => Classifier::builder(&self.model).file(file),
            Some(tag) => {
                let name = format!("{}.{tag}", self.model);
                catalogue::find(&name).map_err(|error| {
                    Usage(format!("--weights {tag}: no such file, and {}", brief(&error)))
                })?;
                Classifier::builder(&name)
            }
            None => Classifier::builder(&self.model),
        };
        builder = builder.device(device).dtype(self.dtype.kind());
        for (field, value) in assignments(&self.set)? {
            builder = builder.set(field, value);
        }
        if let Some(side) = self.image_size {
            builder = builder.image_size(side);
        }
        if let Some(key) = &self.key {
            builder = builder.key(key);
        }
        Ok(if self.ema { builder.averaged() } else { builder })
    }
}

/// Opens a classifier with a bar for weights that are fetched.
pub fn open(builder: Builder) -> Result<Classifier> {
    let progress = FileBar::new();
    let classifier = builder.open(&mut |file, done, total| progress.set(file, done, total));
    progress.finish();
    classifier
}

/// Says on stderr what is assumed of pictures.
pub fn show_notes(classifier: &Classifier) {
    classifier.notes().iter().for_each(|note| eprintln!("{note}"));
}
