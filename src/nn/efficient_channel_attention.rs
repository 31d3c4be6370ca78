//! Efficient channel attention (1910.03151).

use super::frozen::Cast;
use super::init::Init;
use super::store::Path;
use super::{Activation, Layer, cost};
use crate::torch;
use anyhow::Result;
use tch::Tensor;

/// Scales each channel by a gate computed from the means of its neighbours: a 1-d convolution over the channels and a
/// sigmoid. Key `conv.weight` (1, 1, k), as in timm.
pub struct EfficientChannelAttention {
    weight: Cast,
}

impl EfficientChannelAttention {
    /// The kernel grows with the logarithm of the channels: ⌊|log₂ C + 1|/2⌋ made odd (equation 12), at least 3.
    ///
    /// # Errors
    /// A duplicate name.
    pub fn new(path: &Path, channels: i64) -> Result<Self> {
        let near = (((channels as f64).log2() + 1.0).abs() / 2.0) as i64;
        let kernel = (near + 1 - near % 2).max(3);
        let weight = (path / "conv").parameter("weight", &[1, 1, kernel], Init::FanIn)?;
        Ok(Self { weight: Cast::new(path, weight) })
    }
}

impl Layer for EfficientChannelAttention {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let (n, channels, _, _) = x.size4()?;
        let kernel = self.weight.parameter().size()[2];
        cost::record(n * channels * kernel, n * channels);
        // libtorch's C++ API has no convolution on the meta device, and the shape does not change.
        if torch::is_meta(x)? {
            return Ok(x.shallow_clone());
        }
        let means = x.f_adaptive_avg_pool2d([1, 1])?.f_reshape([n, 1, channels])?;
        let mixed = means.f_conv1d(&self.weight.get(!train)?, None::<Tensor>, [1], [kernel / 2], [1], 1)?;
        Ok(x.f_mul(&Activation::Sigmoid.forward(mixed)?.f_reshape([n, channels, 1, 1])?)?)
    }
}
