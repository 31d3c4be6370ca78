//! Images as grids of patches, each embedded as a vector.

use super::store::Path;
use super::{Conv, Conv2d, Layer};
use anyhow::Result;
use tch::Tensor;

/// A convolution whose stride equals its kernel: (N, C, H, W) to (N, H/patch, W/patch, embed); incomplete patches at
/// the bottom and right edges are dropped. Keys `weight` and `bias`.
pub struct PatchEmbed {
    proj: Conv2d,
}

impl PatchEmbed {
    /// `Conv::new(3, 768, 16)`: channels of the image, width, patch.
    ///
    /// # Errors
    /// As [`Conv2d::new`].
    pub fn new(path: &Path, conv: Conv) -> Result<Self> {
        Ok(Self { proj: Conv2d::new(path, conv.patches())? })
    }
}

impl Layer for PatchEmbed {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        Ok(self.proj.forward(x, train)?.f_permute([0, 2, 3, 1])?)
    }
}
