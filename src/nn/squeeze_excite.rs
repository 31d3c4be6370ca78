//! Squeeze-and-excitation (1709.01507).

use super::store::Path;
use super::{Activation, Conv, Conv2d, Init, Layer};
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
        Self::squeezed(path, channels, channels / reduction, Init::FanIn)
    }

    /// With `squeezed` channels between, and weights that start as `init`.
    ///
    /// # Errors
    /// A channel count that is not positive.
    pub fn squeezed(path: &Path, channels: i64, squeezed: i64, init: Init) -> Result<Self> {
        Ok(Self {
            fc1: Conv2d::new(&(path / "fc1"), Conv::new(channels, squeezed, 1).init(init))?,
            fc2: Conv2d::new(&(path / "fc2"), Conv::new(squeezed, channels, 1).init(init))?,
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
