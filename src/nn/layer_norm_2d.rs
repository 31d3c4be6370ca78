//! Layer norm over the channels of an image.

use super::store::Path;
use super::{Layer, LayerNorm};
use anyhow::Result;
use tch::Tensor;

/// `torchvision.models.convnext.LayerNorm2d`: (N, C, H, W) normalised over C, pixel by pixel. Keys `weight` and `bias`.
pub struct LayerNorm2d(LayerNorm);

impl LayerNorm2d {
    /// With eps 1e-5.
    ///
    /// # Errors
    /// As [`LayerNorm::new`].
    pub fn new(path: &Path, channels: i64) -> Result<Self> {
        Ok(Self(LayerNorm::new(path, channels)?))
    }

    pub fn eps(self, eps: f64) -> Self {
        Self(self.0.eps(eps))
    }
}

impl Layer for LayerNorm2d {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.0.forward(&x.f_permute([0, 2, 3, 1])?, train)?;
        Ok(y.f_permute([0, 3, 1, 2])?)
    }
}
