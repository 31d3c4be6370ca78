//! An estimate of the memory that a run needs, before any of it is allocated.

use super::config::{Precision, RunConfig};
use super::parts::treatments;
use crate::models::{Architecture, Complexity};
use crate::nn::Store;
use crate::torch::{self, device};
use crate::{Invalid, machine};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use tch::Device;

/// Bytes per number.
const FLOAT: u64 = 4;

/// Numbers held in a training step per output value of a convolution or linear layer: the value itself, what
/// normalisation and activation make of it, temporaries of the backward pass and of kernels. Measured on the CPU as peak
/// resident memory: 2.1 for DeiT, 2.4 for ResNet-50, 2.9 for ResNet-20, 3.5 for ResNet-18, 4.0 for
/// EfficientNet, 4.3 for MobileNetV2 and 5.5 for DenseNet.
const PER_ACTIVATION: u64 = 3;

/// The memory of a run in bytes, by purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Resident before the weights are built: the program, and data sets held in main memory. 0 for a GPU.
    pub resident: u64,
    /// Parameters and running statistics.
    pub weights: u64,
    pub gradients: u64,
    /// The optimizer's state.
    pub optimizer: u64,
    /// The moving average of the weights.
    pub averages: u64,
    /// Estimated for one pass over a batch, or over a micro-batch where a step has several.
    pub activations: u64,
    /// Available for everything but `resident`: free main memory, or all of a GPU's memory. `None` if unknown.
    pub available: Option<u64>,
}

impl Memory {
    /// Works from shapes alone; allocates nothing.
    ///
    /// # Errors
    /// A model that cannot be built.
    pub(super) fn estimate(
        config: &RunConfig,
        architecture: &Architecture,
        complexity: &Complexity,
        device: Device,
    ) -> Result<Self> {
        let train = &config.train;
        let store = Store::meta();
        architecture.build(&store)?;
        let bytes = |tensors: Vec<(String, tch::Tensor)>| -> u64 {
            let size =
                |tensor: &tch::Tensor| tensor.numel() as u64 * tensor.kind().elt_size_in_bytes() as u64;
            tensors.iter().map(|(_, tensor)| size(tensor)).sum()
        };
        let trained = store.parameters().into_iter().zip(treatments(train, architecture)?);
        let trained = trained.filter(|(_, treatment)| treatment.trained).map(|(parameter, _)| parameter);
        let (weights, parameters) = (bytes(store.state_dict()), bytes(trained.collect()));
        let per_output = if train.precision == Precision::Bfloat16 { FLOAT / 2 } else { FLOAT };
        let image = complexity.input.iter().map(|&n| n.unsigned_abs()).product::<u64>() * FLOAT;
        let held = |activations: u64| activations.saturating_mul(per_output * PER_ACTIVATION);
        let activations = if train.checkpoint {
            // What goes into each stage, and all of the largest one.
            let outputs =
                complexity.stages.iter().map(|stage| stage.output.iter().product::<i64>().unsigned_abs());
            let largest = complexity.stages.iter().map(|stage| stage.activations).max().unwrap_or(0);
            held(largest).saturating_add(per_output * outputs.sum::<u64>())
        } else {
            held(complexity.activations)
        };
        let of_image = activations.saturating_add(image);
        Ok(Self {
            resident: if device.is_cuda() { 0 } else { torch::peak_resident_bytes() },
            weights,
            gradients: parameters,
            optimizer: parameters.saturating_mul(train.optimizer.slots()),
            averages: if train.ema.is_some() { weights } else { 0 },
            activations: of_image.saturating_mul(train.micro_batch_size() as u64),
            available: match device {
                Device::Cuda(index) => device::card(index).ok().map(|card| card.memory),
                _ => machine::available_memory(),
            },
        })
    }

    /// Number of parameters with gradients.
    pub fn trainable(&self) -> u64 {
        self.gradients / FLOAT
    }

    /// What does not depend on the batch size.
    pub fn fixed(&self) -> u64 {
        [self.gradients, self.optimizer, self.averages].into_iter().fold(self.weights, u64::saturating_add)
    }

    /// Everything but `resident`.
    pub fn needed(&self) -> u64 {
        self.fixed().saturating_add(self.activations)
    }

    /// Refuses a run that cannot fit: one whose exactly known part together with half of the estimate for a batch, which
    /// is less than any measured net took, exceeds the available memory.
    ///
    /// # Errors
    /// The numbers and what to reduce, at the key that is to blame.
    pub(super) fn check(&self, params: u64, batch_size: usize) -> Result<()> {
        let Some(available) = self.available else { return Ok(()) };
        if self.fixed().saturating_add(self.activations / 2) <= available {
            return Ok(());
        }
        let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
        let override_key = "or set `train.allow_memory: true`";
        if self.fixed() > available {
            let message = format!(
                "{:.0} M parameters take {} with gradients, optimizer state and averages, and {} are available; make \
                 the model smaller, {override_key}",
                params as f64 / 1e6,
                gib(self.fixed()),
                gib(available)
            );
            bail!(Invalid { keys: vec!["model".to_owned()], unknown: false, message });
        }
        let message = format!(
            "{batch_size} images take about {} beside {} of weights and their like, and {} are available; lower it, set \
             `train.accumulate` to take it in parts, `train.checkpoint: true` to keep less, make the model smaller, \
             {override_key}",
            gib(self.activations),
            gib(self.fixed()),
            gib(available)
        );
        bail!(Invalid::value("train.batch_size", message))
    }
}
