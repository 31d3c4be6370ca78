//! DenseNet (1608.06993): DenseNet-BC for ImageNet (Table 1) as in torchvision and timm, and the paper's nets for small
//! images.
//!
//! Keys of both: `features.conv0`, `features.norm0`, `features.denseblock1.denselayer1.norm1`, …,
//! `features.transition1.norm`, …, `features.norm5`, `classifier`. torchvision's oldest files have `norm.1` for
//! `norm1`, which the naming rules translate.

use super::net::Net;
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
    pub stem_width: i64,
    /// A single 3×3 convolution before the first block, for small images, instead of a 7×7 one, norm and pooling.
    pub small_stem: bool,
    /// Channels of a layer's 1×1 convolution, in growth rates; 0 for none (DenseNet without B).
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
            stem_width: 2 * growth,
            small_stem: false,
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

    /// DenseNet-264, k = 32: only in the paper.
    pub fn densenet264() -> Self {
        Self::of(32, [6, 12, 64, 48])
    }

    /// DenseNet-201, k = 32.
    pub fn densenet201() -> Self {
        Self::of(32, [6, 12, 48, 32])
    }

    /// DenseNet-BC of L layers and growth rate k for small images (section 4.2): three equal blocks, L = 6n + 4.
    fn small_bc(depth: i64, growth: i64) -> Self {
        let blocks = vec![(depth - 4) / 6; 3];
        let imagenet = Self::of(growth, [0; 4]);
        Self { num_classes: 10, image_size: 32, blocks, small_stem: true, ..imagenet }
    }

    /// DenseNet without bottleneck and compression: L = 3n + 4.
    fn small(depth: i64, growth: i64) -> Self {
        let blocks = vec![(depth - 4) / 3; 3];
        Self { blocks, stem_width: 16, bottleneck: 0, compression: 1.0, ..Self::small_bc(depth, growth) }
    }
}

impl super::Config for Config {
    fn renamed() -> &'static [(&'static str, &'static str)] {
        &[("stem", "stem_width")]
    }

    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        let layers = &self.blocks;
        ensure!(!layers.is_empty() && layers.iter().all(|&n| n > 0), "`blocks` {layers:?} must be positive");
        ensure!(self.bottleneck >= 0, "`bottleneck` {} must not be negative", self.bottleneck);
        ensure!(
            self.compression > 0.0 && self.compression <= 1.0,
            "`compression` {} is not in (0, 1]",
            self.compression
        );
        Ok(Box::new(network(&store.root(), self)?))
    }
}

fn conv(in_channels: i64, out_channels: i64, kernel: i64) -> Conv {
    Conv::new(in_channels, out_channels, kernel).same().no_bias().init(Init::KaimingFanIn)
}

/// Norm, ReLU, 1×1, norm, ReLU, 3×3, the 1×1 with its norm only in DenseNet-B: the `growth` channels that are appended
/// to its input (N, in, H, W).
struct DenseLayer {
    norm1: NormAct,
    bottleneck: Option<ConvNorm>,
    conv: Conv2d,
    dropout: Dropout,
}

impl DenseLayer {
    fn new(path: &Path, config: &Config, in_channels: i64) -> Result<Self> {
        let norm1 = NormAct::new(&(path / "norm1"), in_channels, Activation::Relu)?;
        let (conv1, conv2) = (path / "conv1", path / "conv2");
        let (bottleneck, conv) = match config.bottleneck {
            0 => (None, Conv2d::new(&conv1, conv(in_channels, config.growth, 3))?),
            factor => {
                let inner = factor * config.growth;
                let reduce = ConvNorm::new(&conv1, &(path / "norm2"), conv(in_channels, inner, 1))?;
                (Some(reduce), Conv2d::new(&conv2, conv(inner, config.growth, 3))?)
            }
        };
        Ok(Self { norm1, bottleneck, conv, dropout: Dropout::new(config.layer_dropout)? })
    }
}

impl Layer for DenseLayer {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = self.norm1.forward(x, train)?;
        if let Some(bottleneck) = &self.bottleneck {
            y = bottleneck.forward(&y, Activation::Relu, train)?;
        }
        self.dropout.forward(&self.conv.forward(&y, train)?, train)
    }
}

/// Layers that each see the outputs of all layers before.
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

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let features = path / "features";
    let mut stages: Vec<(String, Box<dyn Layer>)> = Vec::new();
    let mut add = |name: &str, layer: Box<dyn Layer>| stages.push((format!("features.{name}"), layer));

    let (conv0, norm0) = (&features / "conv0", &features / "norm0");
    if config.small_stem {
        add("conv0", Box::new(Conv2d::new(&conv0, conv(config.in_chans, config.stem_width, 3))?));
    } else {
        let conv = conv(config.in_chans, config.stem_width, 7).stride(2);
        add("norm0", Box::new(ConvNormAct::relu(ConvNorm::new(&conv0, &norm0, conv)?)));
        add("pool0", Box::new(MaxPool2d { stride: 2, padding: 1, ..MaxPool2d::new(3) }));
    }
    let mut channels = config.stem_width;
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
    let classifier = || Linear::zero_bias(&(path / "classifier"), channels, config.num_classes);
    Ok(Net::new(stages, Classifier::new(config.num_classes, config.dropout, classifier)?))
}

/// Both libraries' nets and the paper's others.
pub(super) fn entries() -> Vec<Entry> {
    let nets = [
        ("densenet121", Config::densenet121()),
        ("densenet161", Config::densenet161()),
        ("densenet169", Config::densenet169()),
        ("densenet201", Config::densenet201()),
    ];
    let mut entries = Vec::new();
    let mut add = |name: String, config| entries.push(Entry::new(name, "DenseNet", config));
    for (name, config) in nets {
        add(format!("torchvision/{name}"), config.clone());
        add(format!("timm/{name}"), config);
    }
    add("paper/densenet264".into(), Config::densenet264());
    for (depth, growth) in [(40, 12), (100, 12), (100, 24)] {
        add(format!("paper/densenet_{depth}_{growth}"), Config::small(depth, growth));
    }
    for (depth, growth) in [(100, 12), (250, 24), (190, 40)] {
        add(format!("paper/densenet_bc_{depth}_{growth}"), Config::small_bc(depth, growth));
    }
    entries
}
