//! MaxViT (2204.01697) as in torchvision.
//!
//! Keys as torchvision's: `stem.0.0`, `blocks.0.layers.0.layers.MBconv.layers.conv_a.0`, …,
//! `blocks.0.layers.0.layers.window_attention.attn_layer.0`, …, `classifier.5`.

mod attention;
mod config;

pub use config::Config;

use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    self, Activation, AvgPool2d, BatchNorm2d, Conv, Conv2d, ConvNorm, DropPath, Excitation, Layer, LayerNorm,
    Linear, Logits, Outputs, Path, Sequence, Sequential, Skip, SqueezeExcite, Store, global_avg_pool,
};
use anyhow::Result;
use attention::{Partition, PartitionAttention};
use config::INIT;
use tch::Tensor;

impl super::Config for Config {
    fn renamed() -> &'static [(&'static str, &'static str)] {
        &[("stem", "stem_width"), ("squeeze", "se_ratio")]
    }

    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        self.validate()?;
        Ok(Box::new(network(&store.root(), self)?))
    }
}

impl Config {
    fn norm(&self, path: &Path, channels: i64) -> Result<BatchNorm2d> {
        Ok(BatchNorm2d::new(path, channels)?.eps(self.bn_eps).momentum(Some(self.bn_momentum)))
    }

    /// Convolution and norm at `path.0` and `path.1`.
    fn conv_norm(&self, path: &Path, conv: Conv) -> Result<ConvNorm> {
        let conv = ConvNorm::new(&(path / 0), &(path / 1), conv.init(INIT))?;
        Ok(conv.eps(self.bn_eps).momentum(self.bn_momentum))
    }
}

/// A convolution with bias.
fn conv2d(path: &Path, conv: Conv) -> Result<Conv2d> {
    Conv2d::new(path, conv.init(INIT).zero_bias())
}

/// MBConv with a norm before it and none after: (N, from, H, W) to (N, to, H/stride, W/stride).
struct MbConv {
    proj: Option<Sequence>,
    pre_norm: BatchNorm2d,
    conv_a: ConvNorm,
    conv_b: ConvNorm,
    squeeze_excitation: SqueezeExcite,
    conv_c: ConvNorm,
    skip: Skip,
}

impl MbConv {
    fn new(path: &Path, config: &Config, [from, to]: [i64; 2], stride: i64, skip: Skip) -> Result<Self> {
        let (inner, squeezed) = (to as f64 * config.expansion, to as f64 * config.se_ratio);
        let (inner, squeezed) = (inner as i64, squeezed as i64);
        let proj = projection(&(path / "proj"), [from, to], stride)?;
        let layers = path / "layers";
        let depthwise = Conv::new(inner, inner, 3).same().stride(stride).groups(inner);
        let (activation, gate, names) = (Activation::Silu, Activation::Sigmoid, ["fc1", "fc2"]);
        let excitation = Excitation { squeezed, activation, gate, names };
        Ok(Self {
            proj,
            pre_norm: config.norm(&(&layers / "pre_norm"), from)?,
            conv_a: config.conv_norm(&(&layers / "conv_a"), Conv::new(from, inner, 1))?,
            conv_b: config.conv_norm(&(&layers / "conv_b"), depthwise)?,
            squeeze_excitation: SqueezeExcite::gated(
                &(&layers / "squeeze_excitation"),
                inner,
                excitation,
                INIT,
            )?,
            conv_c: ConvNorm::bare(&(&layers / "conv_c"), Conv::new(inner, to, 1).init(INIT).zero_bias())?,
            skip,
        })
    }
}

/// The shortcut of a block that changes the shape: average pooling, then a 1×1 convolution.
fn projection(path: &Path, [from, to]: [i64; 2], stride: i64) -> Result<Option<Sequence>> {
    let conv =
        |index| -> Result<Box<dyn Layer>> { Ok(Box::new(conv2d(&(path / index), Conv::new(from, to, 1))?)) };
    Ok(match stride {
        1 if from == to => None,
        1 => Some(Sequence(vec![conv(0)?])),
        _ => {
            let pool = AvgPool2d { stride, padding: 1, ..AvgPool2d::new(3) };
            Some(Sequence(vec![Box::new(pool), conv(1)?]))
        }
    })
}

impl Layer for MbConv {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.pre_norm.forward(x, train)?;
        let y = self.conv_a.forward(&y, Activation::Gelu, train)?;
        let y = self.conv_b.forward(&y, Activation::Gelu, train)?;
        let y = self.squeeze_excitation.forward(&y, train)?;
        let shortcut = match &self.proj {
            Some(proj) => proj.forward(x, train)?,
            None => x.shallow_clone(),
        };
        self.skip.project(&shortcut, &y, &self.conv_c, train)
    }
}

/// MBConv, window attention, grid attention: (N, from, H, W) to (N, to, H/stride, W/stride).
struct MaxVitLayer {
    mb_conv: MbConv,
    window_attention: PartitionAttention,
    grid_attention: PartitionAttention,
}

impl MaxVitLayer {
    fn new(path: &Path, config: &Config, [from, to]: [i64; 2], stride: i64, drop_path: f64) -> Result<Self> {
        let (path, skip, drop_path) = (path / "layers", Skip::new(drop_path)?, DropPath::new(drop_path)?);
        let attention = |name: &str, partition| {
            PartitionAttention::new(&(&path / name), config, partition, to, drop_path)
        };
        Ok(Self {
            mb_conv: MbConv::new(&(&path / "MBconv"), config, [from, to], stride, skip)?,
            window_attention: attention("window_attention", Partition::Window)?,
            grid_attention: attention("grid_attention", Partition::Grid)?,
        })
    }
}

impl Layer for MaxVitLayer {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.mb_conv.forward(x, train)?;
        let x = self.window_attention.forward(&x, train)?;
        self.grid_attention.forward(&x, train)
    }
}

/// Two convolutions: (N, in_chans, H, W) to (N, stem, H/2, W/2).
struct Stem {
    conv1: ConvNorm,
    conv2: Conv2d,
}

impl Stem {
    fn new(path: &Path, config: &Config) -> Result<Self> {
        let conv1 = Conv::new(config.in_chans, config.stem_width, 3).same().stride(2);
        Ok(Self {
            conv1: config.conv_norm(&(path / 0), conv1)?,
            conv2: conv2d(&(path / 1 / 0), Conv::new(config.stem_width, config.stem_width, 3).same())?,
        })
    }
}

impl Layer for Stem {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.conv2.forward(&self.conv1.forward(x, Activation::Gelu, train)?, train)
    }
}

/// Global average pooling, norm, a hidden layer with tanh, classifier.
struct Head {
    norm: LayerNorm,
    hidden: Linear,
    logits: Logits,
}

impl nn::Head for Head {
    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs> {
        let x = self.norm.forward(&global_avg_pool(x)?, train)?;
        self.logits.of(Activation::Tanh.forward(self.hidden.forward(&x, train)?)?, train)
    }
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let stem = Stem::new(&(path / "stem"), config)?;
    let mut stages: Vec<(String, Box<dyn Layer>)> = vec![("stem".into(), Box::new(stem))];
    let mut blocks = Sequential::named(path, "blocks");
    let last_layer = (config.layers.iter().sum::<i64>() - 1).max(1);
    let (mut channels, mut done) = (config.stem_width, 0);
    for (&to, &count) in config.channels.iter().zip(&config.layers) {
        blocks.push(|path| {
            let mut layers = Sequential::new(path / "layers");
            for i in 0..count {
                let stride = if i == 0 { 2 } else { 1 };
                let drop_path = config.drop_path * done as f64 / last_layer as f64;
                layers.push(|path| MaxVitLayer::new(path, config, [channels, to], stride, drop_path))?;
                (channels, done) = (to, done + 1);
            }
            Ok(layers)
        })?;
    }
    let classifier = path / "classifier";
    let head = Head {
        norm: LayerNorm::new(&(&classifier / 2), channels)?,
        hidden: Linear::init(&(&classifier / 3), channels, channels, INIT)?,
        logits: Logits::new(config.num_classes, 0.0, || {
            Linear::with(&(&classifier / 5), channels, config.num_classes, INIT, None)
        })?,
    };
    stages.extend(blocks.into_layers());
    Ok(Net::new(stages, head))
}

/// torchvision's net.
pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::new("torchvision/maxvit_t".into(), "MaxViT", Config::maxvit_t())]
}
