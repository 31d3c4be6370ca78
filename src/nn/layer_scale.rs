//! A learned factor for each channel of a residual branch (2103.17239).

use super::store::Path;
use super::{Init, Layer};
use anyhow::Result;
use tch::Tensor;

/// Scales the last dimension. Key `gamma`.
pub struct LayerScale {
    gamma: Tensor,
}

impl LayerScale {
    /// With all factors at `start`.
    ///
    /// # Errors
    /// A size that is not positive.
    pub fn new(path: &Path, features: i64, start: f64) -> Result<Self> {
        Ok(Self { gamma: path.parameter("gamma", &[features], Init::Constant(start))? })
    }
}

impl Layer for LayerScale {
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        Ok(x.f_mul(&self.gamma)?)
    }
}

/// Scales the channels of an image (N, C, H, W), as timm's `LayerScale2d`. Key `gamma`.
pub struct LayerScale2d(LayerScale);

impl LayerScale2d {
    /// # Errors
    /// As [`LayerScale::new`].
    pub fn new(path: &Path, channels: i64, start: f64) -> Result<Self> {
        Ok(Self(LayerScale::new(path, channels, start)?))
    }
}

impl Layer for LayerScale2d {
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        Ok(x.f_mul(&self.0.gamma.f_view([1, -1, 1, 1])?)?)
    }
}
