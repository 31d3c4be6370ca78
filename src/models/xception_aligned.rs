//! Aligned Xception (1802.02611, section 3.2) and its pre-activation variant as in timm.
//!
//! Keys as timm's: `stem.0.conv`, `stem.0.bn`, …, `blocks.0.stack.conv1.conv_dw`, …, `blocks.0.shortcut.conv`, …,
//! `head.fc`; with pre-activation `blocks.0.norm`, `blocks.0.stack.conv2.norm`, `blocks.0.shortcut`.

use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    Activation, Classifier, Conv, Conv2d, ConvNorm, ConvNormAct, DropPath, Layer, Linear, NormAct, Path,
    Sequence, Store,
};
use anyhow::{Result, ensure};
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

/// A depthwise 3×3 and a pointwise 1×1 convolution, each with norm and activation.
struct Separable {
    depthwise: ConvNorm,
    pointwise: ConvNorm,
    activation: Activation,
}

impl Separable {
    fn new(
        path: &Path,
        config: &Config,
        activation: Activation,
        in_channels: i64,
        out_channels: i64,
        stride: i64,
    ) -> Result<Self> {
        let depthwise = depthwise(in_channels, stride);
        let depthwise = ConvNorm::new(&(path / "conv_dw"), &(path / "bn_dw"), depthwise)?;
        let pointwise = conv(in_channels, out_channels, 1);
        let pointwise = ConvNorm::new(&(path / "conv_pw"), &(path / "bn_pw"), pointwise)?;
        let eps = config.norm_eps;
        Ok(Self { depthwise: depthwise.eps(eps), pointwise: pointwise.eps(eps), activation })
    }
}

impl Layer for Separable {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.depthwise.forward(x, self.activation, train)?;
        self.pointwise.forward(&y, self.activation, train)
    }
}

/// Three separable convolutions with the shortcut around them. ReLU comes before each, or, in the exit flow, which has
/// no shortcut, inside them.
struct Block {
    stack: Vec<Separable>,
    relu_before: bool,
    /// A projection where the shape changes, and the identity where it does not.
    shortcut: Option<ConvNorm>,
    skip: bool,
    drop_path: DropPath,
}

impl Block {
    fn new(path: &Path, config: &Config, in_channels: i64, shape: &Shape, drop_path: f64) -> Result<Self> {
        let [.., out] = shape.channels;
        let changes = shape.skip && (in_channels != out || shape.stride != 1);
        let shortcut = path / "shortcut";
        let projection = conv(in_channels, out, 1).stride(shape.stride);
        let shortcut = if changes {
            Some(ConvNorm::new(&(&shortcut / "conv"), &(&shortcut / "bn"), projection)?)
        } else {
            None
        };
        let activation = if shape.skip { Activation::Identity } else { Activation::Relu };
        let mut stack = Vec::new();
        let mut channels = in_channels;
        for (i, &to) in shape.channels.iter().enumerate() {
            let path = path / "stack" / format!("conv{}", i + 1);
            let stride = if i == 2 { shape.stride } else { 1 };
            stack.push(Separable::new(&path, config, activation, channels, to, stride)?);
            channels = to;
        }
        Ok(Self {
            stack,
            relu_before: shape.skip,
            shortcut: shortcut.map(|conv| conv.eps(config.norm_eps)),
            skip: shape.skip,
            drop_path: DropPath::new(drop_path)?,
        })
    }
}

impl Layer for Block {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = x.shallow_clone();
        for separable in &self.stack {
            if self.relu_before {
                y = Activation::Relu.apply(&y)?;
            }
            y = separable.forward(&y, train)?;
        }
        if !self.skip {
            return Ok(y);
        }
        let shortcut = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x, Activation::Identity, train)?,
            None => x.shallow_clone(),
        };
        Ok(self.drop_path.forward(&y, train)?.f_add(&shortcut)?)
    }
}

/// Norm and ReLU, except before a block's first, then a depthwise 3×3 and a pointwise 1×1 convolution.
struct PreSeparable {
    norm: Option<NormAct>,
    depthwise: Conv2d,
    pointwise: Conv2d,
}

impl Layer for PreSeparable {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = match &self.norm {
            Some(norm) => norm.forward(x, train)?,
            None => x.shallow_clone(),
        };
        self.pointwise.forward(&self.depthwise.forward(&y, train)?, train)
    }
}

/// Norm and ReLU, then three separable convolutions with the shortcut around them.
struct PreBlock {
    norm: NormAct,
    stack: Vec<PreSeparable>,
    shortcut: Option<Conv2d>,
    skip: bool,
    drop_path: DropPath,
}

impl PreBlock {
    fn new(path: &Path, config: &Config, in_channels: i64, shape: &Shape, drop_path: f64) -> Result<Self> {
        let norm = |path: &Path, channels: i64| -> Result<NormAct> {
            Ok(NormAct::new(&(path / "norm"), channels, Activation::Relu)?.eps(config.norm_eps))
        };
        let [.., out] = shape.channels;
        let changes = shape.skip && (in_channels != out || shape.stride != 1);
        let projection = conv(in_channels, out, 1).stride(shape.stride);
        let shortcut = if changes { Some(Conv2d::new(&(path / "shortcut"), projection)?) } else { None };
        let first = norm(path, in_channels)?;
        let mut stack = Vec::new();
        let mut channels = in_channels;
        for (i, &to) in shape.channels.iter().enumerate() {
            let path = path / "stack" / format!("conv{}", i + 1);
            let stride = if i == 2 { shape.stride } else { 1 };
            stack.push(PreSeparable {
                norm: if i > 0 { Some(norm(&path, channels)?) } else { None },
                depthwise: Conv2d::new(&(&path / "conv_dw"), depthwise(channels, stride))?,
                pointwise: Conv2d::new(&(&path / "conv_pw"), conv(channels, to, 1))?,
            });
            channels = to;
        }
        Ok(Self { norm: first, stack, shortcut, skip: shape.skip, drop_path: DropPath::new(drop_path)? })
    }
}

impl Layer for PreBlock {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let normed = self.norm.forward(x, train)?;
        let mut y = normed.shallow_clone();
        for separable in &self.stack {
            y = separable.forward(&y, train)?;
        }
        if !self.skip {
            return Ok(y);
        }
        let shortcut = match &self.shortcut {
            Some(shortcut) => shortcut.forward(&normed, train)?,
            None => normed,
        };
        Ok(self.drop_path.forward(&y, train)?.f_add(&shortcut)?)
    }
}

/// Pooling and classifier, after the last ReLU of a pre-activation net.
struct Head {
    relu: bool,
    classifier: Classifier,
}

impl Layer for Head {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if self.relu {
            self.classifier.forward(&Activation::Relu.apply(x)?, train)
        } else {
            self.classifier.forward(x, train)
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
        let block: Box<dyn Layer> = if config.pre_activation {
            Box::new(PreBlock::new(&path, config, channels, shape, drop_path)?)
        } else {
            Box::new(Block::new(&path, config, channels, shape, drop_path)?)
        };
        stages.push((format!("blocks.{i}"), block));
        channels = shape.channels[2];
    }
    let fc = Linear::new(&(path / "head" / "fc"), channels, config.num_classes)?;
    let classifier = Classifier::new(fc, config.dropout)?;
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
