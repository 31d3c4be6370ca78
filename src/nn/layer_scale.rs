//! A learned factor for each channel of a residual branch (2103.17239).

use super::Layer;
use super::init::Init;
use super::store::Path;
use anyhow::Result;
use tch::Tensor;

/// timm's `LayerScale2d`: (N, C, H, W) times `gamma` (C). Key `gamma`.
pub struct LayerScale2d {
    gamma: Tensor,
}

impl LayerScale2d {
    /// Factors that start at `initial`.
    ///
    /// # Errors
    /// A channel count that is not positive.
    pub fn new(path: &Path, channels: i64, initial: f64) -> Result<Self> {
        Ok(Self { gamma: path.parameter("gamma", &[channels], Init::Constant(initial))? })
    }
}

impl Layer for LayerScale2d {
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        Ok(x.f_mul(&self.gamma.f_view([1, -1, 1, 1])?)?)
    }
}
