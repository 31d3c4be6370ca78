//! A run before its weights are built: device, data and costs.

use super::budget::Budget;
use super::loaders::{Adopted, Loaders};
use crate::data::Pictures;
use crate::machine;
use crate::models::Complexity;
use crate::torch::device;
use crate::train::begin::Begin;
use crate::train::checkpoint::Progress;
use crate::train::init::Origin;
use crate::train::memory::Memory;
use crate::train::teacher::Hired;
use crate::train::{Event, Header, Precision, RunConfig, RunDir};
use crate::weights::{About, StateFile};
use crate::yaml;
use anyhow::Result;
use serde_yaml::Value;
use std::path::PathBuf;
use tch::Device;

/// A run before its weights are built, with device and data ready and all costs known.
pub struct Prepared<'a> {
    pub device: Device,
    pub loaders: Loaders,
    pub complexity: Complexity,
    pub header: Header,
    /// The weights that the run takes over, at its start.
    pub origin: Option<Origin<'a>>,
    pub teacher: Option<Hired<'a>>,
    pub class_weights: Option<Vec<f64>>,
}

impl<'a> Prepared<'a> {
    /// Sets up the device, reads the data and works out the costs.
    ///
    /// # Errors
    /// A device that is not there, data that cannot be read, or a model that does not fit it.
    pub fn new(
        config: &'a RunConfig,
        dir: &RunDir,
        begin: &Begin,
        observe: &mut dyn FnMut(Event),
    ) -> Result<Self> {
        config.validate()?;
        // Before anything else asks libtorch about CUDA.
        let device = device::resolve(&config.device)?;
        device::set_up(device, config.train.precision == Precision::Tf32)?;
        if let Some(threads) = config.threads {
            device::set_threads(threads)?;
        }
        let from = checkpoint(dir, begin);
        let origin = match &config.init {
            Some(init) if from.is_none() => Some(Origin::find(init, dir, observe)?),
            _ => None,
        };
        let adopted = match (&config.init, &from) {
            // Once begun, a run keeps what it adopted.
            (Some(_), Some(from)) => {
                About::of(&StateFile::open(from)?)?.map(|there| Adopted::Data(there.data))
            }
            _ => origin.as_ref().and_then(|origin| origin.input.clone()).map(Adopted::Input),
        };
        let loaders = Loaders::new(config, adopted, device.is_cuda(), observe)?;
        let (input, classes) = (loaders.input, loaders.classes);
        let complexity =
            config.complexity(input, classes).map_err(|error| config.blame(&error, input, classes))?;
        config.check_test_size(input, classes)?;
        config.check_protocol(input, &complexity)?;
        let pictures = loaders.train.pictures();
        let class_weights = config.train.class_weights.as_ref();
        let class_weights = class_weights
            .map(|weights| weights.of(pictures.labels().iter().copied(), pictures.classes()))
            .transpose()?;
        let teacher = match &config.train.distillation {
            Some(distillation) => Some(Hired::find(distillation, dir, input, classes, observe)?),
            None => None,
        };
        let mut header = header(config, from, device, &loaders, &complexity)?;
        header.teacher = teacher.as_ref().map(Hired::describe);
        Ok(Self { device, loaders, complexity, header, origin, teacher, class_weights })
    }

    /// # Errors
    /// A run that cannot fit in memory, unless `train.allow_memory` is set.
    pub fn check_memory(&self, config: &RunConfig) -> Result<()> {
        if config.train.allow_memory {
            return Ok(());
        }
        self.header.memory.check(self.complexity.params, config.train.micro_batch_size())
    }
}

fn header(
    config: &RunConfig,
    from: Option<PathBuf>,
    device: Device,
    loaders: &Loaders,
    complexity: &Complexity,
) -> Result<Header> {
    let RunConfig { train, data, .. } = config;
    let architecture = config.architecture(loaders.input, loaders.classes)?;
    let memory = Memory::estimate(config, &architecture, complexity, device)?;
    let steps_per_epoch = (loaders.train.batches() / train.accumulate) as u64;
    let progress = from.as_deref().map(Progress::read).transpose()?.unwrap_or_default();
    let pictures = loaders.train.pictures();
    let settings = serde_yaml::to_value(train)?;
    Ok(Header {
        model: architecture.name.to_owned(),
        params: complexity.params,
        trainable: memory.trainable(),
        macs: complexity.macs,
        input: loaders.input,
        dataset: data.dataset.clone(),
        train_images: pictures.len(),
        validation_images: loaders.validation.as_ref().map(|loader| loader.pictures().len()),
        test_images: loaders.test.pictures().len(),
        classes: pictures.classes().len(),
        skipped: progress.skipped.iter().chain([&progress.skipped_validation]).map(Vec::len).sum(),
        epochs: train.epochs,
        steps_per_epoch,
        steps: Budget::new(train, steps_per_epoch).steps,
        step: progress.step,
        batch_size: train.batch_size,
        accumulate: train.accumulate,
        ranks: 1,
        optimizer: short(&settings["optimizer"]),
        schedule: short(&settings["schedule"]),
        weights: weights(config, from, progress.step),
        teacher: None,
        device: match device {
            Device::Cuda(index) => format!("{}, {}", device::name(device), device::card(index)?.name),
            _ => format!("{}, {}", device::name(device), machine::cpu()),
        },
        precision: train.precision,
        threads: usize::try_from(tch::get_num_threads()).unwrap_or(0),
        workers: data.workers.unwrap_or(match pictures {
            Pictures::Memory(_) => 1,
            Pictures::Files(_) => machine::cores(),
        }),
        memory,
    })
}

/// The checkpoint from which the weights are taken, if there is one.
fn checkpoint(dir: &RunDir, begin: &Begin) -> Option<PathBuf> {
    let own = dir.checkpoint();
    match begin {
        _ if own.exists() => Some(own),
        Begin::From(run) => Some(RunDir::new(run).checkpoint()),
        _ => None,
    }
}

/// Where the weights come from, in words.
fn weights(config: &RunConfig, from: Option<PathBuf>, step: u64) -> String {
    if let Some(from) = from {
        return format!("{} after step {step}", from.display());
    }
    match &config.init {
        None => format!("new, seed {}", config.seed),
        Some(init) => init.to_string(),
    }
}

/// `{sgd: {lr: 0.1, momentum: 0.9, nesterov: false}}` as `sgd lr 0.1, momentum 0.9`.
fn short(value: &Value) -> String {
    let Value::Mapping(fields) = value else { return yaml::flow(value) };
    let is_off =
        |value: &Value| value.is_null() || *value == Value::Bool(false) || value.as_f64() == Some(0.0);
    let field = |(name, value): (&Value, &Value)| {
        format!("{} {}", yaml::flow(name), short(value)).trim_end().to_owned()
    };
    fields.iter().filter(|(_, value)| !is_off(value)).map(field).collect::<Vec<_>>().join(", ")
}
