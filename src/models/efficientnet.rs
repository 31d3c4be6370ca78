//! EfficientNet (1905.11946) and EfficientNetV2 (2104.00298) as torchvision has them, with compound scaling.
//!
//! Keys as torchvision's: `features.0.0`, `features.1.0.block.0.0`, …, `classifier.1`.

use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    Activation, Classifier, Conv, ConvBlock, ConvNorm, Excitation, FusedInvertedResidual, Init,
    InvertedResidual, Layer, Linear, Path, Sequential, Skip, SqueezeExcite, Store, make_divisible,
};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// The kinds of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// MBConv with squeeze-excitation.
    MbConv,
    /// Fused-MBConv.
    Fused,
}

/// One line of EfficientNet's Table 1 or EfficientNetV2's Table 4.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    pub block: BlockKind,
    pub expansion: i64,
    pub kernel: i64,
    /// Stride of the first block.
    pub stride: i64,
    /// Output channels, before `width`.
    pub channels: i64,
    /// Blocks, before `depth`.
    pub blocks: i64,
}

/// `blocks` MBConvs of expansion 6 at stride 1.
const fn mb_conv(kernel: i64, channels: i64, blocks: i64) -> Stage {
    Stage { block: BlockKind::MbConv, expansion: 6, kernel, stride: 1, channels, blocks }
}

/// `blocks` Fused-MBConvs of expansion 4 and kernel 3 at stride 1.
const fn fused(channels: i64, blocks: i64) -> Stage {
    Stage { block: BlockKind::Fused, expansion: 4, kernel: 3, stride: 1, channels, blocks }
}

impl Stage {
    const fn expansion(self, expansion: i64) -> Self {
        Self { expansion, ..self }
    }

    const fn down(self) -> Self {
        Self { stride: 2, ..self }
    }
}

const B0: [Stage; 7] = [
    mb_conv(3, 16, 1).expansion(1),
    mb_conv(3, 24, 2).down(),
    mb_conv(5, 40, 2).down(),
    mb_conv(3, 80, 3).down(),
    mb_conv(5, 112, 3),
    mb_conv(5, 192, 4).down(),
    mb_conv(3, 320, 1),
];

const V2_S: [Stage; 6] = [
    fused(24, 2).expansion(1),
    fused(48, 4).down(),
    fused(64, 4).down(),
    mb_conv(3, 128, 6).expansion(4).down(),
    mb_conv(3, 160, 9),
    mb_conv(3, 256, 15).down(),
];

const V2_M: [Stage; 7] = [
    fused(24, 3).expansion(1),
    fused(48, 5).down(),
    fused(80, 5).down(),
    mb_conv(3, 160, 7).expansion(4).down(),
    mb_conv(3, 176, 14),
    mb_conv(3, 304, 18).down(),
    mb_conv(3, 512, 5),
];

const V2_L: [Stage; 7] = [
    fused(32, 4).expansion(1),
    fused(64, 7).down(),
    fused(96, 7).down(),
    mb_conv(3, 192, 10).expansion(4).down(),
    mb_conv(3, 224, 19),
    mb_conv(3, 384, 25).down(),
    mb_conv(3, 640, 7),
];

/// MBConvs scaled together in depth, width and resolution.
///
/// What is built is `depth` · α^φ deep, `width` · β^φ wide, and its costs are stated at `image_size` · γ^φ pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated, at φ = 0.
    pub image_size: i64,
    /// Channels of the first convolution, before `width`.
    pub stem: i64,
    pub stages: Vec<Stage>,
    /// Channels of the last convolution; 0 is four times the last stage's.
    pub last: i64,
    /// Width multiplier of all channels but `last`.
    pub width: f64,
    /// Multiplier of every stage's blocks, rounded up.
    pub depth: f64,
    /// Compound coefficient φ.
    pub phi: f64,
    /// Depth at φ = 1.
    pub alpha: f64,
    /// Width at φ = 1.
    pub beta: f64,
    /// Resolution at φ = 1.
    pub gamma: f64,
    /// Dropout before the classifier.
    pub dropout: f64,
    /// Probability of stochastic depth at the end; it grows from 0 with the depth.
    pub drop_path: f64,
    pub bn_eps: f64,
    pub bn_momentum: f64,
}

impl Config {
    /// `torchvision.models.efficientnet_b0`.
    pub fn efficientnet_b0() -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            stem: 32,
            stages: B0.to_vec(),
            last: 0,
            width: 1.0,
            depth: 1.0,
            phi: 0.0,
            alpha: 1.2,
            beta: 1.1,
            gamma: 1.15,
            dropout: 0.2,
            drop_path: 0.2,
            bn_eps: 1e-5,
            bn_momentum: 0.1,
        }
    }

    /// `torchvision.models.efficientnet_b1`.
    pub fn efficientnet_b1() -> Self {
        Self { depth: 1.1, image_size: 240, ..Self::efficientnet_b0() }
    }

    /// `torchvision.models.efficientnet_b2`.
    pub fn efficientnet_b2() -> Self {
        Self { width: 1.1, depth: 1.2, image_size: 288, dropout: 0.3, ..Self::efficientnet_b1() }
    }

    /// `torchvision.models.efficientnet_b3`.
    pub fn efficientnet_b3() -> Self {
        Self { width: 1.2, depth: 1.4, image_size: 300, ..Self::efficientnet_b2() }
    }

    /// `torchvision.models.efficientnet_b4`.
    pub fn efficientnet_b4() -> Self {
        Self { width: 1.4, depth: 1.8, image_size: 380, dropout: 0.4, ..Self::efficientnet_b3() }
    }

    /// `torchvision.models.efficientnet_b5`.
    pub fn efficientnet_b5() -> Self {
        Self {
            width: 1.6,
            depth: 2.2,
            image_size: 456,
            bn_eps: 1e-3,
            bn_momentum: 0.01,
            ..Self::efficientnet_b4()
        }
    }

    /// `torchvision.models.efficientnet_b6`.
    pub fn efficientnet_b6() -> Self {
        Self { width: 1.8, depth: 2.6, image_size: 528, dropout: 0.5, ..Self::efficientnet_b5() }
    }

    /// `torchvision.models.efficientnet_b7`.
    pub fn efficientnet_b7() -> Self {
        Self { width: 2.0, depth: 3.1, image_size: 600, ..Self::efficientnet_b6() }
    }

    /// `torchvision.models.efficientnet_v2_s`.
    pub fn efficientnet_v2_s() -> Self {
        let (stages, bn_eps) = (V2_S.to_vec(), 1e-3);
        Self { image_size: 384, stem: 24, stages, last: 1280, bn_eps, ..Self::efficientnet_b0() }
    }

    /// `torchvision.models.efficientnet_v2_m`.
    pub fn efficientnet_v2_m() -> Self {
        Self { image_size: 480, stages: V2_M.to_vec(), dropout: 0.3, ..Self::efficientnet_v2_s() }
    }

    /// `torchvision.models.efficientnet_v2_l`.
    pub fn efficientnet_v2_l() -> Self {
        Self { stem: 32, stages: V2_L.to_vec(), dropout: 0.4, ..Self::efficientnet_v2_m() }
    }

    fn channels(&self, channels: i64) -> i64 {
        make_divisible(channels as f64 * self.width * self.beta.powf(self.phi), 8, 0.9)
    }

    fn blocks(&self, blocks: i64) -> i64 {
        (blocks as f64 * self.depth * self.alpha.powf(self.phi)).ceil() as i64
    }

    fn validate(&self) -> Result<()> {
        let positive = [
            ("width", self.width),
            ("depth", self.depth),
            ("alpha", self.alpha),
            ("beta", self.beta),
            ("gamma", self.gamma),
        ];
        for (name, value) in positive {
            ensure!(value > 0.0 && value.is_finite(), "`{name}` {value} must be positive");
        }
        ensure!(self.phi.is_finite(), "`phi` {} must be a number", self.phi);
        ensure!(self.last >= 0, "`last` {} must not be negative", self.last);
        Ok(())
    }

    /// Convolution and norm at `path.0` and `path.1`.
    fn conv_norm(&self, path: &Path, conv: Conv) -> Result<ConvNorm> {
        let conv = ConvNorm::new(&(path / 0), &(path / 1), conv.init(Init::KaimingFanOut))?;
        Ok(conv.eps(self.bn_eps).momentum(self.bn_momentum))
    }

    fn conv_block(&self, path: &Path, conv: Conv, skip: Skip) -> Result<ConvBlock> {
        Ok(ConvBlock { skip, ..ConvBlock::new(self.conv_norm(path, conv)?, Activation::Silu) })
    }

    /// A block of `stage`: (N, from, H, W) to (N, to, H/stride, W/stride).
    fn block(
        &self,
        path: &Path,
        stage: &Stage,
        [from, to]: [i64; 2],
        stride: i64,
        drop_path: f64,
    ) -> Result<Box<dyn Layer>> {
        let path = path / "block";
        let skip = if stride == 1 && from == to { Skip::new(drop_path)? } else { Skip::NONE };
        let hidden = make_divisible((from * stage.expansion) as f64, 8, 0.9);
        let conv = |from, to| Conv::new(from, to, stage.kernel).same().stride(stride);
        match stage.block {
            BlockKind::Fused if hidden == from => {
                Ok(Box::new(self.conv_block(&(path / 0), conv(from, to), skip)?))
            }
            BlockKind::Fused => Ok(Box::new(FusedInvertedResidual {
                expand: self.conv_block(&(&path / 0), conv(from, hidden), Skip::NONE)?,
                se: None,
                project: self.conv_norm(&(&path / 1), Conv::new(hidden, to, 1))?,
                skip,
            })),
            BlockKind::MbConv => {
                let depthwise = conv(hidden, hidden).groups(hidden);
                let (expand, next) = match hidden == from {
                    true => (None, 0),
                    false => {
                        (Some(self.conv_block(&(&path / 0), Conv::new(from, hidden, 1), Skip::NONE)?), 1)
                    }
                };
                let excitation = Excitation {
                    squeezed: (from / 4).max(1),
                    activation: Activation::Silu,
                    gate: Activation::Sigmoid,
                    names: ["fc1", "fc2"],
                };
                Ok(Box::new(InvertedResidual {
                    expand,
                    depthwise: self.conv_block(&(&path / next), depthwise, Skip::NONE)?,
                    se: Some(SqueezeExcite::mobile(&(&path / (next + 1)), hidden, excitation)?),
                    project: self.conv_norm(&(&path / (next + 2)), Conv::new(hidden, to, 1))?,
                    skip,
                }))
            }
        }
    }
}

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        let side = (self.image_size as f64 * self.gamma.powf(self.phi)).round() as i64;
        [self.in_chans, side, side]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        self.validate()?;
        Ok(Box::new(network(&store.root(), self)?))
    }
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let mut features = Sequential::named(path, "features");
    let mut channels = config.channels(config.stem);
    let stem = Conv::new(config.in_chans, channels, 3).same().stride(2);
    features.push(|path| config.conv_block(path, stem, Skip::NONE))?;
    let total: i64 = config.stages.iter().map(|stage| config.blocks(stage.blocks)).sum();
    let mut done = 0;
    for stage in &config.stages {
        let out = config.channels(stage.channels);
        features.push(|path| {
            let mut blocks = Sequential::new(path.clone());
            for i in 0..config.blocks(stage.blocks) {
                let stride = if i == 0 { stage.stride } else { 1 };
                let drop_path = config.drop_path * done as f64 / total as f64;
                blocks.push(|path| config.block(path, stage, [channels, out], stride, drop_path))?;
                (channels, done) = (out, done + 1);
            }
            Ok(blocks)
        })?;
    }
    let last = if config.last == 0 { 4 * channels } else { config.last };
    features.push(|path| config.conv_block(path, Conv::new(channels, last, 1), Skip::NONE))?;
    let init = Init::Uniform(1.0 / (config.num_classes as f64).sqrt());
    let classifier = Linear::init(&(path / "classifier" / 1), last, config.num_classes, init)?;
    Ok(Net::new(features.into_layers(), Classifier::new(classifier, config.dropout)?))
}

/// torchvision's nets.
pub(super) fn entries() -> Vec<Entry> {
    let nets = [
        ("torchvision/efficientnet_b0", Config::efficientnet_b0()),
        ("torchvision/efficientnet_b1", Config::efficientnet_b1()),
        ("torchvision/efficientnet_b2", Config::efficientnet_b2()),
        ("torchvision/efficientnet_b3", Config::efficientnet_b3()),
        ("torchvision/efficientnet_b4", Config::efficientnet_b4()),
        ("torchvision/efficientnet_b5", Config::efficientnet_b5()),
        ("torchvision/efficientnet_b6", Config::efficientnet_b6()),
        ("torchvision/efficientnet_b7", Config::efficientnet_b7()),
        ("torchvision/efficientnet_v2_s", Config::efficientnet_v2_s()),
        ("torchvision/efficientnet_v2_m", Config::efficientnet_v2_m()),
        ("torchvision/efficientnet_v2_l", Config::efficientnet_v2_l()),
    ];
    nets.map(|(name, config)| Entry::new(name.into(), "EfficientNet", config)).into()
}
