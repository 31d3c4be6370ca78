//! Which model and weights a classifier is made of, and what is known of them.

use super::cut::Cut;
use crate::data::{InputSettings, ModelInput, Preprocess, TestSet};
use crate::models::{Architecture, Model, ModelSpec};
use crate::nn::Store;
use crate::torch::device;
use crate::train::RunWeights;
use crate::weights::catalogue::{self, Entry};
use crate::weights::{self, About, Archive, Classes, Mapping, Origin, StateFile, checkpoint_weights};
use crate::{Remedy, Usage};
use anyhow::{Context, Error, Result, ensure};
use std::path::PathBuf;
use tch::{Device, Kind};

/// What a [`crate::Classifier`] is made of.
#[derive(Clone, Debug)]
pub struct Builder {
    name: Option<String>,
    file: Option<PathBuf>,
    key: Option<String>,
    map: Option<PathBuf>,
    averaged: Option<bool>,
    /// Up to which stage, or to the classifier, where its outputs are features.
    features: Option<Option<String>>,
    fields: Vec<(String, String)>,
    data: Option<[(&'static str, i64); 2]>,
    settings: InputSettings,
    test_settings: bool,
    device: Device,
    dtype: Option<Kind>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            name: None,
            file: None,
            key: None,
            map: None,
            averaged: None,
            features: None,
            fields: Vec::new(),
            data: None,
            settings: InputSettings::default(),
            test_settings: false,
            device: Device::Cpu,
            dtype: None,
        }
    }
}

impl Builder {
    /// Of this model; in place of what a file says of itself.
    pub(super) fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Weights from a file, or of the run in a directory, instead of the public ones of the name.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// The state_dict under this key, where the file has several.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// A YAML file that pairs the model's names with the file's; see [`Mapping`].
    pub fn map(mut self, path: impl Into<PathBuf>) -> Self {
        self.map = Some(path.into());
        self
    }

    /// Of a run's last checkpoint the averaged weights, or the raw ones; averaged unless told otherwise, where there are
    /// such: these are what the run tests.
    pub fn averaged(mut self, averaged: bool) -> Self {
        self.averaged = Some(averaged);
        self
    }

    /// With what the classifier takes as outputs, or the output of a stage, flattened.
    pub fn features(mut self, layer: Option<&str>) -> Self {
        self.features = Some(layer.map(str::to_owned));
        self
    }

    /// Overrides a field of the model's configuration, for weights from a file; `value` is read as YAML.
    pub fn set(mut self, field: &str, value: &str) -> Self {
        self.fields.push((field.to_owned(), value.to_owned()));
        self
    }

    /// The model that a run builds for such data, unless [`Self::set`] or the file says otherwise: of its classes and
    /// channels. For weights from a file, and images of one size.
    pub fn trained_on(mut self, data: &TestSet) -> Self {
        if let TestSet::Images(data, _) = data {
            let [classes, channels] = [data.classes.len(), data.images.channels].map(|n| n as i64);
            self.data = Some([("num_classes", classes), ("in_chans", channels)]);
        }
        self
    }

    /// How pictures become the input, in place of what the weights were trained for. For another size tables of positions
    /// are resampled.
    pub fn input(mut self, settings: InputSettings) -> Self {
        self.settings = settings;
        self
    }

    /// The larger input or other crop with which the weights' library evaluates them.
    pub fn test_settings(mut self) -> Self {
        self.test_settings = true;
        self
    }

    /// Where the model is: on the CPU unless told otherwise. Comes from [`device::resolve`].
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// What the frozen model computes in: float32, or bfloat16, which is faster where the processor or the GPU knows it,
    /// and rounds. Unless told otherwise float32, or what a run here has tested its weights in.
    pub fn dtype(mut self, kind: Kind) -> Self {
        self.dtype = Some(kind);
        self
    }

    /// Reads the weights, or fetches them where they are public.
    pub(super) fn parts(self, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<Parts> {
        device::set_up(self.device, false)?;
        if let Some(path) = &self.file {
            let path = &weights::local(path, progress)?;
            let RunWeights { state, about, note } = RunWeights::open(path, self.key.as_deref())?;
            // A name with a tag, or of public weights, tells how their pictures are prepared.
            let entry = self.name.as_ref().and_then(|name| catalogue::find(name).ok());
            let origin = if about.is_none() { Origin::of(&state)? } else { None };
            return self.read(state, Known { entry, about, origin, notes: note.into_iter().collect() });
        }
        let name = self.name.as_ref().context("a builder without model and file")?;
        if !self.fields.is_empty() || self.key.is_some() || self.map.is_some() || self.averaged.is_some() {
            let text = "fields to set, a state_dict's key, a map of names and averaged weights are of a file";
            return Err(Error::new(Remedy::WeightsFile).context(Usage(format!("{name}: {text}"))));
        }
        let entry = catalogue::find(name).map_err(usage)?;
        let state = Archive::open(&weights::fetch(entry, progress)?)?.choose(None)?;
        Self { data: None, ..self }
            .read(state, Known { entry: Some(entry), about: None, origin: None, notes: Vec::new() })
    }

    fn read(self, state: StateFile, mut known: Known) -> Result<Parts> {
        let path = state.path().to_owned();
        let mut spec = self.spec(&mut known, &state)?;
        if self.features.is_some() {
            spec.set("num_classes", "0")?;
        }
        let averaged = self.averaged.unwrap_or_else(|| weights::has_averages(&state));
        let state = checkpoint_weights(state, averaged)?;
        let map = self.map.as_deref().map(Mapping::read).transpose()?;
        let pretrained = weights::pretrained_by(map.as_ref(), &spec, &state, Classes::New, self.device)?;
        let spec = pretrained.spec;
        if !pretrained.fresh.is_empty() {
            let fresh = pretrained.fresh.join(", ");
            let text = format!("{}: no classifier ({fresh}) of the model's classes", path.display());
            return Err(Error::new(Remedy::Classes(None)).context(text));
        }
        known.notes.extend(pretrained.notes);
        let architecture = spec.resolve()?;
        let name = architecture.name;
        let classes = architecture.fields()?.get("num_classes").and_then(|value| value.as_u64()).unwrap_or(0);
        ensure!(
            classes > 0 || self.features.is_some(),
            "{name} has no classifier: its outputs are no classes"
        );
        let input = self.model_input(&mut known, &architecture)?;
        let mut source = match known.entry {
            Some(entry) if self.file.is_none() => entry.name(),
            _ => format!("{}: {name}", path.display()),
        };
        if let Some(about) = &known.about {
            let which = if averaged { ", averaged weights" } else { "" };
            let epoch = if about.step > 0 { format!(", epoch {}", about.epoch) } else { String::new() };
            source = format!("{source}{epoch}{which}");
            known.notes.insert(0, source.clone());
        }
        for (field, value) in &self.fields {
            source = format!("{source}, {field}={value}");
        }
        if let Some(key) = &self.key {
            source = format!("{source}, key {key}");
        }
        if let Some(map) = &self.map {
            source = format!("{source}, map {}", map.display());
        }
        if let Some(dtype) = self.dtype {
            source = format!("{source}, {dtype:?}");
        }
        if self.settings != InputSettings::default() {
            source = format!("{source}, {}", self.settings);
        }
        if self.test_settings {
            source.push_str(", test settings");
        }
        let labels = match (&known.about, known.entry) {
            (Some(about), _) if about.classes.len() == classes as usize => Some(about.classes.clone()),
            (None, _) if known.labels().is_some_and(|labels| labels.len() == classes as usize) => {
                known.labels().cloned()
            }
            (None, Some(entry)) if entry.classes == classes as i64 => entry.labels().map(owned),
            _ => catalogue::imagenet_labels(classes as i64).map(owned),
        };
        let model: Box<dyn Model> = match &self.features {
            Some(Some(layer)) => Box::new(Cut::new(pretrained.model, layer)?),
            _ => pretrained.model,
        };
        let autocast = self.dtype.is_none() && known.about.as_ref().is_some_and(|about| about.bfloat16);
        Ok(Parts {
            name,
            model,
            store: pretrained.store,
            device: self.device,
            frozen: (!autocast).then(|| self.dtype.unwrap_or(Kind::Float)),
            classes: classes as usize,
            input,
            settings: self.settings,
            about: known.about,
            labels,
            notes: known.notes,
            source,
            file: self.file.map(|_| path),
        })
    }

    /// How pictures become the input of a model: as the weights or their catalogue say, with the caller's settings.
    fn model_input(&self, known: &mut Known, architecture: &Architecture) -> Result<ModelInput> {
        let test = known.entry.and_then(|entry| entry.test.clone());
        let input = match (&known.about, known.entry) {
            _ if self.test_settings => test.map(ModelInput::from).ok_or_else(|| {
                Usage(format!("{}: its weights have no test settings of their own", architecture.name))
            })?,
            (Some(about), _) => about.input.clone(),
            (None, _) if let Some(input) = known.input() => input.into(),
            (None, Some(entry)) => entry.preprocess.clone().into(),
            (None, None) => {
                let input = self.settings.apply(Preprocess::imagenet(architecture.input()[1]).into())?;
                let Preprocess { input: [_, side, _], resize, .. } = input.preprocess;
                known.notes.push(format!(
                    "{}: no public weights tell how its pictures are prepared: the middle {side} of {resize} pixels is \
                     taken, with ImageNet's mean and deviation",
                    architecture.name
                ));
                input
            }
        };
        let given = self.settings.apply(input.clone())?;
        if known.about.is_some() && given != input {
            known.notes.push(format!("other than it was tested on: {}", self.settings));
        }
        Ok(given)
    }

    /// The model with all fields that are told.
    fn spec(&self, known: &mut Known, state: &StateFile) -> Result<ModelSpec> {
        let named = self.name.as_ref().map(|name| match (known.entry, self.data) {
            // For a data set's classes and channels the model is the one that a run builds.
            (Some(entry), None) => entry.spec(),
            (Some(entry), Some(_)) => Ok(ModelSpec::new(&entry.model)),
            (None, _) => Ok(ModelSpec::new(name)),
        });
        let named = named.transpose()?;
        let same = |about: &About| {
            let resolved = named.as_ref().map(|spec| spec.resolve().map(|model| model.name));
            resolved.is_none_or(|name| name.is_ok_and(|name| name == about.model.name))
        };
        if let Some(about) = known.about.take_if(|about| !same(about)) {
            let there = &about.model.name;
            known.notes.push(format!(
                "{}: says that it is {there}; another model is asked for",
                state.path().display()
            ));
        }
        let (mut spec, from_data) = match (&known.about, named) {
            (Some(about), _) => (about.model.clone(), None),
            // The same network with the fields of its own, such as an epsilon.
            (None, Some(spec)) => match &known.origin {
                Some(origin) if origin.is_of(&spec) => (origin.spec.clone(), self.data),
                _ => (spec, self.data),
            },
            (None, None) => match &known.origin {
                Some(origin) => {
                    known.notes.push(format!("{}: {}", origin.source, origin.spec.name));
                    (origin.spec.clone(), None)
                }
                None => return Err(weights::unnamed(state)),
            },
        };
        let fields = spec.resolve().and_then(|model| model.fields()).map_err(usage)?;
        let size = self.settings.size.map(|side| ("image_size", side));
        let told = from_data.into_iter().flatten().chain(size);
        for (field, value) in told.filter(|(field, _)| fields.contains_key(*field)) {
            spec.set(field, &value.to_string())?;
        }
        self.fields.iter().try_for_each(|(field, value)| spec.set(field, value)).map_err(usage)?;
        spec.resolve().map_err(usage)?;
        Ok(spec)
    }
}

/// A classifier's model, weights, input and outputs.
pub(super) struct Parts {
    pub name: &'static str,
    pub model: Box<dyn Model>,
    pub store: Store,
    pub device: Device,
    /// What the frozen model computes in; `None` for autocast to bfloat16, which needs it as it is.
    pub frozen: Option<Kind>,
    pub classes: usize,
    pub input: ModelInput,
    /// What of the input the caller has set.
    pub settings: InputSettings,
    /// Of weights that a run here has trained.
    pub about: Option<About>,
    pub labels: Option<Vec<String>>,
    pub notes: Vec<String>,
    /// Which weights these are, and how pictures become their input where it is not as they were trained.
    pub source: String,
    /// The file of weights that are not public.
    pub file: Option<PathBuf>,
}

/// What is known of weights beside their tensors.
struct Known {
    entry: Option<&'static Entry>,
    about: Option<About>,
    /// What else lies beside the weights and says whose they are.
    origin: Option<Origin>,
    notes: Vec<String>,
}

impl Known {
    fn labels(&self) -> Option<&Vec<String>> {
        self.origin.as_ref().and_then(|origin| origin.labels.as_ref())
    }

    fn input(&self) -> Option<Preprocess> {
        self.origin.as_ref().and_then(|origin| origin.input.clone())
    }
}

fn owned(labels: Vec<&str>) -> Vec<String> {
    labels.into_iter().map(str::to_owned).collect()
}

/// What the caller named wrongly.
fn usage(error: Error) -> Error {
    ModelSpec::usage(&error).into()
}
