//! SENet as its authors' Caffe models were ported (1709.01507); timm calls these names `legacy_`.
//!
//! They differ from [`super::resnet`] with squeeze-excitation by the keys (`layer0.conv1`, `layer1.0.se_module.fc1`,
//! `last_linear`), the pooling of the stem (ceiling, no padding), the place of the stride and the dropout.

use super::net::Net;
use super::resnet::AttentionPlace;
use super::resnet::block::{Block, Bypass, conv, in_order, projection};
use super::{Entry, Model};
use crate::nn::{
    Activation, Classifier, ConvNormAct, DropPath, Init, Layer, Linear, MaxPool2d, Path, Sequence,
    SqueezeExcite, Store,
};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// The inner layers of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeBlockKind {
    /// Two 3×3 convolutions; ReLU before the squeeze as well.
    ResNetBasic,
    /// 1×1 with the stride, 3×3, 1×1.
    ResNet,
    /// 1×1, grouped 3×3 with the stride, 1×1, of `base_width` channels a group for every 64 planes.
    ResNext,
    /// As ResNeXt, twice as wide, with half as many channels after the first 1×1.
    Se154,
}

/// A residual net of four stages with squeeze-excitation in every block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    pub block: SeBlockKind,
    /// Blocks of each stage.
    pub layers: [i64; 4],
    /// Planes of each stage; all but basic blocks put out four times as many channels.
    pub planes: [i64; 4],
    /// Groups of the 3×3 convolutions.
    pub cardinality: i64,
    /// Channels of a ResNeXt block's group for every 64 planes.
    pub base_width: i64,
    /// Reduction r of squeeze-excitation.
    pub se_reduction: i64,
    /// Channels of the stem.
    pub stem: i64,
    /// Three 3×3 convolutions for the stem instead of one 7×7.
    pub deep_stem: bool,
    /// Kernel of the projections that stride.
    pub down_kernel: i64,
    /// Dropout before the classifier.
    pub dropout: f64,
}

impl Config {
    fn of(block: SeBlockKind, layers: [i64; 4]) -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            block,
            layers,
            planes: [64, 128, 256, 512],
            cardinality: 1,
            base_width: 4,
            se_reduction: 16,
            stem: 64,
            deep_stem: false,
            down_kernel: 1,
            dropout: 0.2,
        }
    }

    pub fn seresnet18() -> Self {
        Self::of(SeBlockKind::ResNetBasic, [2, 2, 2, 2])
    }

    pub fn seresnet34() -> Self {
        Self::of(SeBlockKind::ResNetBasic, [3, 4, 6, 3])
    }

    pub fn seresnet50() -> Self {
        Self::of(SeBlockKind::ResNet, [3, 4, 6, 3])
    }

    pub fn seresnet101() -> Self {
        Self::of(SeBlockKind::ResNet, [3, 4, 23, 3])
    }

    pub fn seresnet152() -> Self {
        Self::of(SeBlockKind::ResNet, [3, 8, 36, 3])
    }

    pub fn seresnext26_32x4d() -> Self {
        Self { cardinality: 32, ..Self::of(SeBlockKind::ResNext, [2, 2, 2, 2]) }
    }

    pub fn seresnext50_32x4d() -> Self {
        Self { cardinality: 32, ..Self::of(SeBlockKind::ResNext, [3, 4, 6, 3]) }
    }

    pub fn seresnext101_32x4d() -> Self {
        Self { cardinality: 32, ..Self::of(SeBlockKind::ResNext, [3, 4, 23, 3]) }
    }

    pub fn senet154() -> Self {
        let config = Self::of(SeBlockKind::Se154, [3, 8, 36, 3]);
        Self { cardinality: 64, stem: 128, deep_stem: true, down_kernel: 3, ..config }
    }

    fn out_channels(&self, stage: usize) -> i64 {
        match self.block {
            SeBlockKind::ResNetBasic => self.planes[stage],
            _ => 4 * self.planes[stage],
        }
    }
}

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        ensure!(self.layers.iter().all(|&n| n > 0), "`layers` {:?} must be positive", self.layers);
        ensure!(self.se_reduction > 0, "`se_reduction` {} must be positive", self.se_reduction);
        Ok(Box::new(network(&store.root(), self)?))
    }
}

/// ReLU before the squeeze, as the basic blocks have it.
struct ReluThen(SqueezeExcite);

impl Layer for ReluThen {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.0.forward(&Activation::Relu.apply(x)?, train)
    }
}

fn block(path: &Path, config: &Config, stage: usize, in_channels: i64, stride: i64) -> Result<Block> {
    let (planes, out, groups) = (config.planes[stage], config.out_channels(stage), config.cardinality);
    let convs = match config.block {
        SeBlockKind::ResNetBasic => {
            vec![conv(in_channels, planes, 3).stride(stride), conv(planes, planes, 3).groups(groups)]
        }
        SeBlockKind::ResNet => vec![
            conv(in_channels, planes, 1).stride(stride),
            conv(planes, planes, 3).groups(groups),
            conv(planes, out, 1),
        ],
        SeBlockKind::ResNext => {
            let width = planes * config.base_width / 64 * groups;
            let spatial = conv(width, width, 3).stride(stride).groups(groups);
            vec![conv(in_channels, width, 1), spatial, conv(width, out, 1)]
        }
        SeBlockKind::Se154 => {
            let spatial = conv(2 * planes, out, 3).stride(stride).groups(groups);
            vec![conv(in_channels, 2 * planes, 1), spatial, conv(out, out, 1)]
        }
    };
    let mut convs = in_order(path, convs)?;
    let se = path / "se_module";
    let se = SqueezeExcite::squeezed(&se, out, out / config.se_reduction, Init::KaimingFanOut)?;
    let attention: Box<dyn Layer> = match config.block {
        SeBlockKind::ResNetBasic => Box::new(ReluThen(se)),
        _ => Box::new(se),
    };
    let kernel = if stride > 1 { config.down_kernel } else { 1 };
    let changes = stride != 1 || in_channels != out;
    let down = conv(in_channels, out, kernel).stride(stride);
    let bypass = match changes {
        true => Bypass::Through(projection(&(path / "downsample"), 0, down)?),
        false => Bypass::Identity,
    };
    let last = convs.pop().context("a block without convolutions")?;
    let (attention, attention_place) = (Some(attention), AttentionPlace::Standard);
    Ok(Block { convs, last, attention, attention_place, drop_path: DropPath::new(0.0)?, bypass })
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let convs = match config.deep_stem {
        false => vec![conv(config.in_chans, config.stem, 7).stride(2)],
        true => vec![conv(config.in_chans, 64, 3).stride(2), conv(64, 64, 3), conv(64, config.stem, 3)],
    };
    let relu = |conv| -> Box<dyn Layer> { Box::new(ConvNormAct::relu(conv)) };
    let layer0 = in_order(&(path / "layer0"), convs)?.into_iter().map(relu).collect();
    let pool0 = MaxPool2d { stride: 2, ceil_mode: true, ..MaxPool2d::new(3) };
    let mut stages: Vec<(&str, Box<dyn Layer>)> =
        vec![("layer0", Box::new(Sequence(layer0))), ("pool0", Box::new(pool0))];
    let mut channels = config.stem;
    for (stage, name) in ["layer1", "layer2", "layer3", "layer4"].into_iter().enumerate() {
        let mut blocks: Vec<Box<dyn Layer>> = Vec::new();
        for i in 0..config.layers[stage] {
            let stride = if i == 0 && stage > 0 { 2 } else { 1 };
            blocks.push(Box::new(block(&(path / name / i), config, stage, channels, stride)?));
            channels = config.out_channels(stage);
        }
        stages.push((name, Box::new(Sequence(blocks))));
    }
    let linear = Linear::new(&(path / "last_linear"), channels, config.num_classes)?;
    Ok(Net::new(stages, Classifier::new(linear, config.dropout)?))
}

/// timm's legacy nets.
pub(super) fn entries() -> Vec<Entry> {
    let nets = [
        ("seresnet18", Config::seresnet18()),
        ("seresnet34", Config::seresnet34()),
        ("seresnet50", Config::seresnet50()),
        ("seresnet101", Config::seresnet101()),
        ("seresnet152", Config::seresnet152()),
        ("seresnext26_32x4d", Config::seresnext26_32x4d()),
        ("seresnext50_32x4d", Config::seresnext50_32x4d()),
        ("seresnext101_32x4d", Config::seresnext101_32x4d()),
        ("senet154", Config::senet154()),
    ];
    nets.map(|(name, config)| Entry::new(format!("timm/legacy_{name}"), "SENet", config)).into()
}
