//! MnasNet-B1 (1807.11626) as torchvision has it.
//!
//! Keys as torchvision's: `layers.0`, `layers.1`, …, `layers.8.0.layers.0`, …, `classifier.1`.

use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    Activation, Classifier, Conv, ConvBlock, ConvNorm, Init, InvertedResidual, Layer, Linear, Path,
    Sequential, Skip, Store, make_divisible,
};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Inverted residuals of one shape, in a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    pub expansion: i64,
    pub kernel: i64,
    /// Stride of the first block.
    pub stride: i64,
    /// Output channels, before `width`.
    pub channels: i64,
    pub blocks: i64,
}

/// MBConv3 at stride 2.
const fn mb_conv3(kernel: i64, channels: i64, blocks: i64) -> Stage {
    Stage { expansion: 3, kernel, stride: 2, channels, blocks }
}

/// MBConv6 at stride 1.
const fn mb_conv6(kernel: i64, channels: i64, blocks: i64) -> Stage {
    Stage { expansion: 6, kernel, stride: 1, channels, blocks }
}

impl Stage {
    const fn down(self) -> Self {
        Self { stride: 2, ..self }
    }
}

const B1: [Stage; 6] = [
    mb_conv3(3, 24, 3),
    mb_conv3(5, 40, 3),
    mb_conv6(5, 80, 3).down(),
    mb_conv6(3, 96, 2),
    mb_conv6(5, 192, 4).down(),
    mb_conv6(3, 320, 1),
];

/// Inverted residuals found by search, after a depthwise separable convolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Channels of the first convolution, before `width`.
    pub stem: i64,
    /// Channels of the separable convolution after it, before `width`.
    pub separable: i64,
    pub stages: Vec<Stage>,
    /// Channels of the last convolution, which `width` leaves alone.
    pub last: i64,
    /// Width multiplier of all other channels (alpha in torchvision).
    pub width: f64,
    /// Dropout before the classifier.
    pub dropout: f64,
    pub bn_momentum: f64,
}

impl Config {
    /// `torchvision.models.mnasnet1_0`.
    pub fn mnasnet1_0() -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            stem: 32,
            separable: 16,
            stages: B1.to_vec(),
            last: 1280,
            width: 1.0,
            dropout: 0.2,
            bn_momentum: 3e-4,
        }
    }

    fn channels(&self, channels: i64) -> i64 {
        make_divisible(channels as f64 * self.width, 8, 0.9)
    }

    /// Convolution and norm as the layers `first` and after of a sequence.
    fn conv_norm(&self, path: &Path, first: usize, conv: Conv) -> Result<ConvNorm> {
        let conv = ConvNorm::new(&(path / first), &(path / (first + 1)), conv.init(Init::KaimingFanOut))?;
        Ok(conv.momentum(self.bn_momentum))
    }

    /// The same with the ReLU after it.
    fn conv_block(&self, path: &Path, first: usize, conv: Conv) -> Result<ConvBlock> {
        Ok(ConvBlock::new(self.conv_norm(path, first, conv)?, Activation::Relu))
    }

    /// A block of `stage`: (N, from, H, W) to (N, to, H/stride, W/stride).
    fn block(
        &self,
        path: &Path,
        stage: &Stage,
        [from, to]: [i64; 2],
        stride: i64,
    ) -> Result<InvertedResidual> {
        let path = path / "layers";
        let hidden = from * stage.expansion;
        let depthwise = Conv::new(hidden, hidden, stage.kernel).same().stride(stride).groups(hidden);
        Ok(InvertedResidual {
            expand: Some(self.conv_block(&path, 0, Conv::new(from, hidden, 1))?),
            depthwise: self.conv_block(&path, 3, depthwise)?,
            se: None,
            project: self.conv_norm(&path, 6, Conv::new(hidden, to, 1))?,
            skip: if stride == 1 && from == to { Skip::new(0.0)? } else { Skip::NONE },
        })
    }
}

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        ensure!(self.width > 0.0 && self.width.is_finite(), "`width` {} must be positive", self.width);
        Ok(Box::new(network(&store.root(), self)?))
    }
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let place = path / "layers";
    let (stem, mut channels) = (config.channels(config.stem), config.channels(config.separable));
    let conv = Conv::new(config.in_chans, stem, 3).same().stride(2);
    let conv = config.conv_block(&place, 0, conv)?;
    let separable = InvertedResidual {
        expand: None,
        depthwise: config.conv_block(&place, 3, Conv::new(stem, stem, 3).same().groups(stem))?,
        se: None,
        project: config.conv_norm(&place, 6, Conv::new(stem, channels, 1))?,
        skip: Skip::NONE,
    };
    let mut layers: Vec<(String, Box<dyn Layer>)> =
        vec![("layers.0".into(), Box::new(conv)), ("layers.3".into(), Box::new(separable))];
    let last = 8 + config.stages.len();
    for (stage, index) in config.stages.iter().zip(8..) {
        let (mut blocks, to) = (Sequential::new(&place / index), config.channels(stage.channels));
        for i in 0..stage.blocks {
            let stride = if i == 0 { stage.stride } else { 1 };
            blocks.push(|path| config.block(path, stage, [channels, to], stride))?;
            channels = to;
        }
        layers.push((format!("layers.{index}"), Box::new(blocks)));
    }
    let conv = config.conv_block(&place, last, Conv::new(channels, config.last, 1))?;
    layers.push((format!("layers.{last}"), Box::new(conv)));
    let init = Init::Uniform((3.0 / config.num_classes as f64).sqrt());
    let classifier = Linear::init(&(path / "classifier" / 1), config.last, config.num_classes, init)?;
    Ok(Net::new(layers, Classifier::new(classifier, config.dropout)?))
}

/// torchvision's nets.
pub(super) fn entries() -> Vec<Entry> {
    let widths = [("mnasnet0_5", 0.5), ("mnasnet0_75", 0.75), ("mnasnet1_0", 1.0), ("mnasnet1_3", 1.3)];
    let entry = |(name, width)| {
        let config = Config { width, ..Config::mnasnet1_0() };
        Entry::new(format!("torchvision/{name}"), "MNASNet", config)
    };
    widths.map(entry).into()
}
