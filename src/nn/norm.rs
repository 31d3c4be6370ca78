//! Normalisation over the batch, the channels or groups of channels.

use super::Layer;
use super::activation::Activation;
use super::frozen::{Cast, Frozen, Prepare};
use super::init::Init;
use super::observe::{self, Backward};
use super::store::Path;
use crate::torch::{self, SharedTensor};
use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

/// A norm on the meta device, for which libtorch's C++ API has none: only the check of the shape.
fn same_channels(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (size, channels) = (x.size(), weight.size()[0]);
    ensure!(size.get(1) == Some(&channels), "a norm over {channels} channels does not take {size:?}");
    Ok(x.shallow_clone())
}

/// As PyTorch, which trains no batch norm over one value a channel: it has no variance.
fn ensure_variance(x: &Tensor) -> Result<()> {
    let size = x.size();
    let values: i64 = size.iter().enumerate().filter(|(i, _)| *i != 1).map(|(_, side)| side).product();
    ensure!(
        values != 1,
        "batch norm over one value a channel, of a batch of 1 at 1×1 pixels, which has no variance; \
         use `train.batch_size` of 2 or more, or larger images"
    );
    Ok(())
}

/// `torch.nn.BatchNorm2d`. Keys `weight`, `bias`, `running_mean`, `running_var`, `num_batches_tracked`.
pub struct BatchNorm2d {
    weight: SharedTensor,
    bias: SharedTensor,
    running_mean: SharedTensor,
    running_var: SharedTensor,
    num_batches_tracked: SharedTensor,
    eps: f64,
    momentum: Option<f64>,
    frozen: Frozen<(), Affine>,
}

/// A batch norm in evaluation: a scale and a shift for every channel.
struct Affine {
    scale: SharedTensor,
    shift: SharedTensor,
}

impl Prepare for Affine {}

impl BatchNorm2d {
    /// With eps 1e-5 and momentum 0.1.
    ///
    /// # Errors
    /// A channel count that is not positive.
    pub fn new(path: &Path, channels: i64) -> Result<Self> {
        Self::weight(path, channels, Init::ONES)
    }

    /// With another initialisation of the weight.
    ///
    /// # Errors
    /// A channel count that is not positive.
    pub fn weight(path: &Path, channels: i64, init: Init) -> Result<Self> {
        Ok(Self {
            weight: path.parameter("weight", &[channels], init)?,
            bias: path.parameter("bias", &[channels], Init::ZEROS)?,
            running_mean: path.buffer("running_mean", &[channels], Kind::Float, Init::ZEROS)?,
            running_var: path.buffer("running_var", &[channels], Kind::Float, Init::ONES)?,
            num_batches_tracked: path.buffer("num_batches_tracked", &[], Kind::Int64, Init::ZEROS)?,
            eps: 1e-5,
            momentum: Some(0.1),
            frozen: Frozen::new(path.switch()),
        })
    }

    pub fn eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }

    /// The weight of the new batch in the running statistics; `None` averages over all batches.
    pub fn momentum(self, momentum: Option<f64>) -> Self {
        Self { momentum, ..self }
    }
}

impl BatchNorm2d {
    /// The norm in evaluation, in float64: a scale and a shift for every channel.
    pub(super) fn affine(&self) -> Result<(Tensor, Tensor)> {
        let double = |tensor: &Tensor| tensor.f_detach()?.f_to_kind(Kind::Double);
        let deviation = double(&self.running_var)?.f_add_scalar(self.eps)?.f_sqrt()?;
        let scale = double(&self.weight)?.f_div(&deviation)?;
        let shift = double(&self.bias)?.f_sub(&double(&self.running_mean)?.f_mul(&scale)?)?;
        Ok((scale, shift))
    }
}

impl BatchNorm2d {
    /// `activation(norm(x) + residual)`: one operator on the CPU where the activation is ReLU or none.
    pub(super) fn forward_act(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        activation: Activation,
        train: bool,
    ) -> Result<Tensor> {
        if torch::is_meta(x)? {
            return activation.forward_add(same_channels(x, &self.weight)?, residual);
        }
        // A norm that is not trained keeps its statistics.
        let train = train && self.weight.requires_grad();
        if train {
            ensure_variance(x)?;
        }
        let momentum = self.count(train)?;
        let y = match activation {
            Activation::Identity | Activation::Relu => {
                self.fused(x, residual, activation == Activation::Relu, train, momentum)?
            }
            _ => None,
        };
        if let Some(y) = y {
            return Ok(y);
        }
        let y = x.f_batch_norm(
            Some(&*self.weight),
            Some(&*self.bias),
            Some(&*self.running_mean),
            Some(&*self.running_var),
            train,
            momentum,
            self.eps,
            true,
        )?;
        let y = observe::weighted(&self.weight, y, false)?;
        activation.forward_add(y, residual)
    }

    /// Counts the batch in training, and returns the weight of its statistics.
    fn count(&self, train: bool) -> Result<f64> {
        if train {
            let _no_grad = tch::no_grad_guard();
            let _counted = self.num_batches_tracked.shallow_clone().f_add_scalar_(1)?;
        }
        Ok(match self.momentum {
            Some(momentum) => momentum,
            // Only a training pass of this rare mode reads the count back from the device.
            None if train => 1.0 / self.num_batches_tracked.f_double_value(&[])?,
            None => 0.0,
        })
    }

    /// Everything in one operator, where there is one: in training, and without residual in a model optimised for
    /// inference (frozen).
    fn fused(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        relu: bool,
        train: bool,
        momentum: f64,
    ) -> Result<Option<Tensor>> {
        let Self { weight, bias, running_mean, running_var, eps, .. } = self;
        match self.frozen.on() {
            _ if train => {
                let norm = torch::BatchNorm { weight, bias, running_mean, running_var, momentum, eps: *eps };
                torch::batch_norm_relu(x, norm, residual, relu)
            }
            Some(on) if residual.is_none() => {
                let float = |(scale, shift): (Tensor, Tensor)| -> Result<Affine> {
                    let float = |tensor: Tensor| tensor.f_to_kind(Kind::Float).map(SharedTensor::from);
                    Ok(Affine { scale: float(scale)?, shift: float(shift)? })
                };
                let affine = self.frozen.get(on, weight, (), |_| float(self.affine()?))?;
                torch::affine_relu(x, &affine.scale, &affine.shift, relu)
            }
            _ => Ok(None),
        }
    }
}

impl Layer for BatchNorm2d {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.forward_act(x, None, Activation::Identity, train)
    }
}

/// Over the batch or over groups of channels.
pub(super) enum Norm {
    Batch(BatchNorm2d),
    Group(GroupNorm),
}

impl Norm {
    pub(super) fn eps(self, eps: f64) -> Self {
        match self {
            Norm::Batch(norm) => Norm::Batch(norm.eps(eps)),
            Norm::Group(norm) => Norm::Group(norm.eps(eps)),
        }
    }

    /// The weight of a new batch in the running statistics, where there are any.
    pub(super) fn momentum(self, momentum: f64) -> Self {
        match self {
            Norm::Batch(norm) => Norm::Batch(norm.momentum(Some(momentum))),
            Norm::Group(_) => self,
        }
    }

    /// `activation(norm(x) + residual)`.
    pub(super) fn forward_act(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        activation: Activation,
        train: bool,
    ) -> Result<Tensor> {
        match self {
            Norm::Batch(norm) => norm.forward_act(x, residual, activation, train),
            Norm::Group(norm) => activation.forward_add(norm.forward(x, train)?, residual),
        }
    }
}

/// A norm and its activation, which pre-activation nets put before a convolution.
pub struct NormAct {
    norm: Norm,
    activation: Activation,
}

impl NormAct {
    /// With batch norm.
    ///
    /// # Errors
    /// As [`BatchNorm2d::new`].
    pub fn new(path: &Path, channels: i64, activation: Activation) -> Result<Self> {
        Ok(Self { norm: Norm::Batch(BatchNorm2d::new(path, channels)?), activation })
    }

    /// With group norm.
    ///
    /// # Errors
    /// As [`GroupNorm::new`].
    pub fn group(path: &Path, groups: i64, channels: i64, activation: Activation) -> Result<Self> {
        Ok(Self { norm: Norm::Group(GroupNorm::new(path, groups, channels)?), activation })
    }

    /// With another eps.
    pub fn eps(self, eps: f64) -> Self {
        Self { norm: self.norm.eps(eps), ..self }
    }
}

impl Layer for NormAct {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.norm.forward_act(x, None, self.activation, train)
    }
}

/// Keys `weight` and `bias`: the scale and shift of a norm within one sample.
struct Parameters {
    weight: Cast,
    bias: Cast,
}

impl Parameters {
    fn new(path: &Path, size: i64, weight: Init) -> Result<Self> {
        Ok(Self {
            weight: Cast::new(path, path.parameter("weight", &[size], weight)?),
            bias: Cast::new(path, path.parameter("bias", &[size], Init::ZEROS)?),
        })
    }

    /// Weight and bias for `x`. A GPU's kernels take them in its dtype; the CPU's take float32 with every dtype, which
    /// is more accurate.
    fn matching(&self, x: &Tensor) -> Result<[Tensor; 2]> {
        let cast = x.device().is_cuda() && x.kind() != Kind::Float;
        Ok([self.weight.get(cast)?, self.bias.get(cast)?])
    }
}

/// `torch.nn.LayerNorm` over the last dimension. Keys `weight` and `bias`.
pub struct LayerNorm {
    parameters: Parameters,
    eps: f64,
}

impl LayerNorm {
    /// With eps 1e-5.
    ///
    /// # Errors
    /// A size that is not positive.
    pub fn new(path: &Path, features: i64) -> Result<Self> {
        Self::with_weight(path, features, Init::ONES)
    }

    /// With the weight initialised to 0, so that a branch that ends with this norm starts as zero.
    ///
    /// # Errors
    /// As [`LayerNorm::new`].
    pub fn zero(path: &Path, features: i64) -> Result<Self> {
        Self::with_weight(path, features, Init::ZEROS)
    }

    fn with_weight(path: &Path, features: i64, weight: Init) -> Result<Self> {
        Ok(Self { parameters: Parameters::new(path, features, weight)?, eps: 1e-5 })
    }

    pub fn eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }
}

impl Layer for LayerNorm {
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        let size = self.parameters.weight.parameter().size();
        if torch::is_meta(x)? {
            ensure!(x.size().ends_with(&size), "layer norm over {size:?} does not take {:?}", x.size());
            return Ok(x.shallow_clone());
        }
        let [weight, bias] = self.parameters.matching(x)?;
        let y = x.f_layer_norm(size, Some(&weight), Some(&bias), self.eps, true)?;
        observe::weighted(self.parameters.weight.parameter(), y, true)
    }
}

/// `torch.nn.GroupNorm` over (N, C, H, W). Keys `weight` and `bias`.
pub struct GroupNorm {
    groups: i64,
    parameters: Parameters,
    eps: f64,
}

impl GroupNorm {
    /// With eps 1e-5.
    ///
    /// # Errors
    /// Groups that do not divide the channels.
    pub fn new(path: &Path, groups: i64, channels: i64) -> Result<Self> {
        Self::weight(path, groups, channels, Init::ONES)
    }

    pub(super) fn weight(path: &Path, groups: i64, channels: i64, weight: Init) -> Result<Self> {
        ensure!(
            groups > 0 && channels % groups == 0,
            "group norm: {groups} groups do not divide {channels} channels"
        );
        Ok(Self { groups, parameters: Parameters::new(path, channels, weight)?, eps: 1e-5 })
    }

    pub fn eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }
}

impl Layer for GroupNorm {
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        if torch::is_meta(x)? {
            return same_channels(x, self.parameters.weight.parameter());
        }
        let [weight, bias] = self.parameters.matching(x)?;
        let y = x.f_group_norm(self.groups, Some(&weight), Some(&bias), self.eps, true)?;
        observe::weighted(self.parameters.weight.parameter(), y, false)
    }
}

/// `torch.nn.LocalResponseNorm`: x / (k + α·mean of the squares of `size` neighbouring channels)^β over (N, C, H, W).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalResponseNorm {
    /// An odd number of channels.
    pub size: i64,
    pub alpha: f64,
    pub beta: f64,
    pub k: f64,
}

impl Layer for LocalResponseNorm {
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        if torch::is_meta(x)? {
            return Ok(x.shallow_clone());
        }
        // Sums of squares and a power need float32. On the CPU the sum of shifted maps takes a third of the time of PyTorch's
        // `avg_pool3d`.
        let (channels, reach) = (x.size()[1], self.size / 2);
        let squares = x.f_to_kind(Kind::Float)?.f_square()?;
        let padded = squares.f_constant_pad_nd([0, 0, 0, 0, reach, self.size - 1 - reach])?;
        let mut sum = padded.f_narrow(1, 0, channels)?;
        for shift in 1..self.size {
            sum = sum.f_add(&padded.f_narrow(1, shift, channels)?)?;
        }
        let scale = sum.f_mul_scalar(self.alpha / self.size as f64)?.f_add_scalar(self.k)?;
        let scale = scale.f_pow_tensor_scalar(self.beta)?;
        let y = x.f_div(&scale)?.f_to_kind(x.kind())?;
        if observe::backward() == Some(Backward::Deconvnet) {
            // As y, and x on the way back.
            return Ok(y.f_sub(x)?.f_detach()?.f_add(x)?);
        }
        Ok(y)
    }
}
