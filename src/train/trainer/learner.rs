//! What training changes: the weights, their averages and the optimizer's state.

use super::evaluation::count_correct;
use super::network::Network;
use crate::torch;
use crate::train::checkpoint::{Progress, State};
use crate::train::ema::Ema;
use crate::train::optimizer::Optimizer;
use crate::train::parts::Treatment;
use crate::train::ranks::{Ranks, Reducer, nothing};
use crate::train::{RunDir, TrainConfig};
use crate::weights::About;
use anyhow::{Context, Result};
use std::path::Path;
use tch::{Reduction, Tensor};

pub struct Learner {
    pub network: Network,
    optimizer: Optimizer,
    ema: Option<Ema>,
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
        Ok(Self { network, optimizer, ema, trained, reducer })
    }

    /// Drops the gradients of the step before.
    pub fn begin_step(&self) -> Result<()> {
        self.optimizer.zero_grad()
    }

    /// Forward from the output of the frozen stages on, and backward, of a micro-batch that has this share of its step's
    /// images: its gradients join those that are there, and with the last one's those of the other ranks. Returns its part of
    /// the main head's mean loss and how many images were classified correctly.
    pub fn accumulate(
        &mut self,
        config: &TrainConfig,
        inputs: [&Tensor; 3],
        share: f64,
        is_last: bool,
    ) -> Result<(Tensor, Tensor)> {
        let Self { network, reducer, .. } = self;
        let reducer = reducer.as_mut().filter(|_| is_last);
        let (main, correct, _) = pass(config, network, inputs, share, reducer)?;
        Ok((main, correct))
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
        if let Some(max_norm) = config.clip_grad_norm {
            let _norm = torch::clip_grad_norm(&self.optimizer.grads(), max_norm)?;
        }
        self.optimizer.step(lr)?;
        self.average(step)
    }

    /// Whether steps are those of [`Self::minimise`].
    pub fn evaluates(&self) -> bool {
        self.optimizer.evaluates()
    }

    /// A step of an optimizer that evaluates the loss several times; returns as [`Self::accumulate`].
    pub fn minimise(
        &mut self,
        config: &TrainConfig,
        inputs: [&Tensor; 3],
        step: u64,
        lr: f64,
    ) -> Result<(Tensor, Tensor)> {
        let Self { network, optimizer, .. } = self;
        let mut first = None;
        optimizer.minimise(lr, &mut || {
            let (main, correct, sum) = pass(config, network, inputs, 1.0, None)?;
            first.get_or_insert((main, correct));
            Ok(sum.f_double_value(&[])?)
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

/// Forward and backward of images that are this share of a step's; returns the main head's mean loss, how many images were
/// classified correctly, and the loss that is minimised, both losses times the share.
fn pass(
    config: &TrainConfig,
    network: &Network,
    [features, labels, targets]: [&Tensor; 3],
    share: f64,
    mut reducer: Option<&mut Reducer>,
) -> Result<(Tensor, Tensor, Tensor)> {
    if let Some(reducer) = &mut reducer {
        reducer.before_forward()?;
    }
    let &TrainConfig { auxiliary_weight, label_smoothing, .. } = config;
    let (logits, auxiliary) = if auxiliary_weight == 0.0 || network.model.auxiliaries().is_empty() {
        (network.suffix(features, true)?, Vec::new())
    } else {
        network.forward_auxiliary(features)?
    };
    let loss = |logits: &Tensor| {
        let mean =
            logits.f_cross_entropy_loss(targets, None::<Tensor>, Reduction::Mean, -100, label_smoothing)?;
        if share == 1.0 { Ok(mean) } else { mean.f_mul_scalar(share) }
    };
    let main = loss(&logits)?;
    let mut sum = main.shallow_clone();
    for logits in &auxiliary {
        sum = sum.f_add(&loss(logits)?.f_mul_scalar(auxiliary_weight)?)?;
    }
    if let Some(reducer) = reducer {
        reducer.before_backward(&sum)?;
    }
    sum.f_backward()?;
    Ok((main.detach(), count_correct(&logits.detach(), labels)?, sum.detach()))
}
