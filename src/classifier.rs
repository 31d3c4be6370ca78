//! The front door: a model with its weights, and what turns pictures into the names of what is in them.
//!
//! ```no_run
//! # use std::path::PathBuf;
//! use tchvision::Classifier;
//!
//! # fn main() -> anyhow::Result<()> {
//! let classifier = Classifier::builder("resnet50.a1_in1k").open(&mut |_file, _bytes, _of| {})?;
//! let pictures = vec![PathBuf::from("cat.jpg"), PathBuf::from("dog.jpg")];
//! classifier.classify(&pictures, 5, 32, &mut |skipped| eprintln!("{}", skipped.reason), &mut |place, top| {
//!     println!("{}: {:?}", pictures[place].display(), top[0].label);
//!     Ok(())
//! })
//! # }
//! ```

use crate::data::{ImageFiles, Loader, LoaderConfig, Pictures, Preprocess, Skipped, TestSet, imagenet};
use crate::evaluate::{Accuracy, Evaluator, Protocol, ReadPictures, Views};
use crate::models::{Model, ModelSpec};
use crate::nn::Store;
use crate::torch::device;
use crate::weights::catalogue::{self, Entry};
use crate::weights::{self, Archive, Classes, checkpoint_weights};
use crate::{Remedy, Usage};
use anyhow::{Error, Result, ensure};
use serde::Serialize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tch::{Device, Kind};

/// A model with its weights, and how pictures become its input and its outputs names.
pub struct Classifier {
    name: &'static str,
    model: Box<dyn Model>,
    store: Store,
    device: Device,
    dtype: Kind,
    classes: usize,
    /// Height and width of the input where it is not the model's own.
    image_size: Option<i64>,
    preprocess: Preprocess,
    labels: Option<Vec<String>>,
    notes: Vec<String>,
}

/// A class of a picture, and how likely it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Likely {
    pub class: usize,
    pub label: Option<String>,
    pub probability: f64,
}

/// What an evaluation found.
pub struct Evaluated {
    /// The names of the classes that a picture may be taken for.
    pub classes: Vec<String>,
    /// Those of them that the data has.
    pub present: Vec<usize>,
    pub accuracy: Accuracy,
    /// Pictures that could not be read.
    pub skipped: usize,
}

/// For fewer views weights stay as they are.
const WORTH_FREEZING: usize = 4;

impl Classifier {
    /// The model of this name, such as `resnet50`, `timm/resnet50` or `resnet50.a1_in1k`.
    pub fn builder(name: &str) -> Builder {
        Builder {
            name: name.to_owned(),
            file: None,
            key: None,
            averaged: false,
            fields: Vec::new(),
            data: None,
            image_size: None,
            device: Device::Cpu,
            dtype: Kind::Float,
        }
    }

    /// The model's registered name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn model(&self) -> &dyn Model {
        self.model.as_ref()
    }

    /// Where the model is.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Outputs of the head.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The names of the outputs, where they are known.
    pub fn labels(&self) -> Option<&[String]> {
        self.labels.as_deref()
    }

    /// How pictures become the input.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// What is assumed of the pictures because nothing tells it.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Makes the model ready for so many views: weights are folded and packed where that takes less time than it saves,
    /// and where they are to be of another dtype.
    fn ready_for(&self, views: usize) {
        if views >= WORTH_FREEZING || self.dtype != Kind::Float {
            self.store.freeze(self.dtype);
        }
    }

    /// The `topk` likeliest classes of pictures, `batch_size` of which go through the network at once. `each` hears, in the
    /// order of the pictures, the place of one and its classes, the likeliest first; `skipped` hears of those that cannot
    /// be read.
    ///
    /// # Errors
    /// A model that does not take its input, and those of `each`.
    pub fn classify(
        &self,
        pictures: &dyn ReadPictures,
        topk: usize,
        batch_size: usize,
        skipped: &mut dyn FnMut(Skipped),
        each: &mut dyn FnMut(usize, Vec<Likely>) -> Result<()>,
    ) -> Result<()> {
        self.ready_for(pictures.count());
        let (preprocess, protocol) = (&self.preprocess, Protocol::Center);
        let evaluator = Evaluator::new(self.model(), self.device, preprocess, protocol)?;
        let source = Views { pictures, label: &|place| place as i64, preprocess, protocol, batch_size };
        let topk = topk.min(self.classes);
        evaluator.run(&source, skipped, &mut |batch, logits| {
            let (likely, best) = logits.f_softmax(1, Kind::Float)?.f_topk(topk as i64, 1, true, true)?;
            let likely = Vec::<f64>::try_from(likely.f_to_kind(Kind::Double)?.f_view(-1)?)?;
            let best = Vec::<i64>::try_from(best.f_view(-1)?)?;
            let places = Vec::<i64>::try_from(&batch.labels)?;
            for (place, (likely, best)) in places.into_iter().zip(likely.chunks(topk).zip(best.chunks(topk)))
            {
                let top = likely.iter().zip(best).map(|(&probability, &class)| {
                    let class = class as usize;
                    let label = self.labels.as_ref().and_then(|labels| labels.get(class).cloned());
                    Likely { class, label, probability }
                });
                each(place as usize, top.collect())?;
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The accuracy on labelled pictures, about `batch_size` views of which go through the network at once; `skipped`
    /// hears of those that cannot be read.
    ///
    /// # Errors
    /// Data whose classes are not the model's outputs, that the protocol is not for ([`Usage`]), or of which nothing can
    /// be read.
    pub fn evaluate(
        &self,
        data: TestSet,
        protocol: Protocol,
        batch_size: usize,
        skipped: &mut dyn FnMut(Skipped),
    ) -> Result<Evaluated> {
        let mut count = 0;
        let mut skipped = |picture| {
            count += 1;
            skipped(picture);
        };
        let (name, classes, has, accuracy) = match data {
            TestSet::Files(files) => {
                let files = self.among_outputs(&files).unwrap_or(files);
                self.fits(files.classes.len(), &files.name)?;
                self.ready_for(files.len() * protocol.count());
                let preprocess = &self.preprocess;
                let evaluator = Evaluator::new(self.model(), self.device, preprocess, protocol)?;
                let label = |place: usize| files.labels[place];
                let source = Views { pictures: &files, label: &label, preprocess, protocol, batch_size };
                let accuracy = Accuracy::measure(&evaluator, &source, files.classes.len(), &mut skipped)?;
                (files.name.clone(), files.classes.clone(), files.label_counts(), accuracy)
            }
            TestSet::Images(data, statistics) => {
                if protocol != Protocol::Center {
                    let why = "its pictures are tested whole, by no other protocol than center";
                    return Err(Usage(format!("{}: {why}", data.name)).into());
                }
                self.fits(data.classes.len(), &data.name)?;
                self.ready_for(data.images.count);
                let mut evaluator = Evaluator::of_images(self.model(), self.device, statistics);
                if let Some(side) = self.image_size {
                    evaluator = evaluator.resized([side, side]);
                }
                let pinned = self.device.is_cuda();
                let config = LoaderConfig { pinned, ..LoaderConfig::in_order(batch_size) };
                let (name, classes, has) = (data.name.clone(), data.classes.clone(), data.label_counts());
                let loader = Loader::new(Pictures::Memory(data), config)?;
                let accuracy = Accuracy::measure(&evaluator, &loader, classes.len(), &mut skipped)?;
                (name, classes, has, accuracy)
            }
        };
        ensure!(accuracy.total().images > 0, "{name}: none of its {count} pictures could be read");
        let present = (0..).zip(has).filter(|(_, count)| *count > 0).map(|(class, _)| class).collect();
        Ok(Evaluated { classes, present, accuracy, skipped: count })
    }

    /// Pictures of some synsets for a network that knows a whole ImageNet: every output may win.
    fn among_outputs(&self, files: &ImageFiles) -> Option<ImageFiles> {
        let known = imagenet().iter().find(|known| known.classes as usize == self.classes)?;
        (files.classes.len() < self.classes).then(|| files.relabelled(known.synsets()))?
    }

    /// The model's outputs must be the data's classes.
    fn fits(&self, classes: usize, data: &str) -> Result<()> {
        if self.classes == classes {
            return Ok(());
        }
        let Self { name, classes: outputs, .. } = self;
        let text = format!("{data} has {classes} classes, {name} has {outputs} outputs");
        Err(Error::new(Remedy::Classes(Some(classes))).context(text))
    }
}

/// What a [`Classifier`] is made of.
#[derive(Clone, Debug)]
pub struct Builder {
    name: String,
    file: Option<PathBuf>,
    key: Option<String>,
    averaged: bool,
    fields: Vec<(String, String)>,
    data: Option<[(&'static str, i64); 2]>,
    image_size: Option<i64>,
    device: Device,
    dtype: Kind,
}

impl Builder {
    /// Weights from a file instead of the public ones of the name.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// The state_dict under this key, where the file has several.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Of a run's last checkpoint, the averaged weights instead of the raw ones.
    pub fn averaged(mut self) -> Self {
        self.averaged = true;
        self
    }

    /// Overrides a field of the model's configuration, for weights from a file; `value` is read as YAML.
    pub fn set(mut self, field: &str, value: &str) -> Self {
        self.fields.push((field.to_owned(), value.to_owned()));
        self
    }

    /// The model that a run builds for such data, unless [`Self::set`] says otherwise: of its classes and channels. For
    /// weights from a file, and images of one size.
    pub fn trained_on(mut self, data: &TestSet) -> Self {
        if let TestSet::Images(data, _) = data {
            let [classes, channels] = [data.classes.len(), data.images.channels].map(|n| n as i64);
            self.data = Some([("num_classes", classes), ("in_chans", channels)]);
        }
        self
    }

    /// Height and width of the input, tables of positions resampled to them; without it, those of the weights.
    pub fn image_size(mut self, side: i64) -> Self {
        self.image_size = Some(side);
        self
    }

    /// Where the model is: on the CPU unless told otherwise. Comes from [`device::resolve`].
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// What the frozen model computes in: float32, or bfloat16, which is faster where the processor or the GPU knows it,
    /// and rounds.
    pub fn dtype(mut self, kind: Kind) -> Self {
        self.dtype = kind;
        self
    }

    /// Reads the weights, or fetches them where they are public; `progress` hears file, bytes so far, and bytes in all.
    ///
    /// # Errors
    /// A name, field or value that cannot be ([`Usage`]), and weights that cannot be had, are not this model's, or have no
    /// classifier.
    pub fn open(self, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<Classifier> {
        device::set_up(self.device, false)?;
        if let Some(file) = &self.file {
            // A name with a tag, or of public weights, tells how their pictures are prepared.
            return self.read(file, catalogue::find(&self.name).ok());
        }
        if !self.fields.is_empty() || self.key.is_some() || self.averaged {
            let text = "fields to set, a state_dict's key and averaged weights are of a file";
            return Err(Error::new(Remedy::WeightsFile).context(Usage(format!("{}: {text}", self.name))));
        }
        let entry = catalogue::find(&self.name).map_err(usage)?;
        let file = fetch(entry, progress)?;
        Self { data: None, ..self }.read(&file, Some(entry))
    }

    fn read(&self, file: &Path, entry: Option<&'static Entry>) -> Result<Classifier> {
        let spec = self.spec(entry)?;
        let state = checkpoint_weights(Archive::open(file)?.choose(self.key.as_deref())?, self.averaged)?;
        let pretrained = weights::pretrained(&spec, &state, Classes::New, self.device)?;
        if !pretrained.fresh.is_empty() {
            let fresh = pretrained.fresh.join(", ");
            let text = format!("{}: no classifier ({fresh}) of the model's classes", file.display());
            return Err(Error::new(Remedy::Classes(None)).context(text));
        }
        let architecture = spec.resolve()?;
        let name = architecture.name;
        let classes = architecture.fields()?.get("num_classes").and_then(|value| value.as_u64()).unwrap_or(0);
        ensure!(classes > 0, "{name} has no classifier: its outputs are no classes");
        let mut notes = Vec::new();
        let preprocess = match (entry, self.image_size) {
            (Some(entry), None) => entry.preprocess.clone(),
            (Some(entry), Some(side)) => entry.preprocess.clone().at(side),
            (None, side) => {
                let preprocess = Preprocess::imagenet(side.unwrap_or(architecture.input()[1]));
                notes.push(format!(
                    "{name}: no public weights tell how its pictures are prepared: the middle {} of {} pixels is taken, \
                     with ImageNet's mean and deviation",
                    preprocess.input[1], preprocess.resize
                ));
                preprocess
            }
        };
        let labels = match entry.filter(|entry| entry.classes == classes as i64) {
            Some(entry) => entry.labels(),
            None => catalogue::imagenet_labels(classes as i64),
        };
        Ok(Classifier {
            name,
            model: pretrained.model,
            store: pretrained.store,
            device: self.device,
            dtype: self.dtype,
            classes: classes as usize,
            image_size: self.image_size,
            preprocess,
            labels: labels.map(|labels| labels.into_iter().map(str::to_owned).collect()),
            notes,
        })
    }

    /// The model with all fields that are told.
    fn spec(&self, entry: Option<&Entry>) -> Result<ModelSpec> {
        // For a data set's classes and channels the model is the one that a run builds.
        let mut spec = match (entry, self.data) {
            (Some(entry), None) => entry.spec()?,
            (Some(entry), Some(_)) => ModelSpec::new(&entry.model),
            (None, _) => ModelSpec::new(&self.name),
        };
        let fields = spec.resolve().and_then(|model| model.fields()).map_err(usage)?;
        let size = self.image_size.map(|side| ("image_size", side));
        let told = self.data.into_iter().flatten().chain(size);
        for (field, value) in told.filter(|(field, _)| fields.contains_key(*field)) {
            spec.set(field, &value.to_string())?;
        }
        self.fields.iter().try_for_each(|(field, value)| spec.set(field, value)).map_err(usage)?;
        spec.resolve().map_err(usage)?;
        Ok(spec)
    }
}

/// The file of public weights, from the cache or the network.
#[cfg(feature = "hub")]
fn fetch(entry: &Entry, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<PathBuf> {
    Ok(weights::Hub::from_env()?.fetch(entry, progress)?.path)
}

#[cfg(not(feature = "hub"))]
fn fetch(entry: &Entry, _: &mut dyn FnMut(&str, u64, u64)) -> Result<PathBuf> {
    let text = format!("{}: built without the feature `hub`, which fetches public weights", entry.name());
    Err(Error::new(Remedy::WeightsFile).context(text))
}

/// What the caller named wrongly.
fn usage(error: Error) -> Error {
    ModelSpec::usage(&error).into()
}
