//! Pre-activation ResNet for ImageNet (1603.05027), as timm has it and as published, and BiT (1912.11370) as timm has it.
//!
//! BiT standardises the weights of its convolutions, norms over groups, and widens everything. Keys as timm's:
//! `stem.conv`, `stages.0.blocks.0.norm1`, `stages.0.blocks.0.conv1`, …, `stages.0.blocks.0.downsample.conv`, …,
//! `norm`, `head.fc`, the last a 1×1 convolution.

use super::net::Net;
use super::residual::BlockKind;
use super::resnet::StemKind;
use super::{Entry, Model};
use crate::nn::{
    Activation, AvgPool2d, Conv, Conv2d, DropPath, Dropout, Init, Layer, MaxPool2d, NormAct, Path, Sequence,
    Store,
};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// A pre-activation net of four stages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    pub block: BlockKind,
    /// Blocks of each stage.
    pub layers: [i64; 4],
    /// Channels that each stage puts out, before widening.
    pub channels: [i64; 4],
    /// What all channels are multiplied by.
    pub width: i64,
    pub stem: StemKind,
    /// Channels of the stem before widening.
    pub stem_width: i64,
    /// Shortcuts halve the resolution by averaging, then project, instead of striding.
    pub avg_down: bool,
    /// Norm and ReLU between the stem and its pooling, in place of the first block's before its first convolution: the
    /// first paper's order. timm pools what is not normed yet.
    pub norm_before_pool: bool,
    /// BiT's layers: standardised weights, group norm of 32 groups, zeros round the stem's pooling.
    pub bit: bool,
    /// Dropout before the classifier.
    pub dropout: f64,
    /// Stochastic depth of the last block; it grows linearly from 0 at the first.
    pub drop_path: f64,
}

impl Config {
    fn of(layers: [i64; 4]) -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            block: BlockKind::Bottleneck,
            layers,
            channels: [256, 512, 1024, 2048],
            width: 1,
            stem: StemKind::Single,
            stem_width: 64,
            avg_down: false,
            norm_before_pool: false,
            bit: false,
            dropout: 0.0,
            drop_path: 0.0,
        }
    }

    fn basic(layers: [i64; 4]) -> Self {
        Self { block: BlockKind::Basic, channels: [64, 128, 256, 512], ..Self::of(layers) }
    }

    pub fn resnetv2_18() -> Self {
        Self::basic([2, 2, 2, 2])
    }

    pub fn resnetv2_34() -> Self {
        Self::basic([3, 4, 6, 3])
    }

    pub fn resnetv2_50() -> Self {
        Self::of([3, 4, 6, 3])
    }

    pub fn resnetv2_101() -> Self {
        Self::of([3, 4, 23, 3])
    }

    pub fn resnetv2_152() -> Self {
        Self::of([3, 8, 36, 3])
    }

    pub fn resnetv2_200() -> Self {
        Self::of([3, 24, 36, 3])
    }

    /// As the first paper's authors train it.
    fn published(self) -> Self {
        Self { norm_before_pool: true, ..self }
    }

    /// The deep stem and averaging shortcuts.
    pub fn d(self) -> Self {
        Self { stem: StemKind::Deep, avg_down: true, ..self }
    }

    /// The tiered stem and averaging shortcuts.
    pub fn t(self) -> Self {
        Self { stem: StemKind::Tiered, ..self.d() }
    }

    /// BiT of this width.
    pub fn bit(self, width: i64) -> Self {
        Self { bit: true, width, ..self }
    }

    /// Costs stated at images of this size.
    fn at(self, image_size: i64) -> Self {
        Self { image_size, ..self }
    }

    fn conv(&self, in_channels: i64, out_channels: i64, kernel: i64) -> Conv {
        let conv = Conv::new(in_channels, out_channels, kernel).same().no_bias().init(Init::KaimingFanOut);
        if self.bit { conv.standardise(1e-8) } else { conv }
    }

    fn norm(&self, path: &Path, channels: i64) -> Result<NormAct> {
        match self.bit {
            true => NormAct::group(path, 32, channels, Activation::Relu),
            false => NormAct::new(path, channels, Activation::Relu),
        }
    }
}

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        ensure!(self.layers.iter().all(|&n| n > 0), "`layers` {:?} must be positive", self.layers);
        ensure!(self.width > 0, "`width` {} must be positive", self.width);
        Ok(Box::new(network(&store.root(), self)?))
    }
}

/// The stem without its pooling, and the channels it puts out: the last convolution is bare.
fn stem(path: &Path, config: &Config) -> Result<(Sequence, i64)> {
    let path = path / "stem";
    let out = config.stem_width * config.width;
    let first = match config.stem {
        StemKind::Single => {
            let conv = config.conv(config.in_chans, out, 7).stride(2);
            return Ok((Sequence(vec![Box::new(Conv2d::new(&(&path / "conv"), conv)?)]), out));
        }
        StemKind::Deep => out / 2,
        StemKind::Tiered => 3 * out / 8,
    };
    let conv = |name: &str, conv: Conv| -> Result<Box<dyn Layer>> {
        Ok(Box::new(Conv2d::new(&(&path / name), conv)?))
    };
    let layers = vec![
        conv("conv1", config.conv(config.in_chans, first, 3).stride(2))?,
        Box::new(config.norm(&(&path / "norm1"), first)?),
        conv("conv2", config.conv(first, out / 2, 3))?,
        Box::new(config.norm(&(&path / "norm2"), out / 2)?),
        conv("conv3", config.conv(out / 2, out, 3))?,
    ];
    Ok((Sequence(layers), out))
}

/// The stem's pooling; BiT pads with zeros, which may be above what they stand beside.
struct StemPool {
    zeros: bool,
}

impl Layer for StemPool {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let pool = MaxPool2d { stride: 2, ..MaxPool2d::new(3) };
        match self.zeros {
            true => pool.forward(&x.f_constant_pad_nd([1; 4])?, train),
            false => MaxPool2d { padding: 1, ..pool }.forward(x, train),
        }
    }
}

/// Norm and ReLU before each convolution, nothing after the addition: (N, in, H, W) to (N, out, H/stride, W/stride).
struct Block {
    /// Without the first norm where the input is normed already.
    branch: Vec<(Option<NormAct>, Conv2d)>,
    /// From the normed input.
    downsample: Option<Sequence>,
    drop_path: DropPath,
}

impl Block {
    fn new(path: &Path, config: &Config, shape: &Shape, drop_path: f64) -> Result<Self> {
        let Shape { in_channels, out_channels: out, stride, first, .. } = *shape;
        let convs = match config.block {
            BlockKind::Basic => {
                vec![config.conv(in_channels, out, 3).stride(stride), config.conv(out, out, 3)]
            }
            BlockKind::Bottleneck => vec![
                config.conv(in_channels, out / 4, 1),
                config.conv(out / 4, out / 4, 3).stride(stride),
                config.conv(out / 4, out, 1),
            ],
        };
        // A bottleneck stage starts with a projection even where the shape stays.
        let changes = stride != 1 || in_channels != out;
        let project = first && (changes || config.block == BlockKind::Bottleneck);
        let downsample = match project {
            true => Some(downsample(&(path / "downsample"), config, shape)?),
            false => None,
        };
        let branch = convs.into_iter().zip(1..).map(|(conv, i)| {
            let norm = match i == 1 && shape.normed {
                true => None,
                false => Some(config.norm(&(path / format!("norm{i}")), conv.in_channels())?),
            };
            Ok((norm, Conv2d::new(&(path / format!("conv{i}")), conv)?))
        });
        Ok(Self { branch: branch.collect::<Result<_>>()?, downsample, drop_path: DropPath::new(drop_path)? })
    }
}

/// Channels and stride of a block, whether it is its stage's first, and whether its input is normed already.
struct Shape {
    in_channels: i64,
    out_channels: i64,
    stride: i64,
    first: bool,
    normed: bool,
}

fn downsample(path: &Path, config: &Config, shape: &Shape) -> Result<Sequence> {
    let mut layers: Vec<Box<dyn Layer>> = Vec::new();
    let mut project = config.conv(shape.in_channels, shape.out_channels, 1);
    match config.avg_down {
        false => project = project.stride(shape.stride),
        true if shape.stride > 1 => {
            let halve = AvgPool2d { ceil_mode: true, count_include_pad: false, ..AvgPool2d::new(2) };
            layers.push(Box::new(halve));
        }
        true => {}
    }
    layers.push(Box::new(Conv2d::new(&(path / "conv"), project)?));
    Ok(Sequence(layers))
}

impl Layer for Block {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut shortcut = x.shallow_clone();
        let mut y = x.shallow_clone();
        for (i, (norm, conv)) in self.branch.iter().enumerate() {
            let normed = match norm {
                Some(norm) => norm.forward(&y, train)?,
                None => y.shallow_clone(),
            };
            if let (0, Some(downsample)) = (i, &self.downsample) {
                shortcut = downsample.forward(&normed, train)?;
            }
            y = conv.forward(&normed, train)?;
        }
        Ok(self.drop_path.forward(&y, train)?.f_add(&shortcut)?)
    }
}

/// Global average, dropout and the 1×1 convolution that classifies.
struct Head {
    dropout: Dropout,
    fc: Conv2d,
}

impl Layer for Head {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mean = self.dropout.forward(&x.f_adaptive_avg_pool2d([1, 1])?, train)?;
        Ok(self.fc.forward(&mean, train)?.f_flatten(1, -1)?)
    }
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let (stem, mut in_channels) = stem(path, config)?;
    let last_block = (config.layers.iter().sum::<i64>() - 1).max(1) as f64;
    let mut block_index = 0;
    let mut stages: Vec<(String, Box<dyn Layer>)> = vec![("stem".into(), Box::new(stem))];
    if config.norm_before_pool {
        let norm = config.norm(&(path / "stem" / "norm"), in_channels)?;
        stages.push(("stem.norm".into(), Box::new(norm)));
    }
    stages.push(("stem.pool".into(), Box::new(StemPool { zeros: config.bit })));
    for (stage, (&layers, &channels)) in config.layers.iter().zip(&config.channels).enumerate() {
        let name = format!("stages.{stage}");
        let out_channels = channels * config.width;
        let mut blocks: Vec<Box<dyn Layer>> = Vec::new();
        for i in 0..layers {
            let stride = if i == 0 && stage > 0 { 2 } else { 1 };
            let normed = config.norm_before_pool && block_index == 0;
            let shape = Shape { in_channels, out_channels, stride, first: i == 0, normed };
            let drop_path = config.drop_path * block_index as f64 / last_block;
            let path = path / &name / "blocks" / i;
            blocks.push(Box::new(Block::new(&path, config, &shape, drop_path)?));
            in_channels = out_channels;
            block_index += 1;
        }
        stages.push((name, Box::new(Sequence(blocks))));
    }
    stages.push(("norm".into(), Box::new(config.norm(&(path / "norm"), in_channels)?)));
    let fc = Conv::new(in_channels, config.num_classes, 1).zero_bias().init(Init::Normal(0.01));
    let head = Head { dropout: Dropout::new(config.dropout)?, fc: Conv2d::new(&(path / "head" / "fc"), fc)? };
    Ok(Net::new(stages, head))
}

/// timm's nets, and the first paper's of its Table 5.
pub(super) fn entries() -> Vec<Entry> {
    use Config as C;
    let nets = [
        ("timm/resnetv2_18", C::resnetv2_18()),
        ("timm/resnetv2_18d", C::resnetv2_18().d()),
        ("timm/resnetv2_34", C::resnetv2_34()),
        ("timm/resnetv2_34d", C::resnetv2_34().d()),
        ("timm/resnetv2_50", C::resnetv2_50()),
        ("timm/resnetv2_50d", C::resnetv2_50().d()),
        ("timm/resnetv2_50t", C::resnetv2_50().t()),
        ("timm/resnetv2_101", C::resnetv2_101()),
        ("timm/resnetv2_101d", C::resnetv2_101().d()),
        ("timm/resnetv2_152", C::resnetv2_152()),
        ("timm/resnetv2_152d", C::resnetv2_152().d()),
        ("timm/resnetv2_50x1_bit", C::resnetv2_50().bit(1)),
        ("timm/resnetv2_50x3_bit", C::resnetv2_50().bit(3).at(448)),
        ("timm/resnetv2_101x1_bit", C::resnetv2_101().bit(1).at(448)),
        ("timm/resnetv2_101x3_bit", C::resnetv2_101().bit(3).at(448)),
        ("timm/resnetv2_152x2_bit", C::resnetv2_152().bit(2)),
        ("timm/resnetv2_152x4_bit", C::resnetv2_152().bit(4).at(480)),
        ("paper/preact_resnet152", C::resnetv2_152().published()),
        ("paper/preact_resnet200", C::resnetv2_200().published()),
    ];
    nets.map(|(name, config)| Entry::new(name.into(), "ResNet", config)).into()
}
