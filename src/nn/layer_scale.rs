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
