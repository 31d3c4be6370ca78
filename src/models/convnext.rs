//! ConvNeXt (2201.03545) as in torchvision.
//!
//! Keys as torchvision's: `features.0.0`, `features.0.1`, `features.1.0.layer_scale`, `features.1.0.block.0`, …,
//! `classifier.0`, `classifier.2`.

use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    self, Conv, Conv2d, DropPath, FeedForward, Init, Layer, LayerNorm, LayerNorm2d, LayerScale, Linear,
    Logits, Mlp, Outputs, Path, Sequential, Store,
};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

const NORM_EPS: f64 = 1e-6;

/// Depthwise 7×7 convolutions and inverted bottlenecks in four stages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Height and width of the patches that the stem takes.
    pub patch_size: i64,
    /// Channels of each stage.
    pub channels: Vec<i64>,
    /// Blocks of each stage.
    pub layers: Vec<i64>,
    /// Kernel of the depthwise convolutions.
    pub kernel: i64,
    /// Hidden channels of a block per channel.
    pub expansion: i64,
    /// Initial layer scale of each branch.
    pub layer_scale: f64,
    /// Dropout before the classifier.
    pub dropout: f64,
    /// Stochastic depth of the last block; it grows linearly from 0 at the first.
    pub drop_path: f64,
}

impl Config {
    /// `torchvision.models.convnext_tiny`.
    pub fn convnext_tiny() -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            patch_size: 4,
            channels: vec![96, 192, 384, 768],
            layers: vec![3, 3, 9, 3],
            kernel: 7,
            expansion: 4,
            layer_scale: 1e-6,
            dropout: 0.0,
            drop_path: 0.1,
        }
    }

    /// `torchvision.models.convnext_small`.
    pub fn convnext_small() -> Self {
        Self { layers: vec![3, 3, 27, 3], drop_path: 0.4, ..Self::convnext_tiny() }
    }

    /// `torchvision.models.convnext_base`.
    pub fn convnext_base() -> Self {
        Self { channels: vec![128, 256, 512, 1024], drop_path: 0.5, ..Self::convnext_small() }
    }

    /// `torchvision.models.convnext_large`.
    pub fn convnext_large() -> Self {
        Self { channels: vec![192, 384, 768, 1536], ..Self::convnext_base() }
    }

    fn validate(&self) -> Result<()> {
        let Self { channels, layers, kernel, .. } = self;
        ensure!(
            !channels.is_empty() && channels.len() == layers.len(),
            "`channels` {channels:?} and `layers` {layers:?} must have one number per stage"
        );
        ensure!(layers.iter().all(|&n| n > 0), "`layers` {layers:?} must be positive");
        ensure!(kernel % 2 == 1, "`kernel` {kernel} must be odd");
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

/// A convolution whose stride equals its kernel.
fn patches(path: &Path, from: i64, to: i64, patch: i64) -> Result<Conv2d> {
    Conv2d::new(path, Conv::new(from, to, patch).patches().init(Init::TRANSFORMER).zero_bias())
}

/// Patches, then a norm: (N, in_chans, H, W) to (N, C, H/patch, W/patch).
struct Stem {
    conv: Conv2d,
    norm: LayerNorm2d,
}

impl Stem {
    fn new(path: &Path, config: &Config) -> Result<Self> {
        let channels = config.channels[0];
        Ok(Self {
            conv: patches(&(path / 0), config.in_chans, channels, config.patch_size)?,
            norm: LayerNorm2d::new(&(path / 1), channels)?.eps(NORM_EPS),
        })
    }
}

impl Layer for Stem {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.norm.forward(&self.conv.forward(x, train)?, train)
    }
}

/// Between stages: (N, from, H, W) to (N, to, H/2, W/2).
struct Downsample {
    norm: LayerNorm2d,
    conv: Conv2d,
}

impl Downsample {
    fn new(path: &Path, from: i64, to: i64) -> Result<Self> {
        Ok(Self {
            norm: LayerNorm2d::new(&(path / 0), from)?.eps(NORM_EPS),
            conv: patches(&(path / 1), from, to, 2)?,
        })
    }
}

impl Layer for Downsample {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.conv.forward(&self.norm.forward(x, train)?, train)
    }
}

/// A depthwise convolution and, pixel by pixel, a norm and two linear layers (Figure 4). Keeps the shape.
struct Block {
    layer_scale: LayerScale,
    depthwise: Conv2d,
    norm: LayerNorm,
    mlp: FeedForward,
    drop_path: DropPath,
}

impl Block {
    fn new(path: &Path, config: &Config, channels: i64, drop_path: f64) -> Result<Self> {
        let block = path / "block";
        let depthwise = Conv::new(channels, channels, config.kernel).same().groups(channels);
        let depthwise = depthwise.init(Init::TRANSFORMER).zero_bias();
        let mlp = Mlp::new(channels, config.expansion * channels);
        Ok(Self {
            layer_scale: LayerScale::torchvision(path, channels, config.layer_scale)?,
            depthwise: Conv2d::new(&(&block / 0), depthwise)?,
            norm: LayerNorm::new(&(&block / 2), channels)?.eps(NORM_EPS),
            mlp: FeedForward::new(&(&block / 3), &(&block / 5), mlp)?,
            drop_path: DropPath::new(drop_path)?,
        })
    }
}

impl Layer for Block {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.depthwise.forward(x, train)?.f_permute([0, 2, 3, 1])?;
        let y = self.mlp.forward(&self.norm.forward(&y, train)?, train)?;
        let y = self.layer_scale.forward(&y.f_permute([0, 3, 1, 2])?, train)?;
        Ok(self.drop_path.forward(&y, train)?.f_add(x)?)
    }
}

/// Global average pooling, norm, dropout and classifier.
struct Head {
    norm: LayerNorm2d,
    logits: Logits,
}

impl nn::Head for Head {
    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs> {
        let x = self.norm.forward(&x.f_adaptive_avg_pool2d([1, 1])?, train)?.f_flatten(1, -1)?;
        self.logits.of(x, train)
    }
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let mut features = Sequential::named(path, "features");
    features.push(|path| Stem::new(path, config))?;
    let mut channels = config.channels[0];
    let last_block = (config.layers.iter().sum::<i64>() - 1).max(1);
    let mut done = 0;
    for (&to, &layers) in config.channels.iter().zip(&config.layers) {
        if done > 0 {
            features.push(|path| Downsample::new(path, channels, to))?;
        }
        channels = to;
        features.push(|path| {
            let mut blocks = Sequential::new(path.clone());
            for _ in 0..layers {
                let drop_path = config.drop_path * done as f64 / last_block as f64;
                blocks.push(|path| Block::new(path, config, channels, drop_path))?;
                done += 1;
            }
            Ok(blocks)
        })?;
    }
    let classifier = path / "classifier";
    let head = Head {
        norm: LayerNorm2d::new(&(&classifier / 0), channels)?.eps(NORM_EPS),
        logits: Logits::new(config.num_classes, config.dropout, || {
            Linear::transformer(&(&classifier / 2), channels, config.num_classes, true)
        })?,
    };
    Ok(Net::new(features.into_layers(), head))
}

/// torchvision's nets.
pub(super) fn entries() -> Vec<Entry> {
    let nets = [
        ("torchvision/convnext_tiny", Config::convnext_tiny()),
        ("torchvision/convnext_small", Config::convnext_small()),
        ("torchvision/convnext_base", Config::convnext_base()),
        ("torchvision/convnext_large", Config::convnext_large()),
    ];
    nets.map(|(name, config)| Entry::new(name.into(), "ConvNeXt", config)).into()
}
