//! What training changes: the weights, their averages and the optimizer's state.

use super::evaluation::count_correct;
use super::network::Network;
use crate::torch;
use crate::train::checkpoint::{Progress, State};
use crate::train::ema::Ema;
use crate::train::optimizer::Optimizer;
use crate::train::{RunDir, TrainConfig};
use crate::weights::About;
use anyhow::Result;
use std::path::Path;
use tch::{Reduction, Tensor};

pub struct Learner {
    pub network: Network,
    optimizer: Optimizer,
    ema: Option<Ema>,
}

impl Learner {
    pub fn new(config: &TrainConfig, network: Network) -> Result<Self> {
        let optimizer = Optimizer::new(config, &network.store.parameters())?;
        let ema = config.ema.map(|ema| Ema::new(ema, &network.store.state_dict())).transpose()?;
        Ok(Self { network, optimizer, ema })
    }

    /// Forward, backward, update as the optimizer's step number `step`, counted from 1; returns the main head's mean
    /// loss and how many images were classified correctly.
    pub fn step(
        &mut self,
        config: &TrainConfig,
        [images, labels, targets]: [&Tensor; 3],
        step: u64,
        lr: f64,
    ) -> Result<(Tensor, Tensor)> {
        let &TrainConfig { auxiliary_weight, label_smoothing, clip_grad_norm, .. } = config;
        self.optimizer.zero_grad()?;
        let (logits, auxiliary) = if auxiliary_weight == 0.0 {
            (self.network.forward(images)?, Vec::new())
        } else {
            self.network.forward_auxiliary(images)?
        };
        let loss = |logits: &Tensor| {
            logits.f_cross_entropy_loss(targets, None::<Tensor>, Reduction::Mean, -100, label_smoothing)
        };
        let main = loss(&logits)?;
        let mut sum = main.shallow_clone();
        for logits in &auxiliary {
            sum = sum.f_add(&loss(logits)?.f_mul_scalar(auxiliary_weight)?)?;
        }
        sum.f_backward()?;
        if let Some(max_norm) = clip_grad_norm {
            let _norm = torch::clip_grad_norm(&self.optimizer.grads(), max_norm)?;
        }
        self.optimizer.step(lr)?;
        if let Some(ema) = &self.ema {
            ema.update(step)?;
        }
        Ok((main.detach(), count_correct(&logits.detach(), labels)?))
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
