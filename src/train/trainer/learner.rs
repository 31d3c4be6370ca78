//! What training changes: the weights, their averages and the optimizer's state.

use super::network::Network;
use super::pass::{Lesson, Passed, pass};
use super::running::Statistics;
use crate::train::checkpoint::{Progress, State};
use crate::train::ema::Ema;
use crate::train::loss::Criterion;
use crate::train::optimizer::Optimizer;
use crate::train::parts::Treatment;
use crate::train::ranks::{Ranks, Reducer, nothing};
use crate::train::{RunDir, TrainConfig};
use crate::weights::About;
use anyhow::{Context, Result};
use std::path::Path;
use tch::{Kind, Tensor};

pub struct Learner {
    pub network: Network,
    optimizer: Optimizer,
    ema: Option<Ema>,
    criterion: Criterion,
    /// What the optimizer changes.
    trained: Vec<(String, Tensor)>,
    /// Sums the gradients over several ranks.
    reducer: Option<Reducer>,
}

impl Learner {
    /// Trains each parameter as it is told to; the others are frozen from here on.
    pub fn new(
        config: &TrainConfig,
        mut network: Network,
        treatments: &[Treatment],
        class_weights: Option<&[f64]>,
        ranks: &Ranks,
    ) -> Result<Self> {
        let told = network.store.parameters().into_iter().zip(treatments);
        let told = told.filter_map(|((name, tensor), treatment)| {
            let Treatment { lr_scale, weight_decay, trained, .. } = *treatment;
            let _set = (!trained).then(|| tensor.set_requires_grad(false));
            trained.then_some((name, tensor, [lr_scale, weight_decay]))
        });
        let told: Vec<_> = told.collect();
        let trained: Vec<_> =
            told.iter().map(|(name, tensor, _)| (name.clone(), tensor.shallow_clone())).collect();
        let optimizer = Optimizer::grouped(&config.optimizer, told.into_iter())?;
        // Heads that no loss sees.
        let some_unused = config.auxiliary_weight == 0.0 && !network.model.auxiliaries().is_empty();
        let reducer = ranks.reducer(&trained, some_unused)?;
        network.count_frozen(config.auxiliary_weight)?;
        let ema = config.ema.map(|ema| Ema::new(ema, &network.store.state_dict())).transpose()?;
        let weights = class_weights.map(|weights| {
            let weights = Tensor::f_from_slice(weights)?.f_to_kind(Kind::Float)?;
            weights.f_to_device(network.device)
        });
        let criterion = Criterion::new(config.loss.clone(), config.label_smoothing, weights.transpose()?);
        Ok(Self { network, optimizer, ema, criterion, trained, reducer })
    }

    /// Drops the gradients of the step before.
    pub fn begin_step(&self) -> Result<()> {
        self.optimizer.zero_grad()
    }

    /// Forward from the output of the frozen stages on, and backward, of a micro-batch that has this share of its step's
    /// images: its gradients join those that are there, and with the last one's those of the other ranks.
    pub fn accumulate(
        &mut self,
        config: &TrainConfig,
        lesson: &Lesson,
        share: f64,
        is_last: bool,
    ) -> Result<Passed> {
        let Self { network, criterion, reducer, .. } = self;
        pass(config, network, criterion, lesson, share, reducer.as_mut().filter(|_| is_last))
    }

    /// Lets the reducer see in which order gradients come: it puts its buckets into that order, once, and a sum over three ranks
    /// or more depends on them in its last bits. A run that goes on has them then from its first step on, as one that never
    /// stopped. Nothing is learned.
    pub fn rehearse(&mut self, config: &TrainConfig, classes: i64) -> Result<()> {
        if self.reducer.is_none() {
            return Ok(());
        }
        let device = self.network.device;
        let statistics = Statistics::of(&self.network.store);
        let kept = statistics.copy()?;
        let labels = Tensor::f_zeros([2], (Kind::Int64, device))?;
        let taught = match config.distillation {
            Some(_) => Some(Tensor::f_zeros([2, classes], (Kind::Float, device))?),
            None => None,
        };
        let features = self.network.prefix(&self.network.blank(2)?, true)?;
        let lesson = Lesson { features, targets: labels.shallow_clone(), labels, taught };
        self.begin_step()?;
        self.accumulate(config, &lesson, 1.0, true)?;
        self.begin_step()?;
        statistics.write(&kept)
    }

    /// In place of [`Self::accumulate`] where this rank has no images in a step.
    pub fn accumulate_nothing(&mut self) -> Result<()> {
        let Some(reducer) = &mut self.reducer else { return Ok(()) };
        reducer.before_forward()?;
        let loss = nothing(&self.trained)?;
        reducer.before_backward(&loss)?;
        Ok(loss.f_backward()?)
    }

    /// Updates by the gradients as the optimizer's step number `step`, counted from 1.
    pub fn update(&mut self, config: &TrainConfig, step: u64, lr: f64) -> Result<()> {
        self.optimizer.clip(config)?;
        self.optimizer.step(lr)?;
        self.average(step)
    }

    /// Whether steps are those of [`Self::minimise`].
    pub fn evaluates(&self) -> bool {
        self.optimizer.evaluates()
    }

    /// A step of an optimizer that evaluates the loss several times; returns as [`Self::accumulate`].
    pub fn minimise(&mut self, config: &TrainConfig, lesson: &Lesson, step: u64, lr: f64) -> Result<Passed> {
        let Self { network, optimizer, criterion, .. } = self;
        let mut first = None;
        optimizer.minimise(lr, &mut || {
            let passed = pass(config, network, criterion, lesson, 1.0, None)?;
            let minimised = passed.minimised.f_double_value(&[])?;
            first.get_or_insert(passed);
            Ok(minimised)
        })?;
        self.average(step)?;
        first.context("a step without a loss")
    }

    fn average(&self, step: u64) -> Result<()> {
        self.ema.as_ref().map_or(Ok(()), |ema| ema.update(step))
    }

    pub fn has_averages(&self) -> bool {
        self.ema.is_some()
    }

    /// Runs `work` on the averaged weights if there are any, and restores the trained ones afterwards.
    pub fn averaged<T>(&self, work: impl FnOnce(&Network) -> Result<T>) -> Result<T> {
        let swap = || self.ema.as_ref().map_or(Ok(()), Ema::swap);
        swap()?;
        let outcome = work(&self.network);
        swap()?;
        outcome
    }

    /// Saves everything, with the position in the run.
    pub fn save(&self, dir: &RunDir, progress: &Progress, about: &About, with_optimizer: bool) -> Result<()> {
        let model = self.network.store.state_dict();
        self.state(&model).save(&dir.checkpoint(), progress, about, with_optimizer)
    }

    /// Restores everything from a checkpoint; returns its position in the run and what the file says about itself.
    ///
    /// # Errors
    /// A file that is not a checkpoint of such a run.
    pub fn load(&self, checkpoint: &Path) -> Result<(Progress, Option<About>)> {
        let model = self.network.store.state_dict();
        self.state(&model).load(checkpoint)
    }

    fn state<'a>(&'a self, model: &'a [(String, Tensor)]) -> State<'a> {
        State { model, ema: self.ema.as_ref(), optimizer: &self.optimizer }
    }
}
