//! Aligned Xception (1802.02611, section 3.2) and its pre-activation variant as in timm.
//!
//! Keys as timm's: `stem.0.conv`, `stem.0.bn`, …, `blocks.0.stack.conv1.conv_dw`, …, `blocks.0.shortcut.conv`, …,
//! `head.fc`; with pre-activation `blocks.0.norm`, `blocks.0.stack.conv2.norm`, `blocks.0.shortcut`.

use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    self, Activation, Classifier, Conv, Conv2d, ConvNorm, ConvNormAct, Layer, Linear, NormAct, Outputs, Path,
    Sequence, Skip, Store,
};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Blocks of three separable convolutions, the last of which has the stride.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Channels and stride of the blocks of the entry flow.
    pub entry: Vec<[i64; 2]>,
    /// Blocks of the middle flow.
    pub middle: i64,
    /// Norm and ReLU before the convolutions instead of after them.
    pub pre_activation: bool,
    pub norm_eps: f64,
    /// Dropout before the classifier.
    pub dropout: f64,
    /// Stochastic depth of the last block; it grows linearly from 0 at the first.
    pub drop_path: f64,
}

impl Config {
    pub fn xception41() -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 299,
            entry: vec![[128, 2], [256, 2], [728, 2]],
            middle: 8,
            pre_activation: false,
            norm_eps: 1e-3,
            dropout: 0.0,
            drop_path: 0.0,
        }
    }

    pub fn xception65() -> Self {
        Self { middle: 16, ..Self::xception41() }
    }

    pub fn xception71() -> Self {
        let entry = vec![[128, 2], [256, 1], [256, 2], [728, 1], [728, 2]];
        Self { entry, ..Self::xception65() }
    }

    pub fn xception41p() -> Self {
        Self { pre_activation: true, norm_eps: 1e-5, ..Self::xception41() }
    }

    pub fn xception65p() -> Self {
        Self { pre_activation: true, ..Self::xception65() }
    }

    /// The blocks in order.
    fn shapes(&self) -> Vec<Shape> {
        let mut shapes: Vec<Shape> = Vec::new();
        for &[channels, stride] in &self.entry {
            shapes.push(Shape { channels: [channels; 3], stride, skip: true });
        }
        for _ in 0..self.middle {
            shapes.push(Shape { channels: [728; 3], stride: 1, skip: true });
        }
        shapes.push(Shape { channels: [728, 1024, 1024], stride: 2, skip: true });
        shapes.push(Shape { channels: [1536, 1536, 2048], stride: 1, skip: false });
        shapes
    }
}

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        ensure!(self.middle >= 0, "`middle` {} must not be negative", self.middle);
        Ok(Box::new(network(&store.root(), self)?))
    }
}

/// Channels after each of a block's convolutions, the stride of the last, and whether there is a shortcut.
struct Shape {
    channels: [i64; 3],
    stride: i64,
    skip: bool,
}

fn conv(in_channels: i64, out_channels: i64, kernel: i64) -> Conv {
    Conv::new(in_channels, out_channels, kernel).same().no_bias()
}

fn depthwise(channels: i64, stride: i64) -> Conv {
    conv(channels, channels, 3).groups(channels).stride(stride)
}

/// A depthwise 3×3 and a pointwise 1×1 convolution, each with its norm where it has one.
struct Separable {
    depthwise: ConvNorm,
    pointwise: ConvNorm,
}

/// Three separable convolutions with the shortcut around them. ReLU comes before each, or, in the exit flow, which has
/// no shortcut, inside and after them; with pre-activation, norm and ReLU come before each.
struct Block {
    /// Pre-activation: before the branch and the shortcut.
    norm: Option<NormAct>,
    /// Each with ReLU after it.
    stack: Vec<Separable>,
    last: Separable,
    /// After the depthwise convolutions, and after the last where nothing is added.
    activation: Activation,
    /// A projection where the shape changes, and the identity where it does not.
    shortcut: Option<ConvNorm>,
    skip: Option<Skip>,
}

impl Block {
    fn new(path: &Path, config: &Config, in_channels: i64, shape: &Shape, drop_path: f64) -> Result<Self> {
        let [.., out] = shape.channels;
        let conv_norm = |conv_path: &Path, norm_path: &Path, conv: Conv| {
            ConvNorm::new(conv_path, norm_path, conv).map(|conv| conv.eps(config.norm_eps))
        };
        let changes = shape.skip && (in_channels != out || shape.stride != 1);
        let (place, projection) = (path / "shortcut", conv(in_channels, out, 1).stride(shape.stride));
        let shortcut = match (changes, config.pre_activation) {
            (false, _) => None,
            (true, true) => Some(ConvNorm::bare(&place, projection)?),
            (true, false) => Some(conv_norm(&(&place / "conv"), &(&place / "bn"), projection)?),
        };
        let norm = if config.pre_activation {
            Some(NormAct::new(&(path / "norm"), in_channels, Activation::Relu)?.eps(config.norm_eps))
        } else {
            None
        };
        let mut stack = Vec::new();
        let mut channels = in_channels;
        for (i, &to) in shape.channels.iter().enumerate() {
            let layer = |number: usize| path / "stack" / format!("conv{number}");
            let (here, next) = (layer(i + 1), layer(i + 2));
            let (depthwise_path, pointwise_path) = (&here / "conv_dw", &here / "conv_pw");
            let depthwise = depthwise(channels, if i == 2 { shape.stride } else { 1 });
            let pointwise = conv(channels, to, 1);
            stack.push(match (config.pre_activation, i) {
                (false, _) => Separable {
                    depthwise: conv_norm(&depthwise_path, &(&here / "bn_dw"), depthwise)?,
                    pointwise: conv_norm(&pointwise_path, &(&here / "bn_pw"), pointwise)?,
                },
                (true, 2) => Separable {
                    depthwise: ConvNorm::bare(&depthwise_path, depthwise)?,
                    pointwise: ConvNorm::bare(&pointwise_path, pointwise)?,
                },
                (true, _) => Separable {
                    depthwise: ConvNorm::bare(&depthwise_path, depthwise)?,
                    pointwise: conv_norm(&pointwise_path, &(&next / "norm"), pointwise)?,
                },
            });
            channels = to;
        }
        let last = stack.pop().context("a block without convolutions")?;
        let relu_inside = !config.pre_activation && !shape.skip;
        let activation = if relu_inside { Activation::Relu } else { Activation::Identity };
        let skip = shape.skip.then(|| Skip::new(drop_path)).transpose()?;
        Ok(Self { norm, stack, last, activation, shortcut, skip })
    }
}

impl Layer for Block {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut shortcut = x.shallow_clone();
        let mut y = match (&self.norm, &self.skip) {
            (Some(norm), _) => {
                shortcut = norm.forward(x, train)?;
                shortcut.shallow_clone()
            }
            (None, Some(_)) => Activation::Relu.apply(x)?,
            (None, None) => x.shallow_clone(),
        };
        for Separable { depthwise, pointwise } in &self.stack {
            y = depthwise.forward(&y, self.activation, train)?;
            y = pointwise.forward(&y, Activation::Relu, train)?;
        }
        let Separable { depthwise, pointwise } = &self.last;
        y = depthwise.forward(&y, self.activation, train)?;
        let Some(skip) = &self.skip else { return pointwise.forward(&y, self.activation, train) };
        if let Some(projection) = &self.shortcut {
            shortcut = projection.forward(&shortcut, Activation::Identity, train)?;
        }
        skip.project(&shortcut, &y, pointwise, train)
    }
}

/// Pooling and classifier, after the last ReLU of a pre-activation net.
struct Head {
    relu: bool,
    classifier: Classifier,
}

impl nn::Head for Head {
    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs> {
        if self.relu {
            self.classifier.outputs(&Activation::Relu.apply(x)?, train)
        } else {
            self.classifier.outputs(x, train)
        }
    }
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let relu = |path: &Path, conv: Conv| -> Result<Box<dyn Layer>> {
        let conv = ConvNorm::new(&(path / "conv"), &(path / "bn"), conv)?;
        Ok(Box::new(ConvNormAct::relu(conv.eps(config.norm_eps))))
    };
    let stem = path / "stem";
    let second = conv(32, 64, 3);
    let stem = Sequence(vec![
        relu(&(&stem / 0), conv(config.in_chans, 32, 3).stride(2))?,
        if config.pre_activation {
            Box::new(Conv2d::new(&(&stem / 1), second)?)
        } else {
            relu(&(&stem / 1), second)?
        },
    ]);
    let mut stages: Vec<(String, Box<dyn Layer>)> = vec![("stem".to_owned(), Box::new(stem))];
    let shapes = config.shapes();
    let last = (shapes.len() - 1) as f64;
    let mut channels = 64;
    for (i, shape) in shapes.iter().enumerate() {
        let path = path / "blocks" / i;
        let drop_path = config.drop_path * i as f64 / last;
        let block = Block::new(&path, config, channels, shape, drop_path)?;
        stages.push((format!("blocks.{i}"), Box::new(block)));
        channels = shape.channels[2];
    }
    let fc = || Linear::new(&(path / "head" / "fc"), channels, config.num_classes);
    let classifier = Classifier::new(config.num_classes, config.dropout, fc)?;
    Ok(Net::new(stages, Head { relu: config.pre_activation, classifier }))
}

/// timm's nets.
pub(super) fn entries() -> Vec<Entry> {
    let nets = [
        ("xception41", Config::xception41()),
        ("xception65", Config::xception65()),
        ("xception71", Config::xception71()),
        ("xception41p", Config::xception41p()),
        ("xception65p", Config::xception65p()),
    ];
    nets.map(|(name, config)| Entry::new(format!("timm/{name}"), "Xception", config)).into()
}
