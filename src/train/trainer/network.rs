//! The model of a run on its device, with its precision.

use crate::data::{Batch, ModelInput, fitted};
use crate::evaluate::Evaluator;
use crate::models::Model;
use crate::nn::Store;
use crate::torch::{self, Autocast};
use crate::train::Precision;
use anyhow::Result;
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

    /// The logits of a training pass in float32.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let _autocast = self.autocast()?;
        Ok(self.model.forward(images, true)?.f_to_kind(Kind::Float)?)
    }

    /// The logits of a training pass in float32, and those of the auxiliary heads if there are any.
    pub fn forward_auxiliary(&self, images: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        if self.model.auxiliaries().is_empty() {
            return Ok((self.forward(images)?, Vec::new()));
        }
        let _autocast = self.autocast()?;
        let (logits, auxiliary) = self.model.forward_auxiliary(images, true)?;
        let auxiliary = auxiliary.into_iter().map(|logits| logits.f_to_kind(Kind::Float));
        Ok((logits.f_to_kind(Kind::Float)?, auxiliary.collect::<Result<_, _>>()?))
    }

    /// Casts the operators of a pass while the guard is alive.
    fn autocast(&self) -> Result<Option<Autocast>> {
        Ok(match self.precision {
            Precision::Float32 | Precision::Tf32 => None,
            Precision::Bfloat16 => Some(Autocast::new(self.device, Kind::BFloat16)?),
        })
    }
}
