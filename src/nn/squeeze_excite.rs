//! Squeeze-and-excitation (1709.01507).

use super::frozen::{Frozen, Prepare};
use super::store::Path;
use super::taps::Taps;
use super::{Activation, Conv, Conv2d, Init, Layer};
use crate::torch::{self, Product};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// What the gate of a channel is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Squeeze {
    /// The mean of its pixels.
    Average,
    /// The maximum of its pixels.
    Max,
    /// Each pixel by itself, so that every pixel has its own gate.
    None,
}

/// How a gate is computed where it differs from the paper's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Excitation {
    /// Channels between the two convolutions.
    pub squeezed: i64,
    /// After the first convolution.
    pub activation: Activation,
    /// After the second.
    pub gate: Activation,
    /// Names of the two convolutions in the state_dict.
    pub names: [&'static str; 2],
}

/// Scales each channel by a gate computed from all channels' means: a 1×1 convolution to few channels and another back,
/// with torchvision's keys `fc1` and `fc2` or those of an [`Excitation`].
pub struct SqueezeExcite {
    squeeze: Squeeze,
    reduce: Conv2d,
    expand: Conv2d,
    activation: Activation,
    gate: Activation,
    frozen: Frozen<(), Option<[Product; 2]>>,
    taps: Taps,
    /// The key of this layer.
    name: String,
}

impl Prepare for Option<[Product; 2]> {}

impl SqueezeExcite {
    /// The paper's: C to C/r channels and back, ReLU between, sigmoid after.
    ///
    /// # Errors
    /// A reduction that leaves no channel.
    pub fn new(path: &Path, channels: i64, reduction: i64) -> Result<Self> {
        ensure!(
            reduction > 0 && channels >= reduction,
            "squeeze-excitation: reduction {reduction} leaves none of {channels} channels"
        );
        Self::squeezed(path, channels, channels / reduction, Init::FanIn)
    }

    /// With `squeezed` channels in between, and weights initialised by `init`.
    ///
    /// # Errors
    /// A channel count that is not positive.
    pub fn squeezed(path: &Path, channels: i64, squeezed: i64, init: Init) -> Result<Self> {
        let conv = |from, to| Conv::new(from, to, 1).init(init);
        Self::of(path, conv(channels, squeezed), conv(squeezed, channels))
    }

    /// The same without biases (section 6 of the paper).
    ///
    /// # Errors
    /// A channel count that is not positive.
    pub fn no_bias(path: &Path, channels: i64, squeezed: i64, init: Init) -> Result<Self> {
        let conv = |from, to| Conv::new(from, to, 1).init(init).no_bias();
        Self::of(path, conv(channels, squeezed), conv(squeezed, channels))
    }

    fn of(path: &Path, reduce: Conv, expand: Conv) -> Result<Self> {
        Ok(Self {
            squeeze: Squeeze::Average,
            reduce: Conv2d::new(&(path / "fc1"), reduce)?,
            expand: Conv2d::new(&(path / "fc2"), expand)?,
            activation: Activation::Relu,
            gate: Activation::Sigmoid,
            frozen: Frozen::new(path.switch()),
            taps: path.taps(),
            name: path.name().to_owned(),
        })
    }

    /// With gates computed from something other than the mean.
    pub fn squeeze(self, squeeze: Squeeze) -> Self {
        Self { squeeze, ..self }
    }

    /// With a function other than the sigmoid at the end.
    pub fn gate(self, gate: Activation) -> Self {
        Self { gate, ..self }
    }

    /// As in the mobile nets: weights initialised from N(0, 2/fan_out), biases to 0.
    ///
    /// # Errors
    /// Channels that are not positive.
    pub fn mobile(path: &Path, channels: i64, excitation: Excitation) -> Result<Self> {
        Self::gated(path, channels, excitation, Init::KaimingFanOut)
    }

    /// With weights initialised by `init`, biases to 0.
    ///
    /// # Errors
    /// Channels that are not positive.
    pub fn gated(path: &Path, channels: i64, excitation: Excitation, init: Init) -> Result<Self> {
        let Excitation { squeezed, activation, gate, names: [reduce, expand] } = excitation;
        let conv = |from, to| Conv::new(from, to, 1).init(init).zero_bias();
        Ok(Self {
            squeeze: Squeeze::Average,
            reduce: Conv2d::new(&(path / reduce), conv(channels, squeezed))?,
            expand: Conv2d::new(&(path / expand), conv(squeezed, channels))?,
            activation,
            gate,
            frozen: Frozen::new(path.switch()),
            taps: path.taps(),
            name: path.name().to_owned(),
        })
    }

    /// Everything in one operator, where there is one: in a model optimised for inference (frozen).
    fn fused(&self, x: &Tensor, train: bool) -> Result<Option<Tensor>> {
        let plain = !train && self.squeeze == Squeeze::Average && !self.taps.are_open();
        let Some(on) = self.frozen.on().filter(|_| plain) else {
            return Ok(None);
        };
        let product = |conv: &Conv2d, after| -> Result<Product> {
            let (weight, bias) = conv.transposed()?;
            Ok(Product { weight: weight.into(), bias: bias.map(Into::into), after })
        };
        let products = |_| {
            let after = self.activation.pointwise().zip(self.gate.pointwise());
            after
                .map(|(inner, outer)| Ok([product(&self.reduce, inner)?, product(&self.expand, outer)?]))
                .transpose()
        };
        let products = self.frozen.get(on, self.reduce.parameter(), (), products)?;
        let Some([reduce, expand]) = products.as_ref() else { return Ok(None) };
        let y = torch::squeeze_excite(x, reduce, expand)?;
        if y.is_some() {
            for (conv, product) in [(&self.reduce, reduce), (&self.expand, expand)] {
                conv.record((x.size()[0] * product.weight.size()[1]) as usize);
            }
        }
        Ok(y)
    }
}

impl Layer for SqueezeExcite {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if let Some(y) = self.fused(x, train)? {
            return Ok(y);
        }
        let squeezed = match self.squeeze {
            Squeeze::Average => x.f_adaptive_avg_pool2d([1, 1])?,
            Squeeze::Max => x.f_amax([2, 3], true)?,
            Squeeze::None => x.shallow_clone(),
        };
        let squeezed = self.reduce.forward_act(&squeezed, self.activation, train)?;
        let gate = self.expand.forward_act(&squeezed, self.gate, train)?;
        self.taps.give(&self.name, &gate);
        Ok(x.f_mul(&gate)?)
    }
}
