//! A learned factor for each channel of a residual branch (2103.17239).

use super::frozen::Cast;
use super::store::Path;
use super::{Init, Layer};
use anyhow::Result;
use tch::Tensor;

/// Scales the last dimension. Key `gamma`.
pub struct LayerScale {
    /// Cast to the dtype of a model optimised for inference (frozen), whose branches would otherwise become float32
    /// here.
    gamma: Cast,
}

impl LayerScale {
    /// With all factors initialised to `start`.
    ///
    /// # Errors
    /// A size that is not positive.
    pub fn new(path: &Path, features: i64, start: f64) -> Result<Self> {
        Self::of(path, "gamma", &[features], start)
    }

    /// Scales the channels of an image (N, C, H, W), as torchvision's ConvNeXt. Key `layer_scale` (C, 1, 1).
    ///
    /// # Errors
    /// As [`LayerScale::new`].
    pub fn torchvision(path: &Path, channels: i64, start: f64) -> Result<Self> {
        Self::of(path, "layer_scale", &[channels, 1, 1], start)
    }

    fn of(path: &Path, key: &str, size: &[i64], start: f64) -> Result<Self> {
        let gamma = path.parameter(key, size, Init::Constant(start))?;
        Ok(Self { gamma: Cast::new(path, gamma) })
    }
}

impl Layer for LayerScale {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        Ok(x.f_mul(&self.gamma.get(!train)?)?)
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
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        Ok(x.f_mul(&self.0.gamma.get(!train)?.f_view([1, -1, 1, 1])?)?)
    }
}
