//! Activation functions under PyTorch's names.

use super::observe::{self, Backward};
use crate::torch::{self, Pointwise};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// An elementwise function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    #[default]
    Identity,
    Relu,
    Relu6,
    /// x where it is positive, eˣ − 1 elsewhere.
    Elu,
    /// x · Φ(x), exact.
    Gelu,
    /// GELU in the tanh approximation.
    GeluTanh,
    /// x · σ(1.702 x), as in CLIP.
    QuickGelu,
    /// x · σ(x), also called swish.
    Silu,
    Sigmoid,
    Tanh,
    HardSwish,
    HardSigmoid,
}

impl super::Layer for Activation {
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        self.apply(x)
    }
}

impl Activation {
    /// Applies the function to a tensor that is still used elsewhere.
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        if torch::is_meta(x)? {
            return Ok(x.shallow_clone());
        }
        if let Some(y) = self.observed(x)? {
            return Ok(y);
        }
        Ok(match self {
            Activation::Relu => x.f_relu()?,
            Activation::Relu6 => x.f_clamp(0.0, 6.0)?,
            Activation::Elu => x.f_elu()?,
            Activation::Sigmoid => x.f_sigmoid()?,
            Activation::Tanh => x.f_tanh()?,
            _ => self.forward(x.shallow_clone())?,
        })
    }

    /// Applies the function to an owned tensor: in place where the gradient allows it.
    pub fn forward(self, mut x: Tensor) -> Result<Tensor> {
        // Not every kernel supports the meta device, and the shape does not change.
        if torch::is_meta(&x)? {
            return Ok(x);
        }
        if let Some(y) = self.observed(&x)? {
            return Ok(y);
        }
        Ok(match self {
            Activation::Identity => x,
            Activation::Relu => x.f_relu_()?,
            Activation::Relu6 => x.f_clamp_(0.0, 6.0)?,
            Activation::Elu => x.f_elu_()?,
            Activation::Gelu => x.f_gelu("none")?,
            Activation::GeluTanh => x.f_gelu("tanh")?,
            Activation::QuickGelu => {
                let gate = x.f_mul_scalar(1.702)?.f_sigmoid_()?;
                x.f_mul(&gate)?
            }
            Activation::Silu => x.f_silu()?,
            Activation::Sigmoid => x.f_sigmoid_()?,
            Activation::Tanh => x.f_tanh_()?,
            Activation::HardSwish => x.f_hardswish()?,
            Activation::HardSigmoid => x.f_hardsigmoid()?,
        })
    }

    /// The function with another way back, where one is asked for.
    fn observed(self, x: &Tensor) -> Result<Option<Tensor>> {
        match self {
            Activation::Relu => observe::rectifier(x, f64::INFINITY),
            Activation::Relu6 => observe::rectifier(x, 6.0),
            _ => Ok((observe::backward() == Some(Backward::Field)).then(|| x.shallow_clone())),
        }
    }

    /// Applies the function to `x + residual`, with `x` owned.
    pub(super) fn forward_add(self, mut x: Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        if let Some(residual) = residual {
            x = x.f_add_(residual)?;
        }
        self.forward(x)
    }

    /// The function as oneDNN's kernels apply it to their output, if they support it.
    pub(super) fn pointwise(self) -> Option<Pointwise> {
        Some(match self {
            Activation::Identity => Pointwise::NONE,
            Activation::Relu => Pointwise::named(c"relu"),
            Activation::Relu6 => Pointwise { scalars: &[0.0, 6.0], ..Pointwise::named(c"hardtanh") },
            Activation::Gelu => Pointwise { algorithm: Some(c"none"), ..Pointwise::named(c"gelu") },
            Activation::GeluTanh => Pointwise { algorithm: Some(c"tanh"), ..Pointwise::named(c"gelu") },
            Activation::Elu | Activation::QuickGelu => return None,
            Activation::Silu => Pointwise::named(c"swish"),
            Activation::Sigmoid => Pointwise::named(c"sigmoid"),
            Activation::Tanh => Pointwise::named(c"tanh"),
            Activation::HardSwish => Pointwise::named(c"hardswish"),
            Activation::HardSigmoid => Pointwise::named(c"hardsigmoid"),
        })
    }
}
