//! How much memory a run needs, told before any of it is taken.

use super::config::{Precision, RunConfig};
use crate::models::{Architecture, Complexity};
use crate::nn::Store;
use crate::torch::{self, device};
use crate::{Invalid, machine};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use tch::Device;

/// Bytes of a number.
const FLOAT: u64 = 4;

/// Numbers held in a training step for each output of a convolution or linear layer: the output, what normalisation
/// and activation function make of it, and what the backward pass and the kernels take for a while. Measured on the
/// CPU as peaks of resident memory: 2.1 for DeiT, 2.4 for ResNet-50, 2.9 for ResNet-20, 3.5 for ResNet-18, 4.0 for
/// EfficientNet, 4.3 for MobileNetV2 and 5.5 for DenseNet.
const PER_ACTIVATION: u64 = 3;

/// Bytes that a run takes, by what they are for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// What the process has taken before its weights: the program and data sets that are held in main memory. 0 where
    /// the weights are on a GPU.
    pub resident: u64,
    /// Parameters and running statistics.
    pub weights: u64,
    pub gradients: u64,
    /// The optimizer's state.
    pub optimizer: u64,
    /// The moving average of the weights.
    pub averages: u64,
    /// An estimate of what a step on one batch holds.
    pub activations: u64,
    /// What the device has for all but `resident`: main memory that is available, or all of a GPU's. Absent where it is
    /// not known.
    pub available: Option<u64>,
}

impl Memory {
    /// From shapes alone.
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
        let (weights, parameters) = (bytes(store.state_dict()), bytes(store.parameters()));
        let per_output = if train.precision == Precision::Bfloat16 { FLOAT / 2 } else { FLOAT };
        let image = complexity.input.iter().map(|&n| n.unsigned_abs()).product::<u64>() * FLOAT;
        let of_image =
            complexity.activations.saturating_mul(per_output * PER_ACTIVATION).saturating_add(image);
        Ok(Self {
            resident: if device.is_cuda() { 0 } else { torch::peak_resident_bytes() },
            weights,
            gradients: parameters,
            optimizer: parameters.saturating_mul(train.optimizer.slots()),
            averages: if train.ema.is_some() { weights } else { 0 },
            activations: of_image.saturating_mul(train.batch_size as u64),
            available: match device {
                Device::Cuda(index) => device::card(index).ok().map(|card| card.memory),
                _ => machine::available_memory(),
            },
        })
    }

    /// Parameters that have gradients.
    pub fn trainable(&self) -> u64 {
        self.gradients / FLOAT
    }

    /// What does not depend on the batch.
    pub fn fixed(&self) -> u64 {
        [self.gradients, self.optimizer, self.averages].into_iter().fold(self.weights, u64::saturating_add)
    }

    /// All but what is resident before.
    pub fn needed(&self) -> u64 {
        self.fixed().saturating_add(self.activations)
    }

    /// Refuses what cannot fit: where half of the estimate for a batch, less than any net was seen to take, is too
    /// much beside what is known exactly.
    ///
    /// # Errors
    /// The numbers, and what to lower, at the key of the run.
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
            "{batch_size} images take about {} beside {} of weights and their like, and {} are available; lower it, make \
             the model smaller, {override_key}",
            gib(self.activations),
            gib(self.fixed()),
            gib(available)
        );
        bail!(Invalid::value("train.batch_size", message))
    }
}
