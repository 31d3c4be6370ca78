//! AlexNet (NIPS 2012), torchvision's one-tower variant (1404.5997, section 5), and ZFNet (1311.2901).
//!
//! Keys number the layers as torchvision does, convolution, ReLU, normalisation and pooling each counting as one:
//! `features.0`, `features.3`, …, `classifier.1`, `classifier.4`, `classifier.6`. torchvision's weights fit
//! `torchvision/alexnet`; no library has weights for the papers' nets, which use PyTorch's default initialisation.

mod towers;

use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    Activation, Conv, Conv2d, ConvRelu, Dropout, Layer, Linear, LocalResponseNorm, MaxPool2d, Path, Sequence,
    Store, adaptive_avg_pool,
};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Where a layer applies local response norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseNorm {
    None,
    /// After ReLU (AlexNet).
    BeforePool,
    /// After pooling (ZFNet).
    AfterPool,
}

/// A convolution and what follows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvLayer {
    pub channels: i64,
    pub kernel: i64,
    pub stride: i64,
    pub padding: i64,
    /// 2 where each of AlexNet's two halves sees only its own half of the channels.
    pub groups: i64,
    pub norm: ResponseNorm,
    /// Max pooling with stride 2.
    pub pool: bool,
    pub pool_padding: i64,
}

impl ConvLayer {
    /// Stride 1, padding that keeps the size, one group, only ReLU after it.
    fn same(channels: i64, kernel: i64) -> Self {
        Self {
            channels,
            kernel,
            stride: 1,
            padding: kernel / 2,
            groups: 1,
            norm: ResponseNorm::None,
            pool: false,
            pool_padding: 0,
        }
    }

    fn stride(self, stride: i64, padding: i64) -> Self {
        Self { stride, padding, ..self }
    }

    fn groups(self, groups: i64) -> Self {
        Self { groups, ..self }
    }

    fn norm(self, norm: ResponseNorm) -> Self {
        Self { norm, ..self }
    }

    fn pool(self, pool_padding: i64) -> Self {
        Self { pool: true, pool_padding, ..self }
    }
}

/// Convolutions, some with pooling, and fully connected layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    pub convs: Vec<ConvLayer>,
    /// Size of the max pooling windows: those of 3 overlap, those of 2 do not.
    pub pool_kernel: i64,
    /// Features of the hidden layers of the classifier, which sees 6×6 pixels.
    pub hidden: Vec<i64>,
    /// Dropout before each of them.
    pub dropout: f64,
    /// 2 places one half of every layer's channels on the model's device and the other on the next device, as the paper
    /// does on two GPUs; the net and its output are the same. Keys then begin with `towers.0` and `towers.1`.
    pub towers: i64,
}

impl Config {
    fn of(convs: Vec<ConvLayer>) -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            convs,
            pool_kernel: 3,
            hidden: vec![4096, 4096],
            dropout: 0.5,
            towers: 1,
        }
    }

    /// `torchvision.models.alexnet`.
    pub fn torchvision() -> Self {
        Self::of(vec![
            ConvLayer::same(64, 11).stride(4, 2).pool(0),
            ConvLayer::same(192, 5).pool(0),
            ConvLayer::same(384, 3),
            ConvLayer::same(256, 3),
            ConvLayer::same(256, 3).pool(0),
        ])
    }

    /// As published, with `groups` groups: 2 in the paper, 1 in ZFNet's replica of it.
    pub fn alexnet(groups: i64) -> Self {
        let norm = ResponseNorm::BeforePool;
        Self::of(vec![
            ConvLayer::same(96, 11).stride(4, 2).norm(norm).pool(0),
            ConvLayer::same(256, 5).groups(groups).norm(norm).pool(0),
            ConvLayer::same(384, 3),
            ConvLayer::same(384, 3).groups(groups),
            ConvLayer::same(256, 3).groups(groups).pool(0),
        ])
    }

    /// ZFNet (Figure 3), with the channels of its last three convolutions: 384, 384, 256, or 512, 1024, 512.
    pub fn zfnet(last: [i64; 3]) -> Self {
        let norm = ResponseNorm::AfterPool;
        let [conv3, conv4, conv5] = last;
        Self::of(vec![
            ConvLayer::same(96, 7).stride(2, 1).norm(norm).pool(1),
            ConvLayer::same(256, 5).stride(2, 0).norm(norm).pool(1),
            ConvLayer::same(conv3, 3),
            ConvLayer::same(conv4, 3),
            ConvLayer::same(conv5, 3).pool(0),
        ])
    }

    /// With other hidden layers.
    pub fn hidden(self, hidden: &[i64]) -> Self {
        Self { hidden: hidden.to_vec(), ..self }
    }

    /// Without the third and the fourth convolution.
    fn without_middle(mut self) -> Self {
        self.convs.drain(2..4);
        self
    }
}

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

/// The paper multiplies the sum over 5 channels by 1e-4; PyTorch's norm takes the mean.
pub(super) const RESPONSE_NORM: LocalResponseNorm =
    LocalResponseNorm { size: 5, alpha: 5e-4, beta: 0.75, k: 2.0 };

impl ConvLayer {
    fn conv(&self, in_channels: i64) -> Conv {
        let conv = Conv::new(in_channels, self.channels, self.kernel);
        conv.stride(self.stride).padding(self.padding).groups(self.groups)
    }

    fn max_pool(&self, kernel: i64) -> Option<MaxPool2d> {
        self.pool.then_some(MaxPool2d { stride: 2, padding: self.pool_padding, ..MaxPool2d::new(kernel) })
    }

    /// How many key numbers the layer and what follows it take up.
    fn keys(&self) -> i64 {
        2 + i64::from(self.norm != ResponseNorm::None) + i64::from(self.pool)
    }
}

/// A convolution with ReLU and what follows it.
fn stage(path: &Path, in_channels: i64, layer: &ConvLayer, pool_kernel: i64) -> Result<Sequence> {
    let mut layers: Vec<Box<dyn Layer>> =
        vec![Box::new(ConvRelu(Conv2d::new(path, layer.conv(in_channels))?))];
    if layer.norm == ResponseNorm::BeforePool {
        layers.push(Box::new(RESPONSE_NORM));
    }
    if let Some(pool) = layer.max_pool(pool_kernel) {
        layers.push(Box::new(pool));
    }
    if layer.norm == ResponseNorm::AfterPool {
        layers.push(Box::new(RESPONSE_NORM));
    }
    Ok(Sequence(layers))
}

/// Height and width of the feature map that the first hidden layer sees.
const FIELD: i64 = 6;

/// Average pooling to 6×6, hidden layers and the logits.
struct Head {
    hidden: Vec<Linear>,
    dropout: Dropout,
    last: Linear,
}

impl Head {
    fn new(path: &Path, config: &Config, channels: i64) -> Result<Self> {
        let path = path / "classifier";
        let mut features = channels * FIELD * FIELD;
        let mut hidden = Vec::new();
        for (i, &width) in config.hidden.iter().enumerate() {
            hidden.push(Linear::new(&(&path / (3 * i + 1)), features, width)?);
            features = width;
        }
        let last = Linear::new(&(&path / (3 * hidden.len())), features, config.num_classes)?;
        Ok(Self { hidden, dropout: Dropout::new(config.dropout)?, last })
    }
}

impl Layer for Head {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut x = adaptive_avg_pool(x, [FIELD; 2])?.f_flatten(1, -1)?;
        for linear in &self.hidden {
            x = linear.forward_act(&self.dropout.forward(&x, train)?, Activation::Relu, train)?;
        }
        self.last.forward(&x, train)
    }
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let (mut channels, mut index) = (config.in_chans, 0);
    let mut stages: Vec<(String, Box<dyn Layer>)> = Vec::new();
    for (layer, number) in config.convs.iter().zip(1..) {
        let name = format!("features.{index}");
        let stage = stage(&(path / &name), channels, layer, config.pool_kernel);
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
        ("paper/alexnet", Config::alexnet(2)),
        ("paper/alexnet_1tower", Config::alexnet(1)),
        ("paper/alexnet_1tower_no_conv34", Config::alexnet(1).without_middle()),
        ("paper/alexnet_1tower_no_fc7", Config::alexnet(1).hidden(&[4096])),
        ("paper/alexnet_1tower_no_fc67", Config::alexnet(1).hidden(&[])),
        ("paper/alexnet_1tower_no_conv34_fc67", Config::alexnet(1).without_middle().hidden(&[])),
        ("paper/alexnet_1tower_fc2048", Config::alexnet(1).hidden(&[2048, 2048])),
        ("paper/alexnet_1tower_fc8192", Config::alexnet(1).hidden(&[8192, 8192])),
        ("paper/zfnet", zfnet()),
        ("paper/zfnet_fc2048", zfnet().hidden(&[2048, 2048])),
        ("paper/zfnet_fc8192", zfnet().hidden(&[8192, 8192])),
        ("paper/zfnet_512_1024_512", wide()),
        ("paper/zfnet_512_1024_512_fc8192", wide().hidden(&[8192, 8192])),
    ];
    let family = |name: &str| if name.contains("zfnet") { "ZFNet" } else { "AlexNet" };
    nets.map(|(name, config)| Entry::new(name.to_owned(), family(name), config)).into()
}
