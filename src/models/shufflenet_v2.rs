//! ShuffleNet V2 (1807.11164) as in torchvision.
//!
//! Keys as torchvision's: `conv1.0`, `conv1.1`, `stage2.0.branch1.0`, `stage2.0.branch2.0`, …, `conv5.0`, `fc`.

use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    Activation, Classifier, Conv, ConvNorm, ConvNormAct, Layer, Linear, MaxPool2d, Path, Sequential, Store,
};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Three stages of units that transform one half of the channels and shuffle it with the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Channels of the first convolution.
    pub stem_width: i64,
    /// Output channels of each stage; must be even.
    pub channels: [i64; 3],
    /// Units of each stage.
    pub layers: [i64; 3],
    /// Channels of the last convolution.
    pub last: i64,
    /// Dropout before the classifier.
    pub dropout: f64,
}

impl Config {
    /// `torchvision.models.shufflenet_v2_x1_0`.
    pub fn shufflenet_v2_x1_0() -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            stem_width: 24,
            channels: [116, 232, 464],
            layers: [4, 8, 4],
            last: 1024,
            dropout: 0.0,
        }
    }

    /// `torchvision.models.shufflenet_v2_x0_5`.
    pub fn shufflenet_v2_x0_5() -> Self {
        Self { channels: [48, 96, 192], ..Self::shufflenet_v2_x1_0() }
    }

    /// `torchvision.models.shufflenet_v2_x1_5`.
    pub fn shufflenet_v2_x1_5() -> Self {
        Self { channels: [176, 352, 704], ..Self::shufflenet_v2_x1_0() }
    }

    /// `torchvision.models.shufflenet_v2_x2_0`.
    pub fn shufflenet_v2_x2_0() -> Self {
        Self { channels: [244, 488, 976], last: 2048, ..Self::shufflenet_v2_x1_0() }
    }

    fn validate(&self) -> Result<()> {
        let Self { channels, layers, .. } = self;
        ensure!(
            channels.iter().all(|n| n % 2 == 0),
            "`channels` {channels:?} must be even: units halve them"
        );
        ensure!(layers.iter().all(|&n| n > 0), "`layers` {layers:?} must be positive");
        Ok(())
    }
}

impl super::Config for Config {
    fn renamed() -> &'static [(&'static str, &'static str)] {
        &[("stem", "stem_width")]
    }

    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        self.validate()?;
        Ok(Box::new(network(&store.root(), self)?))
    }
}

/// Convolution and norm as layers `first` and `first + 1` of a sequence.
fn conv_norm(path: &Path, first: usize, conv: Conv) -> Result<ConvNorm> {
    ConvNorm::new(&(path / first), &(path / (first + 1)), conv)
}

/// A 3×3 depthwise convolution.
fn depthwise(channels: i64, stride: i64) -> Conv {
    Conv::new(channels, channels, 3).same().stride(stride).groups(channels)
}

/// The downsampling branch that replaces the untouched half: depthwise, then pointwise.
struct Down {
    depthwise: ConvNorm,
    pointwise: ConvNorm,
}

impl Down {
    fn new(path: &Path, from: i64, to: i64) -> Result<Self> {
        Ok(Self {
            depthwise: conv_norm(path, 0, depthwise(from, 2))?,
            pointwise: conv_norm(path, 2, Conv::new(from, to, 1))?,
        })
    }
}

impl Layer for Down {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.depthwise.forward(x, Activation::Identity, train)?;
        self.pointwise.forward(&y, Activation::Relu, train)
    }
}

/// The main branch: pointwise, depthwise, pointwise.
struct Branch {
    pointwise: ConvNorm,
    depthwise: ConvNorm,
    last: ConvNorm,
}

impl Branch {
    fn new(path: &Path, from: i64, to: i64, stride: i64) -> Result<Self> {
        Ok(Self {
            pointwise: conv_norm(path, 0, Conv::new(from, to, 1))?,
            depthwise: conv_norm(path, 3, depthwise(to, stride))?,
            last: conv_norm(path, 5, Conv::new(to, to, 1))?,
        })
    }
}

impl Layer for Branch {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.pointwise.forward(x, Activation::Relu, train)?;
        let y = self.depthwise.forward(&y, Activation::Identity, train)?;
        self.last.forward(&y, Activation::Relu, train)
    }
}

/// Figure 3(c) and (d): without `branch1`, one half of the channels passes untouched; with it, both branches see all
/// channels at stride 2. (N, from, H, W) to (N, to, H/stride, W/stride).
struct Unit {
    branch1: Option<Down>,
    branch2: Branch,
}

impl Unit {
    fn new(path: &Path, from: i64, to: i64, down: bool) -> Result<Self> {
        let (branch1, branch2) = (path / "branch1", path / "branch2");
        Ok(if down {
            Self {
                branch1: Some(Down::new(&branch1, from, to / 2)?),
                branch2: Branch::new(&branch2, from, to / 2, 2)?,
            }
        } else {
            Self { branch1: None, branch2: Branch::new(&branch2, to / 2, to / 2, 1)? }
        })
    }
}

impl Layer for Unit {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let (first, second) = match &self.branch1 {
            Some(branch1) => (branch1.forward(x, train)?, self.branch2.forward(x, train)?),
            None => {
                let half = x.size()[1] / 2;
                let second = self.branch2.forward(&x.f_narrow(1, half, half)?, train)?;
                (x.f_narrow(1, 0, half)?, second)
            }
        };
        shuffle(&first, &second)
    }
}

/// Interleaves the channels of two maps: (N, C, H, W) twice to (N, 2C, H, W).
fn shuffle(first: &Tensor, second: &Tensor) -> Result<Tensor> {
    Ok(Tensor::f_stack(&[first, second], 2)?.f_flatten(1, 2)?)
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let mut channels = config.stem_width;
    let conv1 = Conv::new(config.in_chans, channels, 3).same().stride(2);
    let conv1 = ConvNormAct::relu(conv_norm(&(path / "conv1"), 0, conv1)?);
    let maxpool = MaxPool2d { stride: 2, padding: 1, ..MaxPool2d::new(3) };
    let mut stages: Vec<(&str, Box<dyn Layer>)> =
        vec![("conv1", Box::new(conv1)), ("maxpool", Box::new(maxpool))];
    for (stage, name) in ["stage2", "stage3", "stage4"].into_iter().enumerate() {
        let (mut units, to) = (Sequential::new(path / name), config.channels[stage]);
        for unit in 0..config.layers[stage] {
            units.push(|path| Unit::new(path, channels, to, unit == 0))?;
            channels = to;
        }
        stages.push((name, Box::new(units)));
    }
    let conv5 = conv_norm(&(path / "conv5"), 0, Conv::new(channels, config.last, 1))?;
    stages.push(("conv5", Box::new(ConvNormAct::relu(conv5))));
    let fc = || Linear::new(&(path / "fc"), config.last, config.num_classes);
    Ok(Net::new(stages, Classifier::new(config.num_classes, config.dropout, fc)?))
}

/// torchvision's nets.
pub(super) fn entries() -> Vec<Entry> {
    let nets = [
        ("torchvision/shufflenet_v2_x0_5", Config::shufflenet_v2_x0_5()),
        ("torchvision/shufflenet_v2_x1_0", Config::shufflenet_v2_x1_0()),
        ("torchvision/shufflenet_v2_x1_5", Config::shufflenet_v2_x1_5()),
        ("torchvision/shufflenet_v2_x2_0", Config::shufflenet_v2_x2_0()),
    ];
    nets.map(|(name, config)| Entry::new(name.into(), "ShuffleNet", config)).into()
}
