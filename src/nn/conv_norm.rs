//! A convolution with the layers that commonly follow it.

use super::Layer;
use super::activation::Activation;
use super::conv::{After, Conv, Conv2d};
use super::init::Init;
use super::norm::BatchNorm2d;
use super::store::Path;
use anyhow::Result;
use tch::Tensor;

/// A convolution without bias and its batch norm: the unit of convolutional nets.
///
/// One layer here, two in the state_dict; in a model optimised for inference (frozen) they can become one kernel.
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

    /// Keeps the bias that `conv` asks for, although the norm makes it redundant: early nets have it.
    ///
    /// # Errors
    /// As [`Conv2d::new`].
    pub fn with_bias(conv_path: &Path, norm_path: &Path, conv: Conv) -> Result<Self> {
        let channels = conv.out_channels();
        Ok(Self { conv: Conv2d::new(conv_path, conv)?, norm: BatchNorm2d::new(norm_path, channels)? })
    }

    /// With the norm's weight initialised to 0, so that a residual branch starts as zero (1706.02677, section 5.1).
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

    /// With another eps for the norm.
    pub fn eps(self, eps: f64) -> Self {
        Self { norm: self.norm.eps(eps), ..self }
    }

    /// With a momentum other than 0.1 for the norm.
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
