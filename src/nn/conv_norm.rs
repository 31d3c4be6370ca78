//! A convolution with what commonly follows it.

use super::Layer;
use super::activation::Activation;
use super::conv::{After, Conv, Conv2d};
use super::init::Init;
use super::norm::BatchNorm2d;
use super::store::Path;
use anyhow::Result;
use tch::Tensor;

/// A convolution without bias, its batch norm, and what commonly follows: the unit of convolutional nets.
///
/// One layer of ours, two in the state_dict; in a frozen model they can become one kernel.
pub struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl ConvNorm {
    /// # Errors
    /// As [`Conv2d::new`].
    pub fn new(conv_path: &Path, norm_path: &Path, conv: Conv) -> Result<Self> {
        Self::with_bias(conv_path, norm_path, conv.no_bias())
    }

    /// With the convolution's bias as it is asked for, which the norm makes idle: early nets keep it.
    ///
    /// # Errors
    /// As [`Conv2d::new`].
    pub fn with_bias(conv_path: &Path, norm_path: &Path, conv: Conv) -> Result<Self> {
        let channels = conv.out_channels();
        Ok(Self { conv: Conv2d::new(conv_path, conv)?, norm: BatchNorm2d::new(norm_path, channels)? })
    }

    /// With a norm whose weight starts at 0: a residual branch that starts as nothing (1706.02677, section 5.1).
    ///
    /// # Errors
    /// As [`Conv2d::new`].
    pub fn zero_norm(conv_path: &Path, norm_path: &Path, conv: Conv) -> Result<Self> {
        let channels = conv.out_channels();
        Ok(Self {
            conv: Conv2d::new(conv_path, conv.no_bias())?,
            norm: BatchNorm2d::weight(norm_path, channels, Init::ZEROS)?,
        })
    }

    /// With another eps of the norm.
    pub fn eps(self, eps: f64) -> Self {
        Self { norm: self.norm.eps(eps), ..self }
    }

    /// Another momentum of the norm than 0.1.
    pub fn momentum(self, momentum: f64) -> Self {
        Self { norm: self.norm.momentum(Some(momentum)), ..self }
    }

    /// `activation(norm(conv(x)))`.
    pub fn forward(&self, x: &Tensor, activation: Activation, train: bool) -> Result<Tensor> {
        self.conv.run(x, After { norm: Some(&self.norm), residual: None, activation }, train)
    }

    /// `activation(norm(conv(x)) + residual)`.
    pub fn forward_add(
        &self,
        x: &Tensor,
        residual: &Tensor,
        activation: Activation,
        train: bool,
    ) -> Result<Tensor> {
        self.conv.run(x, After { norm: Some(&self.norm), residual: Some(residual), activation }, train)
    }
}

/// A [`ConvNorm`] with its activation, as a layer.
pub struct ConvNormAct {
    conv: ConvNorm,
    activation: Activation,
}

impl ConvNormAct {
    pub fn new(conv: ConvNorm, activation: Activation) -> Self {
        Self { conv, activation }
    }

    /// With ReLU.
    pub fn relu(conv: ConvNorm) -> Self {
        Self::new(conv, Activation::Relu)
    }
}

impl Layer for ConvNormAct {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.conv.forward(x, self.activation, train)
    }
}

/// A convolution with ReLU after it, as a layer.
pub struct ConvRelu(pub Conv2d);

impl Layer for ConvRelu {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.0.forward_act(x, Activation::Relu, train)
    }
}
