//! Mobile nets as timm has them: MobileNet V1 (1704.04861), V2 (1801.04381), V3 (1905.02244), V4 (2404.10518),
//! EfficientNet (1905.11946) with its Lite, EdgeTPU and CondConv (1904.04971) variants, EfficientNetV2 (2104.00298).
//!
//! One network whose [`Config`] spells them: stages of blocks by a table, scaled in width and depth. Keys as timm's:
//! `conv_stem`, `bn1`, `blocks.0.0.conv_dw`, …, `conv_head`, `bn2`, `classifier`.

mod blocks;
mod efficientnet;
mod mobilenet;
mod table;

use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    Activation, AntiAlias, Conv, ConvBlock, ConvNorm, ConvNormAct, Dropout, Init, Layer, Linear, Path,
    Sequential, Store, make_divisible,
};
use anyhow::{Result, ensure};
use blocks::Builder;
use serde::{Deserialize, Serialize};
use table::Row;
use tch::Tensor;

/// Where the last 1×1 convolution is, and what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// There is none (MobileNetV1).
    None,
    /// Before the pooling, with norm (V2, EfficientNet).
    BeforePool,
    /// After the pooling, with bias (V3).
    AfterPool,
    /// After the pooling, without bias (V3 of the first port).
    AfterPoolNoBias,
    /// After the pooling, with norm (V4).
    AfterPoolNorm,
}

/// How the width multiplier acts on the last 1×1 convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadWidth {
    /// As on all channels.
    Scaled,
    /// It widens, but does not narrow.
    Widened,
    /// Not.
    Fixed,
}

/// What squeeze-excitation keeps its share of, and its functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Squeeze {
    /// Of the block's input; the block's activation, sigmoid (EfficientNet).
    Input,
    /// Of the expanded channels; the block's activation, hard sigmoid (V3 of the first port).
    Expanded,
    /// Of the expanded channels, to a multiple of 8; ReLU, hard sigmoid (V3).
    ExpandedDivisible,
}

/// A mobile net.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Channels of the first convolution, before `width`.
    pub stem: i64,
    /// Whether `width` leaves them alone.
    pub fix_stem: bool,
    /// The blocks, a line a stage: `ir x2 k3 s2 e6 c24 se0.25` is two inverted residuals of kernel 3, the first at
    /// stride 2, that expand six times, to 24 channels, with squeeze-excitation of a quarter; commas part kinds.
    pub stages: Vec<String>,
    pub head: Head,
    /// Channels of the last 1×1 convolution.
    pub features: i64,
    pub head_width: HeadWidth,
    /// Width multiplier of all channels.
    pub width: f64,
    /// Rounded to a multiple of 8, channels keep this share of what they were; 0 is the nearest multiple.
    pub round_limit: f64,
    /// Multiplier of every stage's blocks, rounded up.
    pub depth: f64,
    /// Whether `depth` leaves the first and the last stage alone.
    pub fix_ends: bool,
    pub activation: Activation,
    pub squeeze: Squeeze,
    /// Multiplier of the experts of conditional convolutions.
    pub experts: i64,
    /// TensorFlow's SAME padding instead of as many zeros on both sides.
    pub tf_same: bool,
    pub bn_eps: f64,
    /// The filter that takes over the strides of blocks.
    pub anti_alias: Option<AntiAlias>,
    /// Initial layer scale of `uir` and `mqa` blocks.
    pub layer_scale: Option<f64>,
    /// Dropout before the classifier.
    pub dropout: f64,
    /// Probability of stochastic depth at the end; it grows from 0 with the depth.
    pub drop_path: f64,
}

impl Config {
    /// MobileNetV2's rules around these stages.
    fn new(stages: &[&str]) -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            stem: 32,
            fix_stem: false,
            stages: stages.iter().map(|&stage| stage.into()).collect(),
            head: Head::BeforePool,
            features: 1280,
            head_width: HeadWidth::Widened,
            width: 1.0,
            round_limit: 0.9,
            depth: 1.0,
            fix_ends: false,
            activation: Activation::Relu6,
            squeeze: Squeeze::Input,
            experts: 1,
            tf_same: false,
            bn_eps: 1e-5,
            anti_alias: None,
            layer_scale: None,
            dropout: 0.0,
            drop_path: 0.0,
        }
    }

    /// As TensorFlow's weights need it: SAME padding and eps 1e-3.
    pub fn tf(self) -> Self {
        Self { tf_same: true, bn_eps: 1e-3, ..self }
    }

    /// Scaled in width and depth, with costs at this image size.
    pub fn scaled(self, width: f64, depth: f64, image_size: i64) -> Self {
        Self { width, depth, image_size, ..self }
    }

    fn channels(&self, channels: i64) -> i64 {
        make_divisible(channels as f64 * self.width, 8, self.round_limit)
    }

    fn head_channels(&self) -> i64 {
        match self.head_width {
            HeadWidth::Scaled => self.channels(self.features),
            HeadWidth::Widened => self.channels(self.features).max(self.features),
            HeadWidth::Fixed => self.features,
        }
    }

    /// Every block of every stage.
    fn rows(&self) -> Result<Vec<Vec<Row>>> {
        let last = self.stages.len().saturating_sub(1);
        let depth = |i| if self.fix_ends && (i == 0 || i == last) { 1.0 } else { self.depth };
        self.stages.iter().enumerate().map(|(i, stage)| table::blocks(stage, depth(i))).collect()
    }

    fn validate(&self) -> Result<()> {
        ensure!(self.width > 0.0 && self.width.is_finite(), "`width` {} must be positive", self.width);
        ensure!(self.depth > 0.0 && self.depth.is_finite(), "`depth` {} must be positive", self.depth);
        ensure!(
            (0.0..=1.0).contains(&self.round_limit),
            "`round_limit` {} is not in [0, 1]",
            self.round_limit
        );
        ensure!(self.experts > 0, "`experts` {} must be positive", self.experts);
        ensure!(!self.stages.is_empty(), "`stages` is empty");
        Ok(())
    }

    /// The padding that keeps the size at stride 1.
    fn padded(&self, conv: Conv) -> Conv {
        if self.tf_same { conv.tf_same() } else { conv.same() }
    }

    fn conv_norm(&self, path: &Path, conv_name: &str, norm_name: &str, conv: Conv) -> Result<ConvNorm> {
        let conv = self.padded(conv).init_fan_out_of_group();
        Ok(ConvNorm::new(&(path / conv_name), &(path / norm_name), conv)?.eps(self.bn_eps))
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

/// The 1×1 convolution of the pooled features, with or without norm, and an activation.
fn hidden(path: &Path, config: &Config, channels: i64) -> Result<Option<ConvNormAct>> {
    let (place, norm) = (path / "conv_head", path / "norm_head");
    let conv = Conv::new(channels, config.head_channels(), 1).init_fan_out_of_group();
    let conv = match config.head {
        Head::None | Head::BeforePool => return Ok(None),
        Head::AfterPool => ConvNorm::bare(&place, conv.zero_bias())?,
        Head::AfterPoolNoBias => ConvNorm::bare(&place, conv.no_bias())?,
        Head::AfterPoolNorm => ConvNorm::new(&place, &norm, conv)?.eps(config.bn_eps),
    };
    Ok(Some(ConvNormAct::new(conv, config.activation)))
}

/// Global average, hidden features where there are some, dropout and classifier.
struct Classifier {
    hidden: Option<ConvNormAct>,
    dropout: Dropout,
    classifier: Linear,
}

impl Layer for Classifier {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = x.f_adaptive_avg_pool2d([1, 1])?;
        if let Some(hidden) = &self.hidden {
            y = hidden.forward(&y, train)?;
        }
        self.classifier.forward(&self.dropout.forward(&y.f_flatten(1, -1)?, train)?, train)
    }
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let mut channels = if config.fix_stem { config.stem } else { config.channels(config.stem) };
    let stem = Conv::new(config.in_chans, channels, 3).stride(2);
    let stem = ConvBlock::new(config.conv_norm(path, "conv_stem", "bn1", stem)?, config.activation);
    let mut stages: Vec<(String, Box<dyn Layer>)> = vec![("conv_stem".into(), Box::new(stem))];
    let rows = config.rows()?;
    let total = rows.iter().map(Vec::len).sum::<usize>() as f64;
    let mut done = 0;
    let mut blocks = Sequential::named(path, "blocks");
    for stage in &rows {
        blocks.push(|path| {
            let mut blocks = Sequential::new(path.clone());
            for row in stage {
                let drop_path = config.drop_path * f64::from(done) / total;
                blocks.push(|path| {
                    let block = Builder { config, path, row, from: channels, drop_path };
                    channels = block.to();
                    block.build()
                })?;
                done += 1;
            }
            Ok(blocks)
        })?;
    }
    stages.extend(blocks.into_layers());
    if config.head == Head::BeforePool {
        let conv = Conv::new(channels, config.head_channels(), 1);
        let conv = config.conv_norm(path, "conv_head", "bn2", conv)?;
        stages.push(("conv_head".into(), Box::new(ConvBlock::new(conv, config.activation))));
    }
    let features = if config.head == Head::None { channels } else { config.head_channels() };
    let init = Init::Uniform(1.0 / (config.num_classes as f64).sqrt());
    let head = Classifier {
        hidden: hidden(path, config, channels)?,
        dropout: Dropout::new(config.dropout)?,
        classifier: Linear::init(&(path / "classifier"), features, config.num_classes, init)?,
    };
    Ok(Net::new(stages, head))
}

/// timm's nets.
pub(super) fn entries() -> Vec<Entry> {
    let mut entries = mobilenet::entries();
    entries.extend(efficientnet::entries());
    entries
}
