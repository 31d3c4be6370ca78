//! Xception (1610.02357) as timm's `legacy_xception`, and the paper's ablations.
//!
//! Keys as timm's: `conv1`, `bn1`, …, `block1.rep.0.conv1`, `block1.rep.0.pointwise`, `block1.rep.1`, …,
//! `block1.skip`, `block1.skipbn`, …, `fc`.

use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    Activation, Classifier, Conv, Conv2d, ConvNorm, ConvNormAct, Init, Layer, Linear, MaxPool2d, Path,
    Sequence, Store,
};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// The order of a separable convolution's two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Depthwise, then pointwise: as published.
    DepthwiseFirst,
    /// Pointwise, then depthwise: the "extreme" Inception module of the paper's Figure 4, which has a ReLU after both
    /// (section 1.3).
    PointwiseFirst,
}

/// Entry flow, middle flow and exit flow of separable convolutions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Blocks of the middle flow.
    pub middle: i64,
    /// Multiplier of all channels.
    pub width: f64,
    pub order: Order,
    /// Segments of the channels that the 3×3 convolutions see apart from each other (the paper's section 1.2), from 1, a
    /// regular convolution, to 0, which is one for each channel.
    pub segments: i64,
    /// Activation between the depthwise and the pointwise convolution (the paper's Figure 10).
    pub intermediate: Activation,
    /// Whether blocks have shortcuts (the paper's Figure 9).
    pub residual: bool,
    /// Dropout before the classifier.
    pub dropout: f64,
}

impl Config {
    pub fn xception() -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 299,
            middle: 8,
            width: 1.0,
            order: Order::DepthwiseFirst,
            segments: 0,
            intermediate: Activation::Identity,
            residual: true,
            dropout: 0.0,
        }
    }

    /// Of the modules of Figure 4.
    fn extreme_inception() -> Self {
        Self { order: Order::PointwiseFirst, intermediate: Activation::Relu, ..Self::xception() }
    }
}

impl Config {
    fn channels(&self, channels: i64) -> i64 {
        (channels as f64 * self.width).round() as i64
    }
}

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        ensure!(self.width > 0.0 && self.width.is_finite(), "`width` {} must be positive", self.width);
        ensure!(self.middle >= 0, "`middle` {} must not be negative", self.middle);
        ensure!(self.segments >= 0, "`segments` {} must not be negative", self.segments);
        Ok(Box::new(network(&store.root(), self)?))
    }
}

fn conv(in_channels: i64, out_channels: i64, kernel: i64) -> Conv {
    Conv::new(in_channels, out_channels, kernel).no_bias().init(Init::KaimingFanOut)
}

/// A depthwise 3×3 and a pointwise 1×1 convolution in the one or the other order, and the norm.
struct Separable {
    first: Conv2d,
    intermediate: Activation,
    second: ConvNorm,
}

impl Separable {
    fn new(path: &Path, norm: &Path, config: &Config, in_channels: i64, out_channels: i64) -> Result<Self> {
        let pointwise = (path / "pointwise", conv(in_channels, out_channels, 1));
        let depthwise = |channels| {
            let segments = if config.segments == 0 { channels } else { config.segments };
            ensure!(
                channels % segments == 0,
                "`segments` {segments} do not divide {channels} channels: take a power of 2 up to 8, or set `width`"
            );
            Ok((path / "conv1", conv(channels, channels, 3).same().groups(segments)))
        };
        let [(first, first_conv), (second, second_conv)] = match config.order {
            Order::DepthwiseFirst => [depthwise(in_channels)?, pointwise],
            Order::PointwiseFirst => [pointwise, depthwise(out_channels)?],
        };
        Ok(Self {
            first: Conv2d::new(&first, first_conv)?,
            intermediate: config.intermediate,
            second: ConvNorm::new(&second, norm, second_conv)?,
        })
    }

    fn forward(&self, x: &Tensor, activation: Activation, train: bool) -> Result<Tensor> {
        let y = self.first.forward_act(x, self.intermediate, train)?;
        self.second.forward(&y, activation, train)
    }

    fn forward_add(&self, x: &Tensor, residual: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.first.forward_act(x, self.intermediate, train)?;
        self.second.forward_add(&y, residual, Activation::Identity, train)
    }
}

/// A separable convolution with ReLU after it, of the exit flow.
struct SeparableRelu(Separable);

impl Layer for SeparableRelu {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.0.forward(x, Activation::Relu, train)
    }
}

/// Separable convolutions with ReLU before each, and the shortcut around them.
struct Block {
    relu_first: bool,
    /// Each with ReLU after it.
    separables: Vec<Separable>,
    last: Separable,
    pool: Option<MaxPool2d>,
    skip: Option<ConvNorm>,
    residual: bool,
}

/// The shape of a block: the channels after each convolution, and whether it halves the resolution.
struct Shape<'a> {
    in_channels: i64,
    channels: &'a [i64],
    halve: bool,
    relu_first: bool,
}

impl Block {
    fn new(path: &Path, config: &Config, shape: &Shape) -> Result<Self> {
        let out_channels = shape.channels.last().copied().unwrap_or(shape.in_channels);
        let changes = shape.halve || out_channels != shape.in_channels;
        let project = conv(shape.in_channels, out_channels, 1).stride(if shape.halve { 2 } else { 1 });
        let skip = (changes && config.residual)
            .then(|| ConvNorm::new(&(path / "skip"), &(path / "skipbn"), project))
            .transpose()?;
        let rep = path / "rep";
        let mut separables = Vec::new();
        let (mut channels, mut index) = (shape.in_channels, i64::from(shape.relu_first));
        for &out in shape.channels {
            let (conv, norm) = (&rep / index, &rep / (index + 1));
            separables.push(Separable::new(&conv, &norm, config, channels, out)?);
            (channels, index) = (out, index + 3);
        }
        let last = separables.pop().context("a block without convolutions")?;
        Ok(Self {
            relu_first: shape.relu_first,
            separables,
            last,
            pool: shape.halve.then_some(MaxPool2d { stride: 2, padding: 1, ..MaxPool2d::new(3) }),
            skip,
            residual: config.residual,
        })
    }
}

impl Layer for Block {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = if self.relu_first { Activation::Relu.apply(x)? } else { x.shallow_clone() };
        for separable in &self.separables {
            y = separable.forward(&y, Activation::Relu, train)?;
        }
        // What halves the resolution has a projection.
        if self.residual && self.skip.is_none() {
            return self.last.forward_add(&y, x, train);
        }
        y = self.last.forward(&y, Activation::Identity, train)?;
        if let Some(pool) = &self.pool {
            y = pool.forward(&y, train)?;
        }
        match &self.skip {
            Some(skip) => skip.forward_add(x, &y, Activation::Identity, train),
            None => Ok(y),
        }
    }
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let norm = |i: i64| path / format!("bn{i}");
    let stem = |i: i64, spec: Conv| -> Result<Box<dyn Layer>> {
        let conv = ConvNorm::new(&(path / format!("conv{i}")), &norm(i), spec)?;
        Ok(Box::new(ConvNormAct::relu(conv)))
    };
    let width = |channels| config.channels(channels);
    let mut stages = vec![
        ("conv1".to_owned(), stem(1, conv(config.in_chans, width(32), 3).stride(2))?),
        ("conv2".to_owned(), stem(2, conv(width(32), width(64), 3))?),
    ];
    let mut block = |in_channels, channels: &[i64], halve| -> Result<()> {
        let name = format!("block{}", stages.len() - 1);
        let relu_first = name != "block1";
        let channels: Vec<i64> = channels.iter().map(|&channels| width(channels)).collect();
        let shape = Shape { in_channels: width(in_channels), channels: &channels, halve, relu_first };
        let block = Block::new(&(path / &name), config, &shape)?;
        stages.push((name, Box::new(block)));
        Ok(())
    };
    block(64, &[128, 128], true)?;
    block(128, &[256, 256], true)?;
    block(256, &[728, 728], true)?;
    for _ in 0..config.middle {
        block(728, &[728, 728, 728], false)?;
    }
    block(728, &[728, 1024], true)?;
    let exit = |i: i64, from, to| -> Result<Box<dyn Layer>> {
        let conv = path / format!("conv{i}");
        let separable = Separable::new(&conv, &norm(i), config, width(from), width(to))?;
        Ok(Box::new(SeparableRelu(separable)))
    };
    let exit = Sequence(vec![exit(3, 1024, 1536)?, exit(4, 1536, 2048)?]);
    stages.push(("conv4".to_owned(), Box::new(exit)));
    let fc = || Linear::new(&(path / "fc"), width(2048), config.num_classes);
    Ok(Net::new(stages, Classifier::new(config.num_classes, config.dropout, fc)?))
}

/// timm's net, and the paper's of Figure 9 (no shortcuts), Figure 10 (activation between depthwise and pointwise) and
/// Figure 4 ("extreme" Inception modules).
pub(super) fn entries() -> Vec<Entry> {
    let xception = Config::xception;
    let nets = [
        ("timm/legacy_xception", xception()),
        ("paper/xception_no_residual", Config { residual: false, ..xception() }),
        ("paper/xception_relu", Config { intermediate: Activation::Relu, ..xception() }),
        ("paper/xception_elu", Config { intermediate: Activation::Elu, ..xception() }),
        ("paper/extreme_inception", Config::extreme_inception()),
    ];
    nets.map(|(name, config)| Entry::new(name.into(), "Xception", config)).into()
}
