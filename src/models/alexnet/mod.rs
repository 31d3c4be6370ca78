//! AlexNet (NIPS 2012), torchvision's one-tower variant (1404.5997, section 5), and ZFNet (1311.2901).
//!
//! Keys number the layers as torchvision does, convolution, ReLU, normalisation and pooling each counting as one:
//! `features.0`, `features.3`, …, `classifier.1`, `classifier.4`, `classifier.6`. torchvision's weights fit
//! `torchvision/alexnet`; no library has weights for the papers' nets.

mod config;
mod towers;

pub(super) use config::RESPONSE_NORM;
pub use config::{Config, ConvLayer, ResponseNorm, Start};

use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    self, Activation, Conv2d, ConvAct, Dropout, Layer, Linear, Logits, Outputs, Path, Sequence, Store,
    adaptive_avg_pool,
};
use anyhow::{Context, Result, bail, ensure};
use config::FIELD;
use tch::Tensor;

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        ensure!(!self.convs.is_empty(), "`convs` must not be empty");
        ensure!(self.pool_kernel > 0, "`pool_kernel` {} must be positive", self.pool_kernel);
        match self.towers {
            1 => Ok(Box::new(network(&store.root(), self)?)),
            2 => Ok(Box::new(towers::network(&store.root(), self)?)),
            towers => bail!("`towers` {towers} must be 1 or 2"),
        }
    }
}

/// A convolution with its activation and what follows it.
fn stage(path: &Path, config: &Config, in_channels: i64, layer: &ConvLayer) -> Result<Sequence> {
    let conv = Conv2d::new(path, config.conv(in_channels, layer))?;
    let mut layers: Vec<Box<dyn Layer>> = vec![Box::new(ConvAct(conv, config.activation))];
    if layer.norm == ResponseNorm::BeforePool {
        layers.push(Box::new(RESPONSE_NORM));
    }
    if let Some(pool) = layer.max_pool(config.pool_kernel) {
        layers.push(Box::new(pool));
    }
    if layer.norm == ResponseNorm::AfterPool {
        layers.push(Box::new(RESPONSE_NORM));
    }
    Ok(Sequence(layers))
}

/// Average pooling to 6×6, hidden layers and the logits.
struct Head {
    hidden: Vec<Linear>,
    dropout: Dropout,
    activation: Activation,
    logits: Logits,
}

impl Head {
    fn new(path: &Path, config: &Config, channels: i64) -> Result<Self> {
        let path = path / "classifier";
        let mut features = channels * FIELD * FIELD;
        let mut hidden = Vec::new();
        for (i, &width) in config.hidden.iter().enumerate() {
            hidden.push(config.hidden_layer(&(&path / (3 * i + 1)), features, width)?);
            features = width;
        }
        let logits = config.logits(&(&path / (3 * hidden.len())), features)?;
        let dropout = Dropout::new(config.dropout)?;
        Ok(Self { hidden, dropout, activation: config.activation, logits })
    }
}

impl nn::Head for Head {
    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs> {
        let mut x = adaptive_avg_pool(x, [FIELD; 2])?.f_flatten(1, -1)?;
        for linear in &self.hidden {
            x = linear.forward_act(&self.dropout.forward(&x, train)?, self.activation, train)?;
        }
        self.logits.of(x, train)
    }
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let (mut channels, mut index) = (config.in_chans, 0);
    let mut stages: Vec<(String, Box<dyn Layer>)> = Vec::new();
    for (layer, number) in config.convs.iter().zip(1..) {
        let name = format!("features.{index}");
        let stage = stage(&(path / &name), config, channels, layer);
        let stage = stage.with_context(|| format!("convolution {number} of `convs`"))?;
        stages.push((name, Box::new(stage)));
        index += layer.keys();
        channels = layer.channels;
    }
    Ok(Net::new(stages, Head::new(path, config, channels)?))
}

/// torchvision's net, the papers' nets, and the variants of ZFNet's Table 3.
pub(super) fn entries() -> Vec<Entry> {
    let zfnet = || Config::zfnet([384, 384, 256]);
    let wide = || Config::zfnet([512, 1024, 512]);
    let nets = [
        ("torchvision/alexnet", Config::torchvision()),
        ("paper/alexnet", Config::alexnet()),
        ("paper/alexnet_1gpu", Config::one_gpu()),
        ("paper/alexnet_1tower", Config::replica()),
        ("paper/alexnet_1tower_no_conv34", Config::replica().without_middle()),
        ("paper/alexnet_1tower_no_fc7", Config::replica().hidden(&[4096])),
        ("paper/alexnet_1tower_no_fc67", Config::replica().hidden(&[])),
        ("paper/alexnet_1tower_no_conv34_fc67", Config::replica().without_middle().hidden(&[])),
        ("paper/alexnet_1tower_fc2048", Config::replica().hidden(&[2048, 2048])),
        ("paper/alexnet_1tower_fc8192", Config::replica().hidden(&[8192, 8192])),
        ("paper/zfnet", zfnet()),
        ("paper/zfnet_fc2048", zfnet().hidden(&[2048, 2048])),
        ("paper/zfnet_fc8192", zfnet().hidden(&[8192, 8192])),
        ("paper/zfnet_512_1024_512", wide()),
        ("paper/zfnet_512_1024_512_fc8192", wide().hidden(&[8192, 8192])),
    ];
    let family = |name: &str| if name.contains("zfnet") { "ZFNet" } else { "AlexNet" };
    nets.map(|(name, config)| Entry::new(name.to_owned(), family(name), config)).into()
}
