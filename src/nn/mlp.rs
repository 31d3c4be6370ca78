//! The two-layer perceptron that a transformer block applies to each token.

use super::store::Path;
use super::{Activation, Dropout, Init, Layer, Linear};
use anyhow::{Result, ensure};
use tch::Tensor;

/// The description of a two-layer perceptron: `Mlp::new(768, 3072)`, GELU between the layers, no gate, no dropout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mlp {
    features: i64,
    hidden: i64,
    activation: Activation,
    gated: bool,
    dropout: f64,
    weight: Init,
    bias: Init,
}

impl Mlp {
    /// From `features` through `hidden` back to `features`, initialised as [`Linear::transformer`].
    pub fn new(features: i64, hidden: i64) -> Self {
        Self {
            features,
            hidden,
            activation: Activation::Gelu,
            gated: false,
            dropout: 0.0,
            weight: Init::TRANSFORMER,
            bias: Init::ZEROS,
        }
    }

    pub fn activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// The first half of the hidden values, activated, times the second (timm's `SwiGLUPacked` with SiLU).
    pub fn gated(self, gated: bool) -> Self {
        Self { gated, ..self }
    }

    /// Dropout after each layer.
    pub fn dropout(self, dropout: f64) -> Self {
        Self { dropout, ..self }
    }

    /// The initialisation of weights and biases.
    pub fn init(self, weight: Init, bias: Init) -> Self {
        Self { weight, bias, ..self }
    }
}

/// A two-layer perceptron over the last dimension: (…, features) to the same shape.
pub struct FeedForward {
    spec: Mlp,
    fc1: Linear,
    fc2: Linear,
    dropout: Dropout,
}

impl FeedForward {
    /// With the keys of its layers at two paths: `fc1` and `fc2`, or `0` and `3` in torchvision.
    ///
    /// # Errors
    /// Sizes that are not positive, a gate over an odd number of hidden values, or an invalid dropout.
    pub fn new(fc1: &Path, fc2: &Path, spec: Mlp) -> Result<Self> {
        let Mlp { features, hidden, gated, weight, bias, .. } = spec;
        ensure!(!gated || hidden % 2 == 0, "a gate halves the hidden values: {hidden} is odd");
        let (first, inner) =
            if gated { ((Init::GatedRows, Init::GatedBias), hidden / 2) } else { ((weight, bias), hidden) };
        Ok(Self {
            spec,
            fc1: Linear::with(fc1, features, hidden, first.0, Some(first.1))?,
            fc2: Linear::with(fc2, inner, features, weight, Some(bias))?,
            dropout: Dropout::new(spec.dropout)?,
        })
    }
}

impl Layer for FeedForward {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = if self.spec.gated {
            let x = self.fc1.forward(x, train)?;
            let inner = self.spec.hidden / 2;
            let value = self.spec.activation.forward(x.f_narrow(-1, 0, inner)?)?;
            value.f_mul(&x.f_narrow(-1, inner, inner)?)?
        } else {
            self.fc1.forward_act(x, self.spec.activation, train)?
        };
        let x = self.fc2.forward(&self.dropout.forward(&x, train)?, train)?;
        self.dropout.forward(&x, train)
    }
}
