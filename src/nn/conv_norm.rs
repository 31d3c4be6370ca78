//! A convolution with the layers that commonly follow it.

use super::Layer;
use super::activation::Activation;
use super::conv::{After, Conv, Conv2d};
use super::init::Init;
use super::norm::{BatchNorm2d, GroupNorm, Norm};
use super::store::Path;
use anyhow::Result;
use tch::Tensor;

/// A convolution without bias and its norm: the unit of convolutional nets.
///
/// One layer here, two in the state_dict; in a model optimised for inference (frozen) they can become one kernel.
pub struct ConvNorm {
    conv: Conv2d,
    norm: Option<Norm>,
}

impl ConvNorm {
    /// With batch norm.
    ///
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
        Self::starting(conv_path, norm_path, conv, Init::ONES)
    }

    /// With the norm's weight initialised to 0, so that a residual branch starts as zero (1706.02677, section 5.1).
    ///
    /// # Errors
    /// As [`Conv2d::new`].
    pub fn zero_norm(conv_path: &Path, norm_path: &Path, conv: Conv) -> Result<Self> {
        Self::starting(conv_path, norm_path, conv.no_bias(), Init::ZEROS)
    }

    fn starting(conv_path: &Path, norm_path: &Path, conv: Conv, weight: Init) -> Result<Self> {
        let channels = conv.out_channels();
        let conv = Conv2d::new(conv_path, conv)?;
        Ok(Self { conv, norm: Some(Norm::Batch(BatchNorm2d::weight(norm_path, channels, weight)?)) })
    }

    /// With group norm.
    ///
    /// # Errors
    /// As [`Conv2d::new`], or groups that do not divide the channels.
    pub fn group(conv_path: &Path, norm_path: &Path, groups: i64, conv: Conv) -> Result<Self> {
        Self::grouped(conv_path, norm_path, groups, conv, Init::ONES)
    }

    /// With group norm whose weight is initialised to 0.
    ///
    /// # Errors
    /// As [`ConvNorm::group`].
    pub fn zero_group(conv_path: &Path, norm_path: &Path, groups: i64, conv: Conv) -> Result<Self> {
        Self::grouped(conv_path, norm_path, groups, conv, Init::ZEROS)
    }

    fn grouped(conv_path: &Path, norm_path: &Path, groups: i64, conv: Conv, weight: Init) -> Result<Self> {
        let channels = conv.out_channels();
        let conv = Conv2d::new(conv_path, conv.no_bias())?;
        Ok(Self { conv, norm: Some(Norm::Group(GroupNorm::weight(norm_path, groups, channels, weight)?)) })
    }

    /// Without a norm, as the last convolution of a pre-activation block, and with a bias if `conv` has one.
    ///
    /// # Errors
    /// As [`Conv2d::new`].
    pub fn bare(conv_path: &Path, conv: Conv) -> Result<Self> {
        Ok(Self { conv: Conv2d::new(conv_path, conv)?, norm: None })
    }

    /// With another eps for the norm.
    pub fn eps(self, eps: f64) -> Self {
        Self { norm: self.norm.map(|norm| norm.eps(eps)), ..self }
    }

    /// With a momentum other than 0.1 for the batch norm.
    pub fn momentum(self, momentum: f64) -> Self {
        Self { norm: self.norm.map(|norm| norm.momentum(momentum)), ..self }
    }

    /// `activation(norm(conv(x)))`.
    pub fn forward(&self, x: &Tensor, activation: Activation, train: bool) -> Result<Tensor> {
        self.run(x, None, activation, train)
    }

    /// `activation(norm(conv(x)) + residual)`.
    pub fn forward_add(
        &self,
        x: &Tensor,
        residual: &Tensor,
        activation: Activation,
        train: bool,
    ) -> Result<Tensor> {
        self.run(x, Some(residual), activation, train)
    }

    fn run(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        activation: Activation,
        train: bool,
    ) -> Result<Tensor> {
        let after = match &self.norm {
            None => After { norm: None, residual, activation },
            Some(Norm::Batch(norm)) => After { norm: Some(norm), residual, activation },
            // No factors known beforehand that a kernel could take in.
            Some(norm) => {
                let y = self.conv.run(x, After::default(), train)?;
                return norm.forward_act(&y, residual, activation, train);
            }
        };
        self.conv.run(x, after, train)
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

/// A convolution with an activation after it, as a layer.
pub struct ConvAct(pub Conv2d, pub Activation);

impl Layer for ConvAct {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.0.forward_act(x, self.1, train)
    }
}
