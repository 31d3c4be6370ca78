//! A run as far as it is known without its weights.

use super::budget::Budget;
use super::loaders::Loaders;
use crate::models::Complexity;
use crate::torch::device;
use crate::train::begin::Begin;
use crate::train::{Header, Precision, RunConfig, RunDir, memory};
use crate::weights::{About, StateFile};
use anyhow::{Context, Result};
use std::path::PathBuf;
use tch::Device;

pub struct Setup {
    pub device: Device,
    pub loaders: Loaders,
    pub complexity: Complexity,
    pub about: About,
    pub budget: Budget,
    /// The checkpoint at which the run begins, or goes on.
    pub checkpoint: Option<PathBuf>,
    pub header: Header,
}

impl Setup {
    /// # Errors
    /// A device that is not there, data that cannot be read, a model that does not fit data or memory.
    pub fn new(config: &RunConfig, dir: &RunDir, begin: &Begin) -> Result<Self> {
        config.validate()?;
        // Before anything else asks libtorch about CUDA.
        let device = device::resolve(&config.device)?;
        device::set_up(device, config.train.precision == Precision::Tf32)?;
        if let Some(threads) = config.threads {
            device::set_threads(threads)?;
        }
        let loaders = Loaders::new(config, device.is_cuda())?;
        let (input, classes) = (loaders.input, loaders.classes);
        let complexity =
            config.complexity(input, classes).map_err(|error| config.blame(&error, input, classes))?;
        config.check_test_size(input, classes)?;
        if device == Device::Cpu {
            memory::check(config, &complexity)?;
        }
        let about = loaders.about(config)?;
        let budget = Budget::new(&config.train, loaders.train.batches() as u64);
        let checkpoint = match begin {
            _ if dir.checkpoint().exists() => Some(dir.checkpoint()),
            Begin::From(run) => Some(RunDir::new(run).checkpoint()),
            _ => None,
        };
        let weights = weights(config, checkpoint.as_ref())?;
        let header = Header {
            model: about.model.name.clone(),
            params: complexity.params,
            macs: complexity.macs,
            input: loaders.input,
            classes: loaders.classes,
            train_images: loaders.train.pictures().len(),
            test_images: loaders.test.pictures().len(),
            batch_size: config.train.batch_size,
            epochs: config.train.epochs,
            steps_per_epoch: loaders.train.batches() as u64,
            steps: budget.steps,
            optimizer: spelled(&config.train.optimizer)?,
            schedule: spelled(&config.train.schedule)?,
            precision: config.train.precision,
            device: device::name(device),
            threads: usize::try_from(tch::get_num_threads()).unwrap_or(0),
            workers: config.data.workers,
            weights,
            memory_bytes: memory::expected(config, &complexity),
        };
        Ok(Self { device, loaders, complexity, about, budget, checkpoint, header })
    }
}

/// Where the weights come from.
fn weights(config: &RunConfig, checkpoint: Option<&PathBuf>) -> Result<String> {
    if let Some(file) = checkpoint {
        let about = About::of(&StateFile::open(file)?)?;
        let step = about
            .map_or(String::new(), |about| format!(", step {} after {} epochs", about.step, about.epoch));
        return Ok(format!("{}{step}", file.display()));
    }
    let new = format!("new, seed {}", config.seed);
    Ok(match &config.init {
        Some(init) => format!("{new}; {} layers of {}", init.layers.len(), init.from.display()),
        None => new,
    })
}

/// A rule and its settings on one line: `sgd lr 0.1, momentum 0.9`.
fn spelled(rule: &impl serde::Serialize) -> Result<String> {
    let value = serde_json::to_value(rule)?;
    let (name, settings) =
        value.as_object().and_then(|map| map.iter().next()).context("a rule without a name")?;
    let settings = settings.as_object().into_iter().flatten();
    let settings: Vec<String> = settings.map(|(key, value)| format!("{key} {value}")).collect();
    Ok(format!("{name} {}", settings.join(", ")).trim_end().to_owned())
}
