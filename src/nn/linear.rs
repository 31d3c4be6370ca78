//! The fully connected layer.

use super::init::{Init, fan_in_bound};
use super::store::Path;
use super::{Layer, cost};
use anyhow::Result;
use tch::Tensor;

/// `torch.nn.Linear`: (…, in) to (…, out). Keys `weight` (out, in) and `bias` (out).
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// With bias, and PyTorch's initialisation.
    ///
    /// # Errors
    /// A size that is not positive.
    pub fn new(path: &Path, in_features: i64, out_features: i64) -> Result<Self> {
        let bound = fan_in_bound(in_features as f64);
        Self::with(path, in_features, out_features, Init::FanIn, Some(Init::Uniform(bound)))
    }

    /// Without bias.
    ///
    /// # Errors
    /// As [`Linear::new`].
    pub fn no_bias(path: &Path, in_features: i64, out_features: i64) -> Result<Self> {
        Self::with(path, in_features, out_features, Init::FanIn, None)
    }

    /// With a bias that starts at 0, as `torch.nn.MultiheadAttention` starts its output projection.
    ///
    /// # Errors
    /// As [`Linear::new`].
    pub fn zero_bias(path: &Path, in_features: i64, out_features: i64) -> Result<Self> {
        Self::init(path, in_features, out_features, Init::FanIn)
    }

    /// With weights that start as `init`, and PyTorch's bias.
    ///
    /// # Errors
    /// As [`Linear::new`].
    pub fn weights(path: &Path, in_features: i64, out_features: i64, init: Init) -> Result<Self> {
        let bound = fan_in_bound(in_features as f64);
        Self::with(path, in_features, out_features, init, Some(Init::Uniform(bound)))
    }

    /// With weights that start as `init` and a bias that starts at 0.
    ///
    /// # Errors
    /// As [`Linear::new`].
    pub fn init(path: &Path, in_features: i64, out_features: i64, init: Init) -> Result<Self> {
        Self::with(path, in_features, out_features, init, Some(Init::ZEROS))
    }

    /// With other initial values; `bias: None` is no bias.
    ///
    /// # Errors
    /// As [`Linear::new`].
    pub fn with(
        path: &Path,
        in_features: i64,
        out_features: i64,
        weight: Init,
        bias: Option<Init>,
    ) -> Result<Self> {
        Ok(Self {
            weight: path.parameter("weight", &[out_features, in_features], weight)?,
            bias: bias.map(|init| path.parameter("bias", &[out_features], init)).transpose()?,
        })
    }

    /// Of tensors that have their keys already.
    pub(super) fn of(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// As the linear layers of transformers start: weight N(0, 0.02²) cut off at ±2, bias 0.
    ///
    /// # Errors
    /// As [`Linear::new`].
    pub fn transformer(path: &Path, in_features: i64, out_features: i64, bias: bool) -> Result<Self> {
        let bias = bias.then_some(Init::ZEROS);
        Self::with(path, in_features, out_features, Init::TRANSFORMER, bias)
    }
}

impl Layer for Linear {
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        linear(x, &self.weight, self.bias.as_ref())
    }
}

/// `x · weightᵀ + bias`, counted.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = x.f_linear(weight, bias)?;
    let (outputs, in_features) = (y.numel() as i64, weight.size()[1]);
    cost::record(outputs * in_features, outputs);
    Ok(y)
}
