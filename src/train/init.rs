//! Finding the weights that a run starts from, and what a run takes over beside them.

use super::config::RunConfig;
use super::event::Event;
use super::init_config::{Head, InitConfig};
use super::run_dir::RunDir;
use super::run_weights::{self, RunWeights};
use super::teacher;
use crate::data::{ModelInput, Preprocess};
use crate::models::{Architecture, Model, ModelSpec};
use crate::nn::Store;
use crate::weights::catalogue::{self, Entry, Location};
use crate::weights::{self, Classes, Mapping, Parent, Pretrained};
use crate::{Invalid, Remedy, Usage};
use anyhow::{Context, Error, Result, bail, ensure};
use std::fmt;
use std::path::{Path, PathBuf};
use tch::{Device, Tensor};

/// The weights that a run starts from.
pub(super) struct Origin<'a> {
    init: &'a InitConfig,
    pub parent: Parent,
    /// How their pictures are prepared, where it is known and all of the model is taken over.
    pub input: Option<ModelInput>,
    weights: RunWeights,
}

/// A model that has taken over weights.
pub(super) struct Started {
    pub model: Box<dyn Model>,
    pub store: Store,
    /// With all fields, also those that the library of the weights has otherwise.
    pub spec: ModelSpec,
    /// The tensors that are new.
    pub fresh: Vec<String>,
    /// What was done to names and weights that is not plain.
    pub notes: Vec<String>,
}

impl<'a> Origin<'a> {
    /// Finds the weights of a run in `dir`, and fetches them where they are elsewhere.
    ///
    /// # Errors
    /// Weights that are not there, or that cannot be read.
    pub fn find(init: &'a InitConfig, dir: &RunDir, observe: &mut dyn FnMut(Event)) -> Result<Self> {
        let mut find = || -> Result<Self> {
            let path = init.path(dir, observe)?;
            let weights = RunWeights::open(&path, init.key.as_deref())?;
            let parent = match &init.sha256 {
                Some(sha256) => {
                    Parent { file: path.display().to_string(), sha256: sha256.clone(), new: Vec::new() }
                }
                None => Parent::of(&path)?,
            };
            let input = if init.layers.is_empty() { init.input(&weights)? } else { None };
            Ok(Self { init, parent, input, weights })
        };
        find().context("`init`")
    }

    /// The model with these weights on `device`, adapted to its classes, channels and size; what is new is initialised from
    /// the global generator.
    ///
    /// # Errors
    /// Weights of another model, or a classifier of other classes that is to be kept.
    pub fn start(self, architecture: &Architecture, device: Device) -> Result<Started> {
        let Self { init, weights, .. } = self;
        let at = weights.state.path().display().to_string();
        let spec = ModelSpec { name: architecture.name.to_owned(), set: architecture.fields()? };
        if !init.layers.is_empty() {
            let store = Store::new(device);
            let model = architecture.build(&store)?;
            let taken = init.take_over(weights, &store.state_dict())?;
            let names = store.parameters().into_iter().map(|(name, _)| name);
            let fresh = names.filter(|name| !taken.contains(name)).collect();
            return Ok(Started { model, store, spec, fresh, notes: Vec::new() });
        }
        let classes = if init.head == Some(Head::New) { Classes::Anew } else { Classes::New };
        let state = init.state(weights, "init")?;
        let map = init.map.as_deref().map(Mapping::read).transpose()?;
        let pretrained = weights::pretrained_by(map.as_ref(), &spec, &state, classes, device);
        let Pretrained { model, store, spec, fresh, notes, .. } = pretrained.context("`init`")?;
        if init.head == Some(Head::Keep) && !fresh.is_empty() {
            let classes = spec.set.get("num_classes").and_then(|classes| classes.as_i64()).unwrap_or(0);
            let message = format!(
                "the weights have no classifier of the data's {classes} classes ({} of {at}); write `head: new`",
                fresh.join(", ")
            );
            bail!(Invalid::value("init.head", message));
        }
        let architecture = spec.resolve()?;
        let spec = ModelSpec { name: architecture.name.to_owned(), set: architecture.fields()? };
        Ok(Started { model, store, spec, fresh, notes })
    }
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.init.fmt(f)
    }
}

impl InitConfig {
    /// The file of the weights, for the run in `dir`: trials of an experiment lie side by side.
    pub(super) fn path(&self, dir: &RunDir, observe: &mut dyn FnMut(Event)) -> Result<PathBuf> {
        let mut progress = |name: &str, _, _| observe(Event::Preparing(format!("fetching {name}")));
        match (&self.from, &self.trial) {
            (Some(from), _) if self.is_public() => weights::fetch(catalogue::find(from)?, &mut progress),
            (Some(from), _) => run_weights::file(&weights::local(Path::new(from), &mut progress)?),
            (None, Some(trial)) => {
                let run = RunDir::new(dir.path().with_file_name(trial));
                if run.result()?.is_none() {
                    let at = run.path().display();
                    bail!("`init.trial`: {trial} is not done ({at}); it must run first");
                }
                run_weights::file(run.path())
            }
            (None, None) => bail!("`init` without weights"),
        }
    }

    /// Their catalogue entry, where they are public.
    pub(super) fn entry(&self) -> Result<Option<&'static Entry>> {
        let Some(from) = &self.from else { return Ok(None) };
        if self.is_public() {
            return catalogue::find(from).map(Some);
        }
        let Some(name) = from.strip_prefix(weights::HUB) else { return Ok(None) };
        let is_there = |entry: &&Entry| matches!(&entry.location, Location::Hub(there) if there == name);
        Ok(catalogue::entries()?.iter().find(is_there))
    }

    /// How pictures become the input of these weights, where it is known. Trials of one experiment share their data, which
    /// says it.
    pub(super) fn input(&self, weights: &RunWeights) -> Result<Option<ModelInput>> {
        if self.trial.is_some() {
            return Ok(None);
        }
        if let Some(about) = &weights.about {
            return Ok(Some(about.input.clone()));
        }
        let Some(entry) = self.entry()? else { return Ok(None) };
        let mut preprocess = entry.preprocess.clone();
        if entry.spec()?.set.contains_key("transform_input") {
            // What the network makes of its input, before it comes to it.
            preprocess = Preprocess { mean: [0.5; 3], std: [0.5; 3], ..preprocess };
        }
        Ok(Some(preprocess.into()))
    }

    /// The tensors that are asked for; `at` is where this stands in a run's configuration.
    pub(super) fn state(&self, RunWeights { state, .. }: RunWeights, at: &str) -> Result<weights::StateFile> {
        let averaged = self.ema.unwrap_or_else(|| weights::has_averages(&state));
        weights::checkpoint_weights(state, averaged).map_err(|error| {
            Invalid::value(&format!("{at}.ema"), format!("{}; remove it", crate::brief(&error))).into()
        })
    }

    /// Copies the layers of the weights in a file into `model`.
    ///
    /// # Errors
    /// A file that does not hold weights, or layers that are missing or have other shapes.
    pub fn apply(&self, path: &Path, model: &[(String, Tensor)]) -> Result<()> {
        let weights = RunWeights::open(path, self.key.as_deref()).context("`init`")?;
        self.take_over(weights, model).map(drop)
    }

    /// Copies the layers; returns the keys of what is now theirs.
    fn take_over(&self, weights: RunWeights, model: &[(String, Tensor)]) -> Result<Vec<String>> {
        let layers: Vec<(String, String)> = self.layers.clone().into_iter().collect();
        weights::take_over(&self.state(weights, "init")?.state_dict()?, model, &layers).context("`init`")?;
        let is_taken = |name: &str| {
            let below = |layer: &str| name.strip_prefix(layer);
            layers
                .iter()
                .filter_map(|(layer, _)| below(layer))
                .any(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        Ok(model.iter().map(|(name, _)| name.clone()).filter(|name| is_taken(name)).collect())
    }
}

impl RunConfig {
    /// The configuration with the checksums of the weights that the run starts from and of its teacher's, unless these are away
    /// and the run in `dir` goes on without them.
    ///
    /// # Errors
    /// Other weights than the configuration or the run in `dir` says.
    pub(super) fn with_checksums(&self, dir: &RunDir, observe: &mut dyn FnMut(Event)) -> Result<Self> {
        let mut config = self.clone();
        if let Some(init) = &mut config.init
            && let Some(parent) = init.look("init", dir, observe)?
            && dir.checkpoint().exists()
        {
            check_parent(dir, &parent)?;
        }
        if let Some(distillation) = &mut config.train.distillation {
            let _teacher = distillation.teacher.look(teacher::PLACE, dir, observe)?;
        }
        Ok(config)
    }
}

impl InitConfig {
    /// Notes the checksum of the file of the weights, which stand at `at` in a run's configuration; `None` where a run that has
    /// begun does without them.
    fn look(&mut self, at: &str, dir: &RunDir, observe: &mut dyn FnMut(Event)) -> Result<Option<Parent>> {
        let begun = dir.checkpoint().exists();
        if begun && self.is_public() && dir.result()?.is_some() {
            return Ok(None);
        }
        let parent = match self.path(dir, observe).and_then(|path| Parent::of(&path)) {
            Ok(parent) => parent,
            Err(_) if begun => return Ok(None),
            Err(error) => return Err(error.context(format!("`{at}`"))),
        };
        if let Some(given) = &self.sha256 {
            let message =
                format!("{} has sha256 {}, not {given}; name the file that has", parent.file, parent.sha256);
            ensure!(*given == parent.sha256, Invalid::value(&format!("{at}.sha256"), message));
        }
        self.sha256 = Some(parent.sha256.clone());
        Ok(Some(parent))
    }
}

/// Refuses to go on with a run that began with other weights than those of `parent`.
fn check_parent(dir: &RunDir, parent: &Parent) -> Result<()> {
    let Some(began) = dir.parents()?.into_iter().next().filter(|began| began.sha256 != parent.sha256) else {
        return Ok(());
    };
    let text = format!(
        "{}: the run there began with other weights: {} with sha256 {:.12}, and {} has {:.12} now",
        dir.path().display(),
        began.file,
        began.sha256,
        parent.file,
        parent.sha256
    );
    Err(Error::new(Remedy::RunDirectory).context(Usage(text)))
}
