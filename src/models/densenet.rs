//! DenseNet-BC for ImageNet (1608.06993, Table 1), as torchvision and timm have it.
//!
//! Keys of both: `features.conv0`, `features.norm0`, `features.denseblock1.denselayer1.norm1`, …,
//! `features.transition1.norm`, …, `features.norm5`, `classifier`. torchvision's oldest files spell `norm.1` for
//! `norm1`: that is a rule of naming, not of this file.

use super::{Entry, Model};
use crate::nn::{
    Activation, AvgPool2d, Classifier, Conv, Conv2d, ConvNorm, ConvNormAct, Dropout, Init, Layer, Linear,
    MaxPool2d, NormAct, Path, Store,
};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Dense blocks with transitions between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Growth rate k: channels that each layer adds.
    pub growth: i64,
    /// Layers of each dense block.
    pub blocks: Vec<i64>,
    /// Channels of the first convolution.
    pub stem: i64,
    /// Channels of a layer's 1×1 convolution, in growth rates.
    pub bottleneck: i64,
    /// Compression θ: the share of the channels that a transition keeps.
    pub compression: f64,
    /// Dropout after each layer.
    pub layer_dropout: f64,
    /// Dropout before the classifier.
    pub dropout: f64,
}

impl Config {
    fn of(growth: i64, blocks: [i64; 4]) -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            growth,
            blocks: blocks.to_vec(),
            stem: 2 * growth,
            bottleneck: 4,
            compression: 0.5,
            layer_dropout: 0.0,
            dropout: 0.0,
        }
    }

    /// DenseNet-121, k = 32.
    pub fn densenet121() -> Self {
        Self::of(32, [6, 12, 24, 16])
    }

    /// DenseNet-161, k = 48.
    pub fn densenet161() -> Self {
        Self::of(48, [6, 12, 36, 24])
    }

    /// DenseNet-169, k = 32.
    pub fn densenet169() -> Self {
        Self::of(32, [6, 12, 32, 32])
    }

    /// DenseNet-264, k = 32: the paper's alone.
    pub fn densenet264() -> Self {
        Self::of(32, [6, 12, 64, 48])
    }

    /// DenseNet-201, k = 32.
    pub fn densenet201() -> Self {
        Self::of(32, [6, 12, 48, 32])
    }
}

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        let layers = &self.blocks;
        ensure!(!layers.is_empty() && layers.iter().all(|&n| n > 0), "`blocks` {layers:?} must be positive");
        ensure!(
            self.compression > 0.0 && self.compression <= 1.0,
            "`compression` {} is not in (0, 1]",
            self.compression
        );
        Ok(Box::new(DenseNet::new(&store.root(), self)?))
    }
}

fn conv(in_channels: i64, out_channels: i64, kernel: i64) -> Conv {
    Conv::new(in_channels, out_channels, kernel).same().no_bias().init(Init::KaimingFanIn)
}

/// Norm, ReLU, 1×1, norm, ReLU, 3×3: the `growth` channels that are added to the (N, in, H, W) before.
struct DenseLayer {
    norm1: NormAct,
    conv1: ConvNorm,
    conv2: Conv2d,
    dropout: Dropout,
}

impl DenseLayer {
    fn new(path: &Path, config: &Config, in_channels: i64) -> Result<Self> {
        let inner = config.bottleneck * config.growth;
        let conv1 = conv(in_channels, inner, 1);
        Ok(Self {
            norm1: NormAct::new(&(path / "norm1"), in_channels, Activation::Relu)?,
            conv1: ConvNorm::new(&(path / "conv1"), &(path / "norm2"), conv1)?,
            conv2: Conv2d::new(&(path / "conv2"), conv(inner, config.growth, 3))?,
            dropout: Dropout::new(config.layer_dropout)?,
        })
    }
}

impl Layer for DenseLayer {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.norm1.forward(x, train)?;
        let y = self.conv1.forward(&y, Activation::Relu, train)?;
        self.dropout.forward(&self.conv2.forward(&y, train)?, train)
    }
}

/// Layers each of which sees the output of all before it.
struct DenseBlock(Vec<DenseLayer>);

impl Layer for DenseBlock {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut features = vec![x.shallow_clone()];
        for layer in &self.0 {
            let so_far = Tensor::f_cat(&features, 1)?;
            features.push(layer.forward(&so_far, train)?);
        }
        Ok(Tensor::f_cat(&features, 1)?)
    }
}

/// Norm, ReLU, 1×1 and average pooling: fewer channels, half the resolution.
struct Transition {
    norm: NormAct,
    conv: Conv2d,
}

impl Layer for Transition {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.conv.forward(&self.norm.forward(x, train)?, train)?;
        AvgPool2d::new(2).forward(&y, train)
    }
}

struct DenseNet {
    stages: Vec<(String, Box<dyn Layer>)>,
    head: Classifier,
}

impl DenseNet {
    fn new(path: &Path, config: &Config) -> Result<Self> {
        let features = path / "features";
        let mut stages: Vec<(String, Box<dyn Layer>)> = Vec::new();
        let mut add = |name: &str, layer: Box<dyn Layer>| stages.push((format!("features.{name}"), layer));

        let conv0 = conv(config.in_chans, config.stem, 7).stride(2);
        let conv0 = ConvNorm::new(&(&features / "conv0"), &(&features / "norm0"), conv0)?;
        add("norm0", Box::new(ConvNormAct::relu(conv0)));
        add("pool0", Box::new(MaxPool2d { stride: 2, padding: 1, ..MaxPool2d::new(3) }));
        let mut channels = config.stem;
        for (&layers, number) in config.blocks.iter().zip(1..) {
            let name = format!("denseblock{number}");
            let block = &features / &name;
            let mut dense = Vec::new();
            for layer in 1..=layers {
                let path = &block / format!("denselayer{layer}");
                dense.push(DenseLayer::new(&path, config, channels)?);
                channels += config.growth;
            }
            add(&name, Box::new(DenseBlock(dense)));
            if number < config.blocks.len() {
                let name = format!("transition{number}");
                let path = &features / &name;
                let kept = (channels as f64 * config.compression) as i64;
                let norm = NormAct::new(&(&path / "norm"), channels, Activation::Relu)?;
                let conv = Conv2d::new(&(&path / "conv"), conv(channels, kept, 1))?;
                add(&name, Box::new(Transition { norm, conv }));
                channels = kept;
            }
        }
        add("norm5", Box::new(NormAct::new(&(&features / "norm5"), channels, Activation::Relu)?));
        let classifier = Linear::zero_bias(&(path / "classifier"), channels, config.num_classes)?;
        let head = Classifier::new(classifier, config.dropout)?;
        Ok(Self { stages, head })
    }
}

impl Model for DenseNet {
    fn stages(&self) -> Vec<(&str, &dyn Layer)> {
        self.stages.iter().map(|(name, stage)| (name.as_str(), stage.as_ref())).collect()
    }

    fn head(&self) -> &dyn Layer {
        &self.head
    }
}

/// Both libraries' nets and the paper's.
pub(super) fn entries() -> Vec<Entry> {
    let nets = [
        ("densenet121", Config::densenet121()),
        ("densenet161", Config::densenet161()),
        ("densenet169", Config::densenet169()),
        ("densenet201", Config::densenet201()),
    ];
    let sources = ["torchvision", "timm"];
    let both = nets.iter().flat_map(|net| sources.map(|source| (source, net)));
    let paper = Entry::new("paper/densenet264".into(), "DenseNet", Config::densenet264());
    both.map(|(source, (name, config))| Entry::new(format!("{source}/{name}"), "DenseNet", config.clone()))
        .chain([paper])
        .collect()
}
