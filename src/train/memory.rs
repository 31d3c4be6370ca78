//! What a run takes of the memory, before it takes it.

use super::config::{RunConfig, TrainConfig};
use super::optimizer_config::OptimizerConfig;
use crate::models::Complexity;
use crate::{Usage, machine};
use anyhow::{Result, ensure};

/// libtorch, its kernels' own memory and the program, in bytes.
const PROGRAM: u64 = 300 << 20;
/// What a training step keeps of each activation that is counted (outputs of convolutions and products): norms, activations
/// and sums keep theirs too. Measured by the peaks of ResNet-20, WRN-16-4, MobileNetV3 and ViT-Tiny.
const KEPT: u64 = 3;

/// Bytes of a run on this model at its peak, about: weights, gradients, what the optimizer and the average keep, and the
/// activations of a batch.
pub fn expected(config: &RunConfig, complexity: &Complexity) -> u64 {
    let TrainConfig { optimizer, ema, batch_size, .. } = &config.train;
    let slots = match optimizer {
        OptimizerConfig::Sgd(sgd) => u64::from(sgd.momentum > 0.0),
        OptimizerConfig::RmsProp(rmsprop) => 1 + u64::from(rmsprop.momentum > 0.0),
        OptimizerConfig::AdamW(_) => 2,
    };
    let copies = 2 + slots + u64::from(ema.is_some());
    let weights = complexity.params.saturating_mul(4 * copies);
    let activations = complexity.activations.saturating_mul(4 * KEPT * *batch_size as u64);
    weights.saturating_add(activations).saturating_add(PROGRAM)
}

/// Refuses a run that would take the machine down.
///
/// # Errors
/// [`Usage`] for more than there is, unless `train.check_memory` is off.
pub fn check(config: &RunConfig, complexity: &Complexity) -> Result<()> {
    let (expected, available) = (expected(config, complexity), machine::available_memory());
    let fits = !config.train.check_memory || available.is_none_or(|available| expected <= available);
    let gigabytes = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
    ensure!(
        fits,
        Usage(format!(
            "the run would take about {}, and {} are free: the model has {:.1} M parameters, and a batch {:.1} M activations; \
             take a smaller model, `train.batch_size` or `data.image_size`, or try all the same with `train.check_memory: \
             false`",
            gigabytes(expected),
            gigabytes(available.unwrap_or(0)),
            complexity.params as f64 / 1e6,
            complexity.activations as f64 * config.train.batch_size as f64 / 1e6,
        ))
    );
    Ok(())
}
