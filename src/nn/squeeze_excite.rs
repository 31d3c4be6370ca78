//! Squeeze-and-excitation (1709.01507).

use super::store::Path;
use super::{Activation, Conv, Conv2d, Layer};
use anyhow::{Result, ensure};
use tch::Tensor;

/// Scales each channel by a gate computed from all channels' means, with torchvision's keys: 1×1 convolutions `fc1`
/// (C to C/r) and `fc2` (back), ReLU between, sigmoid after.
pub struct SqueezeExcite {
    fc1: Conv2d,
    fc2: Conv2d,
}

impl SqueezeExcite {
    /// # Errors
    /// A reduction that leaves no channel.
    pub fn new(path: &Path, channels: i64, reduction: i64) -> Result<Self> {
        ensure!(
            reduction > 0 && channels >= reduction,
            "squeeze-excitation: reduction {reduction} leaves none of {channels} channels"
        );
        let squeezed = channels / reduction;
        Ok(Self {
            fc1: Conv2d::new(&(path / "fc1"), Conv::new(channels, squeezed, 1))?,
            fc2: Conv2d::new(&(path / "fc2"), Conv::new(squeezed, channels, 1))?,
        })
    }
}

impl Layer for SqueezeExcite {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let squeezed = self.fc1.forward(&x.f_adaptive_avg_pool2d([1, 1])?, train)?;
        let excited = self.fc2.forward(&Activation::Relu.forward(squeezed)?, train)?;
        Ok(x.f_mul(&Activation::Sigmoid.forward(excited)?)?)
    }
}
