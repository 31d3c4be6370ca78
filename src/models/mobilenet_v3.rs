//! MobileNetV3 (1905.02244) as torchvision has it.
//!
//! Keys as torchvision's: `features.0.0`, `features.1.block.0.0`, …, `classifier.0`, `classifier.3`.

use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    Activation, Conv, ConvBlock, ConvNorm, Dropout, Excitation, Init, InvertedResidual, Layer, Linear, Path,
    Sequential, Skip, SqueezeExcite, Store, global_avg_pool, make_divisible,
};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// One line of the paper's Tables 1 and 2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    pub kernel: i64,
    /// Channels of the depthwise convolution.
    pub expanded: i64,
    pub channels: i64,
    pub se: bool,
    pub activation: Activation,
    pub stride: i64,
}

/// A block with ReLU (RE in the tables), without squeeze-excitation, at stride 1.
const fn relu(kernel: i64, expanded: i64, channels: i64) -> Block {
    Block { kernel, expanded, channels, se: false, activation: Activation::Relu, stride: 1 }
}

/// A block with hard swish (HS).
const fn hard_swish(kernel: i64, expanded: i64, channels: i64) -> Block {
    Block { activation: Activation::HardSwish, ..relu(kernel, expanded, channels) }
}

impl Block {
    const fn se(self) -> Self {
        Self { se: true, ..self }
    }

    const fn down(self) -> Self {
        Self { stride: 2, ..self }
    }
}

const LARGE: [Block; 15] = [
    relu(3, 16, 16),
    relu(3, 64, 24).down(),
    relu(3, 72, 24),
    relu(5, 72, 40).se().down(),
    relu(5, 120, 40).se(),
    relu(5, 120, 40).se(),
    hard_swish(3, 240, 80).down(),
    hard_swish(3, 200, 80),
    hard_swish(3, 184, 80),
    hard_swish(3, 184, 80),
    hard_swish(3, 480, 112).se(),
    hard_swish(3, 672, 112).se(),
    hard_swish(5, 672, 160).se().down(),
    hard_swish(5, 960, 160).se(),
    hard_swish(5, 960, 160).se(),
];

const SMALL: [Block; 11] = [
    relu(3, 16, 16).se().down(),
    relu(3, 72, 24).down(),
    relu(3, 88, 24),
    hard_swish(5, 96, 40).se().down(),
    hard_swish(5, 240, 40).se(),
    hard_swish(5, 240, 40).se(),
    hard_swish(5, 120, 48).se(),
    hard_swish(5, 144, 48).se(),
    hard_swish(5, 288, 96).se().down(),
    hard_swish(5, 576, 96).se(),
    hard_swish(5, 576, 96).se(),
];

/// Inverted residuals found by search, hard swish, and a classifier of two layers after the pooling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Channels of the first convolution, before `width`.
    pub stem: i64,
    pub blocks: Vec<Block>,
    /// Features between the two layers of the classifier, before `width`.
    pub hidden: i64,
    /// Width multiplier of all channels.
    pub width: f64,
    /// Dropout before the last layer.
    pub dropout: f64,
    pub bn_eps: f64,
    pub bn_momentum: f64,
}

impl Config {
    /// `torchvision.models.mobilenet_v3_large`.
    pub fn mobilenet_v3_large() -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            stem: 16,
            blocks: LARGE.to_vec(),
            hidden: 1280,
            width: 1.0,
            dropout: 0.2,
            bn_eps: 1e-3,
            bn_momentum: 0.01,
        }
    }

    /// `torchvision.models.mobilenet_v3_small`.
    pub fn mobilenet_v3_small() -> Self {
        Self { blocks: SMALL.to_vec(), hidden: 1024, ..Self::mobilenet_v3_large() }
    }

    fn channels(&self, channels: i64) -> i64 {
        make_divisible(channels as f64 * self.width, 8, 0.9)
    }

    fn validate(&self) -> Result<()> {
        ensure!(self.width > 0.0 && self.width.is_finite(), "`width` {} must be positive", self.width);
        Ok(())
    }

    /// Convolution and norm at `path.0` and `path.1`.
    fn conv_norm(&self, path: &Path, conv: Conv) -> Result<ConvNorm> {
        let conv = ConvNorm::new(&(path / 0), &(path / 1), conv.init(Init::KaimingFanOut))?;
        Ok(conv.eps(self.bn_eps).momentum(self.bn_momentum))
    }

    fn conv_block(&self, path: &Path, conv: Conv, activation: Activation) -> Result<ConvBlock> {
        Ok(ConvBlock::new(self.conv_norm(path, conv)?, activation))
    }

    /// (N, from, H, W) to (N, channels, H/stride, W/stride).
    fn block(&self, path: &Path, from: i64, block: &Block) -> Result<InvertedResidual> {
        let (hidden, to) = (self.channels(block.expanded), self.channels(block.channels));
        let path = path / "block";
        let mut next = 0;
        let mut place = || {
            next += 1;
            &path / (next - 1)
        };
        let expand = match hidden == from {
            true => None,
            false => Some(self.conv_block(&place(), Conv::new(from, hidden, 1), block.activation)?),
        };
        let depthwise = Conv::new(hidden, hidden, block.kernel).same().stride(block.stride).groups(hidden);
        let depthwise = self.conv_block(&place(), depthwise, block.activation)?;
        let excitation = Excitation {
            squeezed: make_divisible((hidden / 4) as f64, 8, 0.9),
            activation: Activation::Relu,
            gate: Activation::HardSigmoid,
            names: ["fc1", "fc2"],
        };
        let se = match block.se {
            true => Some(SqueezeExcite::mobile(&place(), hidden, excitation)?),
            false => None,
        };
        Ok(InvertedResidual {
            expand,
            depthwise,
            se,
            project: self.conv_norm(&place(), Conv::new(hidden, to, 1))?,
            skip: if block.stride == 1 && from == to { Skip::new(0.0)? } else { Skip::NONE },
        })
    }
}

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        self.validate()?;
        Ok(Box::new(network(&store.root(), self)?))
    }
}

/// Global average, a hidden layer, dropout and classifier.
struct Head {
    hidden: Linear,
    dropout: Dropout,
    classifier: Linear,
}

impl Layer for Head {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let hidden = self.hidden.forward(&global_avg_pool(x)?, train)?;
        let hidden = Activation::HardSwish.forward(hidden)?;
        self.classifier.forward(&self.dropout.forward(&hidden, train)?, train)
    }
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let mut features = Sequential::named(path, "features");
    let mut channels = config.channels(config.stem);
    let stem = Conv::new(config.in_chans, channels, 3).same().stride(2);
    features.push(|path| config.conv_block(path, stem, Activation::HardSwish))?;
    for block in &config.blocks {
        features.push(|path| config.block(path, channels, block))?;
        channels = config.channels(block.channels);
    }
    let last = 6 * channels;
    let conv = Conv::new(channels, last, 1);
    features.push(|path| config.conv_block(path, conv, Activation::HardSwish))?;
    let (classifier, hidden) = (path / "classifier", config.channels(config.hidden));
    let init = Init::Normal(0.01);
    let head = Head {
        hidden: Linear::init(&(&classifier / 0), last, hidden, init)?,
        dropout: Dropout::new(config.dropout)?,
        classifier: Linear::init(&(&classifier / 3), hidden, config.num_classes, init)?,
    };
    Ok(Net::new(features.into_layers(), head))
}

/// torchvision's nets.
pub(super) fn entries() -> Vec<Entry> {
    let entry = |name, config| Entry::new(name, "MobileNet", config);
    vec![
        entry("torchvision/mobilenet_v3_large".into(), Config::mobilenet_v3_large()),
        entry("torchvision/mobilenet_v3_small".into(), Config::mobilenet_v3_small()),
    ]
}
