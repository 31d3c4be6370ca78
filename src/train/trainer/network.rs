//! The model of a run on its device, with its precision.

use crate::data::{Batch, ModelInput, fitted};
use crate::evaluate::Evaluator;
use crate::models::Model;
use crate::nn::{Layer, Store};
use crate::torch::{self, Autocast};
use crate::train::Precision;
use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor};

pub struct Network {
    pub device: Device,
    pub precision: Precision,
    pub store: Store,
    pub model: Box<dyn Model>,
    /// Height and width of the images that the model sees in training.
    pub size: [i64; 2],
    /// From pictures to what it sees in a test.
    pub input: ModelInput,
    /// Stages from the first on of which nothing is trained.
    pub frozen: usize,
}

/// The logits of a training pass in float32.
pub struct Outputs {
    pub logits: Tensor,
    /// Of the distillation token.
    pub distilled: Option<Tensor>,
    /// Of the auxiliary heads.
    pub auxiliary: Vec<Tensor>,
}

impl Network {
    /// Normalised images of the model's size in channels_last order, and labels, on the device.
    pub fn batch(&self, batch: &Batch) -> Result<(Tensor, Tensor)> {
        let images = batch.input(&self.input.statistics, self.device)?;
        Ok((fitted(&images, self.size)?, torch::upload(&batch.labels, self.device)?))
    }

    /// The model as it is tested, on what this input makes of pictures.
    pub fn evaluator<'a>(&'a self, input: &'a ModelInput) -> Evaluator<'a> {
        let evaluator = Evaluator::new(self.model.as_ref(), self.device, input);
        match self.precision {
            Precision::Float32 | Precision::Tf32 => evaluator,
            Precision::Bfloat16 => evaluator.autocast(Kind::BFloat16),
        }
    }

    /// Counts the stages that are frozen; of none where auxiliary heads look at their outputs.
    pub fn count_frozen(&mut self, auxiliary_weight: f64) -> Result<()> {
        if auxiliary_weight != 0.0 && !self.model.auxiliaries().is_empty() {
            return Ok(());
        }
        let mut x = self.blank(1)?;
        let (mut frozen, stages) = (0, self.model.stages());
        for (name, stage) in &stages {
            x = stage.forward(&x, false).with_context(|| format!("stage `{name}`"))?;
            if x.requires_grad() {
                break;
            }
            frozen += 1;
        }
        self.frozen = frozen;
        Ok(())
    }

    /// Whether the frozen stages draw random numbers in training.
    pub fn is_random(&self) -> Result<bool> {
        let next = || Tensor::f_rand([1], (Kind::Float, self.device))?.f_double_value(&[0]);
        tch::manual_seed(0);
        let first = next()?;
        tch::manual_seed(0);
        let _features = self.prefix(&self.blank(1)?, true)?;
        Ok(next()? != first)
    }

    /// Images without anything on them.
    pub fn blank(&self, count: i64) -> Result<Tensor> {
        let [height, width] = self.size;
        let channels = self.input.statistics.std.len() as i64;
        torch::channels_last(&Tensor::f_zeros([count, channels, height, width], (Kind::Float, self.device))?)
    }

    /// The output of the frozen stages, without graph.
    pub fn prefix(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        let (_no_grad, _autocast) = (tch::no_grad_guard(), self.autocast()?);
        let mut x = images.shallow_clone();
        for (name, stage) in self.model.stages().into_iter().take(self.frozen) {
            x = stage.forward(&x, train).with_context(|| format!("stage `{name}`, input {:?}", x.size()))?;
        }
        Ok(x)
    }

    /// The stages that are trained.
    pub fn trained(&self) -> Vec<(&str, &dyn Layer)> {
        self.model.stages().split_off(self.frozen)
    }

    /// The output of a stage.
    pub fn stage(&self, (name, stage): (&str, &dyn Layer), x: &Tensor, train: bool) -> Result<Tensor> {
        let _autocast = self.autocast()?;
        stage.forward(x, train).with_context(|| format!("stage `{name}`, input {:?}", x.size()))
    }

    /// The logits in float32 for the output of the frozen stages.
    pub fn suffix(&self, features: &Tensor, train: bool) -> Result<Tensor> {
        let mut x = features.shallow_clone();
        for stage in self.trained() {
            x = self.stage(stage, &x, train)?;
        }
        let _autocast = self.autocast()?;
        Ok(self.model.head().forward(&x, train).context("head")?.f_to_kind(Kind::Float)?)
    }

    /// What the heads make of the outputs of the trained stages in training: the auxiliary heads where they are asked for, and
    /// the distillation token's apart where `tokens` is.
    pub fn outputs(&self, stages: &[(&str, Tensor)], auxiliary: bool, tokens: bool) -> Result<Outputs> {
        let _autocast = self.autocast()?;
        let mut helping = Vec::new();
        for (stage, head) in self.model.auxiliaries().into_iter().filter(|_| auxiliary) {
            let (_, x) = stages
                .iter()
                .find(|(name, _)| *name == stage)
                .with_context(|| format!("no stage `{stage}` for an auxiliary head"))?;
            let logits = head.forward(x, true).with_context(|| format!("auxiliary head of `{stage}`"))?;
            helping.push(logits.f_to_kind(Kind::Float)?);
        }
        let (_, x) = stages.last().context("a model without a trained stage")?;
        let apart = if tokens { self.model.token_logits(x, true).context("head")? } else { None };
        let (logits, distilled) = match apart {
            Some([logits, distilled]) => (logits, Some(distilled.f_to_kind(Kind::Float)?)),
            None => (self.model.head().forward(x, true).context("head")?, None),
        };
        Ok(Outputs { logits: logits.f_to_kind(Kind::Float)?, distilled, auxiliary: helping })
    }

    /// Casts the operators of a pass while the guard is alive.
    fn autocast(&self) -> Result<Option<Autocast>> {
        Ok(match self.precision {
            Precision::Float32 | Precision::Tf32 => None,
            Precision::Bfloat16 => Some(Autocast::new(self.device, Kind::BFloat16)?),
        })
    }
}
