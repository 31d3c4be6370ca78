//! MobileNetV2 (1801.04381) as torchvision has it.
//!
//! Keys as torchvision's: `features.0.0`, `features.1.conv.0.0`, …, `features.18.0`, `classifier.1`.

use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    Activation, Classifier, Conv, ConvBlock, ConvNorm, Init, InvertedResidual, Linear, Path, Sequential,
    Skip, Store, make_divisible,
};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// One line of the paper's Table 2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Expansion factor t.
    pub expansion: i64,
    /// Output channels c.
    pub channels: i64,
    /// Blocks n.
    pub blocks: i64,
    /// Stride s of the first block.
    pub stride: i64,
}

const TABLE_2: [Stage; 7] = [
    Stage { expansion: 1, channels: 16, blocks: 1, stride: 1 },
    Stage { expansion: 6, channels: 24, blocks: 2, stride: 2 },
    Stage { expansion: 6, channels: 32, blocks: 3, stride: 2 },
    Stage { expansion: 6, channels: 64, blocks: 4, stride: 2 },
    Stage { expansion: 6, channels: 96, blocks: 3, stride: 1 },
    Stage { expansion: 6, channels: 160, blocks: 3, stride: 2 },
    Stage { expansion: 6, channels: 320, blocks: 1, stride: 1 },
];

/// Inverted residuals with linear bottlenecks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Channels of the first convolution, before `width`.
    pub stem: i64,
    pub stages: Vec<Stage>,
    /// Channels of the last convolution; `width` widens it, but does not narrow it.
    pub last: i64,
    /// Width multiplier α of all channels.
    pub width: f64,
    /// Multiplier of every stage's blocks, rounded up.
    pub depth: f64,
    /// Channels are multiples of it.
    pub divisor: i64,
    /// Dropout before the classifier.
    pub dropout: f64,
}

impl Config {
    /// `torchvision.models.mobilenet_v2`.
    pub fn mobilenet_v2() -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            stem: 32,
            stages: TABLE_2.to_vec(),
            last: 1280,
            width: 1.0,
            depth: 1.0,
            divisor: 8,
            dropout: 0.2,
        }
    }

    fn channels(&self, channels: i64, width: f64) -> i64 {
        make_divisible(channels as f64 * width, self.divisor, 0.9)
    }

    fn validate(&self) -> Result<()> {
        ensure!(self.width > 0.0 && self.width.is_finite(), "`width` {} must be positive", self.width);
        ensure!(self.depth > 0.0 && self.depth.is_finite(), "`depth` {} must be positive", self.depth);
        ensure!(self.divisor > 0, "`divisor` {} must be positive", self.divisor);
        Ok(())
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

/// Convolution and norm at `path.0` and `path.1`.
fn conv_norm(path: &Path, conv: Conv) -> Result<ConvNorm> {
    ConvNorm::new(&(path / 0), &(path / 1), conv.init(Init::KaimingFanOut))
}

fn conv_block(path: &Path, conv: Conv) -> Result<ConvBlock> {
    Ok(ConvBlock::new(conv_norm(path, conv)?, Activation::Relu6))
}

/// A block of `stage`: (N, from, H, W) to (N, to, H/stride, W/stride).
fn block(path: &Path, expansion: i64, [from, to]: [i64; 2], stride: i64) -> Result<InvertedResidual> {
    let path = path / "conv";
    let hidden = from * expansion;
    let (expand, next) = match expansion {
        1 => (None, 0),
        _ => (Some(conv_block(&(&path / 0), Conv::new(from, hidden, 1))?), 1),
    };
    let depthwise = Conv::new(hidden, hidden, 3).same().stride(stride).groups(hidden);
    let depthwise = conv_block(&(&path / next), depthwise)?;
    let project = Conv::new(hidden, to, 1).init(Init::KaimingFanOut);
    Ok(InvertedResidual {
        expand,
        depthwise,
        se: None,
        project: ConvNorm::new(&(&path / (next + 1)), &(&path / (next + 2)), project)?,
        skip: if stride == 1 && from == to { Skip::new(0.0)? } else { Skip::NONE },
    })
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let mut features = Sequential::named(path, "features");
    let mut channels = config.channels(config.stem, config.width);
    let stem = Conv::new(config.in_chans, channels, 3).same().stride(2);
    features.push(|path| conv_block(path, stem))?;
    for stage in &config.stages {
        let out = config.channels(stage.channels, config.width);
        for i in 0..(stage.blocks as f64 * config.depth).ceil() as i64 {
            let stride = if i == 0 { stage.stride } else { 1 };
            features.push(|path| block(path, stage.expansion, [channels, out], stride))?;
            channels = out;
        }
    }
    let last = config.channels(config.last, config.width.max(1.0));
    features.push(|path| conv_block(path, Conv::new(channels, last, 1)))?;
    let classifier = path / "classifier" / 1;
    let classifier = Linear::init(&classifier, last, config.num_classes, Init::Normal(0.01))?;
    Ok(Net::new(features.into_layers(), Classifier::new(classifier, config.dropout)?))
}

/// torchvision's net.
pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::new("torchvision/mobilenet_v2".into(), "MobileNet", Config::mobilenet_v2())]
}
