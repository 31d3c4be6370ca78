//! The fully connected layer.

use super::frozen::{Frozen, Kernel};
use super::init::{Init, fan_in_bound};
use super::store::Path;
use super::{Activation, Layer, cost, observe};
use crate::torch::SharedTensor;
use anyhow::Result;
use tch::Tensor;

/// `torch.nn.Linear`: (…, in) to (…, out). Keys `weight` (out, in) and `bias` (out).
pub struct Linear {
    weight: SharedTensor,
    bias: Option<SharedTensor>,
    frozen: Frozen<i64, Kernel>,
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

    /// With a bias initialised to 0, as in the output projection of `torch.nn.MultiheadAttention`.
    ///
    /// # Errors
    /// As [`Linear::new`].
    pub fn zero_bias(path: &Path, in_features: i64, out_features: i64) -> Result<Self> {
        Self::init(path, in_features, out_features, Init::FanIn)
    }

    /// With weights initialised by `init`, and PyTorch's default bias.
    ///
    /// # Errors
    /// As [`Linear::new`].
    pub fn weights(path: &Path, in_features: i64, out_features: i64, init: Init) -> Result<Self> {
        let bound = fan_in_bound(in_features as f64);
        Self::with(path, in_features, out_features, init, Some(Init::Uniform(bound)))
    }

    /// With weights initialised by `init` and a bias initialised to 0.
    ///
    /// # Errors
    /// As [`Linear::new`].
    pub fn init(path: &Path, in_features: i64, out_features: i64, init: Init) -> Result<Self> {
        Self::with(path, in_features, out_features, init, Some(Init::ZEROS))
    }

    /// With the given initialisation; `bias: None` means no bias.
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
        let weight = path.parameter("weight", &[out_features, in_features], weight)?;
        let bias = bias.map(|init| path.parameter("bias", &[out_features], init)).transpose()?;
        Ok(Self::of(path, weight, bias))
    }

    /// From tensors that are already registered at `path`.
    pub(super) fn of(path: &Path, weight: SharedTensor, bias: Option<SharedTensor>) -> Self {
        Self { weight, bias, frozen: Frozen::new(path.switch()) }
    }

    /// Initialised as in transformers: weight N(0, 0.02²) truncated at ±2, bias 0.
    ///
    /// # Errors
    /// As [`Linear::new`].
    pub fn transformer(path: &Path, in_features: i64, out_features: i64, bias: bool) -> Result<Self> {
        let bias = bias.then_some(Init::ZEROS);
        Self::with(path, in_features, out_features, Init::TRANSFORMER, bias)
    }
}

impl Linear {
    /// `activation(linear(x))`: one call in a model optimised for inference (frozen).
    ///
    /// # Errors
    /// As [`Layer::forward`].
    pub fn forward_act(&self, x: &Tensor, activation: Activation, train: bool) -> Result<Tensor> {
        self.multiply(x, self.bias.as_deref(), activation, train)
    }

    /// With a bias assembled from other parameters in place of its own.
    ///
    /// # Errors
    /// As [`Layer::forward`].
    pub fn forward_with_bias(&self, x: &Tensor, bias: &Tensor, train: bool) -> Result<Tensor> {
        self.multiply(x, Some(bias), Activation::Identity, train)
    }

    fn multiply(
        &self,
        x: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
        train: bool,
    ) -> Result<Tensor> {
        let kernel = match self.frozen.on() {
            Some(on) if !train => {
                let rows = x.numel() as i64 / self.weight.size()[1].max(1);
                Some(self.frozen.get(on, &self.weight, rows, |kind| {
                    let kernel = Kernel::linear(&self.weight, bias, kind, rows)?;
                    if kernel.is_packed() {
                        self.frozen.packed(&self.weight);
                    }
                    Ok(kernel)
                })?)
            }
            _ => None,
        };
        let Some(kernel) = kernel else {
            let y = observe::weighted(&self.weight, linear(x, &self.weight, bias)?, true)?;
            return activation.forward(y);
        };
        let y = kernel.multiply(x, activation)?;
        record(&y, &self.weight);
        Ok(y)
    }
}

impl Layer for Linear {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.forward_act(x, Activation::Identity, train)
    }
}

/// `x · weightᵀ + bias`, with its cost counted.
fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = x.f_linear(weight, bias)?;
    record(&y, weight);
    Ok(y)
}

fn record(y: &Tensor, weight: &Tensor) {
    let (outputs, in_features) = (y.numel() as i64, weight.size()[1]);
    cost::record(outputs * in_features, outputs);
}
