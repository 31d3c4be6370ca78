//! Residual nets for ImageNet: ResNet (1512.03385), Wide ResNet (1605.07146), ResNeXt (1611.05431), the stems and
//! shortcuts of the "bag of tricks" (1812.01187), with squeeze-excitation (1709.01507) or efficient channel attention
//! (1910.03151), as torchvision and timm have them.
//!
//! Keys of both: `conv1`, `bn1`, `layer1.0.conv1`, …, `layer1.0.se.fc1`, `layer2.0.downsample.0`, …, `fc`. The stride
//! is in a bottleneck's 3×3 convolution, unlike the first paper's.

use super::residual::BlockKind;
use super::{Entry, Model};
use crate::nn::{
    Activation, AvgPool2d, Classifier, Conv, ConvNorm, ConvNormAct, DropPath, EfficientChannelAttention,
    Init, Layer, Linear, MaxPool2d, Path, Sequence, SqueezeExcite, Store,
};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// What stands before the first pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StemKind {
    /// One 7×7 convolution of 64 channels.
    Single,
    /// Three 3×3 convolutions of w, w and 2w channels, for `stem_width` w.
    Deep,
    /// Three of ¾w, w and 2w channels.
    Tiered,
}

/// What scales the channels of a block's branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionKind {
    None,
    /// Squeeze-excitation to a sixteenth of the channels, in multiples of 8.
    SqueezeExcite,
    /// Efficient channel attention.
    Efficient,
}

/// A residual net of four stages.
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
    /// Planes of each stage; bottlenecks put out four times as many channels.
    pub planes: [i64; 4],
    /// Groups of the bottleneck's 3×3 convolution (ResNeXt's C).
    pub cardinality: i64,
    /// Channels of a bottleneck's group for every 64 planes (ResNeXt's d; 64k in Wide ResNet).
    pub base_width: i64,
    /// How many times narrower than the second a bottleneck's first convolution puts out.
    pub reduce_first: i64,
    pub stem: StemKind,
    pub stem_width: i64,
    /// Shortcuts halve the resolution by averaging, then project, instead of striding.
    pub avg_down: bool,
    /// Kernel of the projections that stride.
    pub down_kernel: i64,
    pub attention: AttentionKind,
    /// Dropout before the classifier.
    pub dropout: f64,
    /// Stochastic depth of the last block; it grows linearly from 0 at the first.
    pub drop_path: f64,
    /// The last norm of each branch starts at 0.
    pub zero_init_last: bool,
}

impl Config {
    fn of(block: BlockKind, layers: [i64; 4]) -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            block,
            layers,
            planes: [64, 128, 256, 512],
            cardinality: 1,
            base_width: 64,
            reduce_first: 1,
            stem: StemKind::Single,
            stem_width: 64,
            avg_down: false,
            down_kernel: 1,
            attention: AttentionKind::None,
            dropout: 0.0,
            drop_path: 0.0,
            zero_init_last: false,
        }
    }

    pub fn resnet10() -> Self {
        Self::of(BlockKind::Basic, [1, 1, 1, 1])
    }

    pub fn resnet14() -> Self {
        Self::of(BlockKind::Bottleneck, [1, 1, 1, 1])
    }

    pub fn resnet18() -> Self {
        Self::of(BlockKind::Basic, [2, 2, 2, 2])
    }

    pub fn resnet26() -> Self {
        Self::of(BlockKind::Bottleneck, [2, 2, 2, 2])
    }

    pub fn resnet34() -> Self {
        Self::of(BlockKind::Basic, [3, 4, 6, 3])
    }

    pub fn resnet50() -> Self {
        Self::of(BlockKind::Bottleneck, [3, 4, 6, 3])
    }

    pub fn resnet101() -> Self {
        Self::of(BlockKind::Bottleneck, [3, 4, 23, 3])
    }

    pub fn resnet152() -> Self {
        Self::of(BlockKind::Bottleneck, [3, 8, 36, 3])
    }

    pub fn resnet200() -> Self {
        Self::of(BlockKind::Bottleneck, [3, 24, 36, 3])
    }

    pub fn resnet269() -> Self {
        Self::of(BlockKind::Bottleneck, [3, 30, 48, 8])
    }

    /// ResNeXt's C groups of d channels.
    pub fn groups(self, cardinality: i64, base_width: i64) -> Self {
        Self { cardinality, base_width, ..self }
    }

    /// Bottlenecks k times as wide inside.
    pub fn wide(self, k: i64) -> Self {
        Self { base_width: 64 * k, ..self }
    }

    /// ResNet-C of the bag of tricks: the deep stem.
    pub fn c(self) -> Self {
        Self { stem: StemKind::Deep, stem_width: 32, ..self }
    }

    /// ResNet-D: the deep stem and averaging shortcuts.
    pub fn d(self) -> Self {
        Self { avg_down: true, ..self.c() }
    }

    /// The deep stem at twice the width.
    pub fn s(self) -> Self {
        Self { stem_width: 64, ..self.c() }
    }

    /// ResNet-D with a stem of 24, 32, 64 channels.
    pub fn t(self) -> Self {
        Self { stem: StemKind::Tiered, ..self.d() }
    }

    pub fn with_se(self) -> Self {
        Self { attention: AttentionKind::SqueezeExcite, ..self }
    }

    pub fn with_eca(self) -> Self {
        Self { attention: AttentionKind::Efficient, ..self }
    }

    /// SENet-154 (1709.01507, section 6.4 of its appendix) on this engine.
    pub fn senet154() -> Self {
        Self { reduce_first: 2, down_kernel: 3, ..Self::resnet152().groups(64, 4).s().with_se() }
    }

    /// Costs stated at images of this size.
    fn at(self, image_size: i64) -> Self {
        Self { image_size, ..self }
    }

    fn out_channels(&self, stage: usize) -> i64 {
        match self.block {
            BlockKind::Basic => self.planes[stage],
            BlockKind::Bottleneck => 4 * self.planes[stage],
        }
    }

    fn validate(&self) -> Result<()> {
        ensure!(self.layers.iter().all(|&n| n > 0), "`layers` {:?} must be positive", self.layers);
        ensure!(self.reduce_first > 0, "`reduce_first` {} must be positive", self.reduce_first);
        ensure!(
            self.block == BlockKind::Bottleneck || (self.cardinality == 1 && self.base_width == 64),
            "`cardinality` and `base_width` are for `block: bottleneck`"
        );
        ensure!(self.down_kernel % 2 == 1, "`down_kernel` {} must be odd", self.down_kernel);
        Ok(())
    }
}

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        self.validate()?;
        Ok(Box::new(ResNet::new(&store.root(), self)?))
    }
}

pub(super) fn conv(in_channels: i64, out_channels: i64, kernel: i64) -> Conv {
    Conv::new(in_channels, out_channels, kernel).same().no_bias().init(Init::KaimingFanOut)
}

/// The stem and the channels it puts out.
fn stem(path: &Path, config: &Config) -> Result<(Sequence, i64)> {
    let (conv1, bn1) = (path / "conv1", path / "bn1");
    let relu = |conv_path: &Path, norm_path: &Path, conv: Conv| -> Result<Box<dyn Layer>> {
        Ok(Box::new(ConvNormAct::relu(ConvNorm::new(conv_path, norm_path, conv)?)))
    };
    let width = config.stem_width;
    let first = match config.stem {
        StemKind::Single => {
            let stem = relu(&conv1, &bn1, conv(config.in_chans, 64, 7).stride(2))?;
            return Ok((Sequence(vec![stem]), 64));
        }
        StemKind::Deep => width,
        StemKind::Tiered => 3 * (width / 4),
    };
    let convs = vec![
        relu(&(&conv1 / 0), &(&conv1 / 1), conv(config.in_chans, first, 3).stride(2))?,
        relu(&(&conv1 / 3), &(&conv1 / 4), conv(first, width, 3))?,
        relu(&(&conv1 / 6), &bn1, conv(width, 2 * width, 3))?,
    ];
    Ok((Sequence(convs), 2 * width))
}

/// The way round a block whose shape changes.
fn downsample(
    path: &Path,
    config: &Config,
    in_channels: i64,
    out_channels: i64,
    stride: i64,
) -> Result<Box<dyn Layer>> {
    let path = path / "downsample";
    if !config.avg_down {
        let kernel = if stride > 1 { config.down_kernel } else { 1 };
        return projection(&path, 0, conv(in_channels, out_channels, kernel).stride(stride));
    }
    let projection = projection(&path, 1, conv(in_channels, out_channels, 1))?;
    let halve = AvgPool2d { ceil_mode: true, count_include_pad: false, ..AvgPool2d::new(2) };
    Ok(match stride {
        1 => projection,
        _ => Box::new(Sequence(vec![Box::new(halve), projection])),
    })
}

/// A convolution and its norm as the layers `first` and after of a sequence.
pub(super) fn projection(path: &Path, first: usize, conv: Conv) -> Result<Box<dyn Layer>> {
    let conv = ConvNorm::new(&(path / first), &(path / (first + 1)), conv)?;
    Ok(Box::new(ConvNormAct::new(conv, Activation::Identity)))
}

fn attention(path: &Path, config: &Config, channels: i64) -> Result<Option<Box<dyn Layer>>> {
    let path = path / "se";
    Ok(match config.attention {
        AttentionKind::None => None,
        AttentionKind::SqueezeExcite => {
            let squeezed = ((channels / 16 + 4) / 8 * 8).max(8);
            Some(Box::new(SqueezeExcite::squeezed(&path, channels, squeezed, Init::KaimingFanOut)?))
        }
        AttentionKind::Efficient => Some(Box::new(EfficientChannelAttention::new(&path, channels)?)),
    })
}

/// A residual block: (N, in, H, W) to (N, out, H/stride, W/stride).
pub(super) struct Block {
    /// Each with norm and ReLU after it.
    pub convs: Vec<ConvNorm>,
    /// With its norm; ReLU comes after the addition.
    pub last: ConvNorm,
    pub attention: Option<Box<dyn Layer>>,
    pub drop_path: DropPath,
    pub downsample: Option<Box<dyn Layer>>,
}

impl Block {
    fn new(
        path: &Path,
        config: &Config,
        stage: usize,
        in_channels: i64,
        stride: i64,
        drop_path: f64,
    ) -> Result<Self> {
        let (planes, out) = (config.planes[stage], config.out_channels(stage));
        let (convs, last) = match config.block {
            BlockKind::Basic => {
                let first = planes / config.reduce_first;
                (vec![conv(in_channels, first, 3).stride(stride)], conv(first, out, 3))
            }
            BlockKind::Bottleneck => {
                let width = planes * config.base_width / 64 * config.cardinality;
                let first = width / config.reduce_first;
                let spatial = conv(first, width, 3).stride(stride).groups(config.cardinality);
                (vec![conv(in_channels, first, 1), spatial], conv(width, out, 1))
            }
        };
        let number = convs.len() + 1;
        let changes = stride != 1 || in_channels != out;
        Ok(Self {
            convs: in_order(path, convs)?,
            last: numbered(path, number, last, config.zero_init_last)?,
            attention: attention(path, config, out)?,
            drop_path: DropPath::new(drop_path)?,
            downsample: changes.then(|| downsample(path, config, in_channels, out, stride)).transpose()?,
        })
    }
}

/// A block's convolution with its norm: `conv1`, `bn1` and so on.
fn numbered(path: &Path, number: usize, conv: Conv, zero_norm: bool) -> Result<ConvNorm> {
    let (conv_path, norm_path) = (path / format!("conv{number}"), path / format!("bn{number}"));
    match zero_norm {
        true => ConvNorm::zero_norm(&conv_path, &norm_path, conv),
        false => ConvNorm::new(&conv_path, &norm_path, conv),
    }
}

/// A block's convolutions with their norms, in order.
pub(super) fn in_order(path: &Path, convs: Vec<Conv>) -> Result<Vec<ConvNorm>> {
    convs.into_iter().zip(1..).map(|(conv, number)| numbered(path, number, conv, false)).collect()
}

impl Layer for Block {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = x.shallow_clone();
        for conv in &self.convs {
            y = conv.forward(&y, Activation::Relu, train)?;
        }
        y = self.last.forward(&y, Activation::Identity, train)?;
        if let Some(attention) = &self.attention {
            y = attention.forward(&y, train)?;
        }
        y = self.drop_path.forward(&y, train)?;
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(x, train)?,
            None => x.shallow_clone(),
        };
        Activation::Relu.forward(y.f_add_(&shortcut)?)
    }
}

/// Blocks at one resolution.
pub(super) struct Stage(pub Vec<Block>);

impl Layer for Stage {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = x.shallow_clone();
        for block in &self.0 {
            y = block.forward(&y, train)?;
        }
        Ok(y)
    }
}

struct ResNet {
    stem: Sequence,
    maxpool: MaxPool2d,
    layers: [Stage; 4],
    head: Classifier,
}

impl ResNet {
    fn new(path: &Path, config: &Config) -> Result<Self> {
        let (stem, mut channels) = stem(path, config)?;
        let last_block = (config.layers.iter().sum::<i64>() - 1).max(1);
        let mut block_index = 0;
        let mut layer = |stage: usize| -> Result<Stage> {
            let path = path / format!("layer{}", stage + 1);
            let mut blocks = Vec::new();
            for i in 0..config.layers[stage] {
                let stride = if i == 0 && stage > 0 { 2 } else { 1 };
                let drop_path = config.drop_path * block_index as f64 / last_block as f64;
                blocks.push(Block::new(&(&path / i), config, stage, channels, stride, drop_path)?);
                channels = config.out_channels(stage);
                block_index += 1;
            }
            Ok(Stage(blocks))
        };
        let layers = [layer(0)?, layer(1)?, layer(2)?, layer(3)?];
        let fc = Linear::new(&(path / "fc"), channels, config.num_classes)?;
        let head = Classifier::new(fc, config.dropout)?;
        let maxpool = MaxPool2d { stride: 2, padding: 1, ..MaxPool2d::new(3) };
        Ok(Self { stem, maxpool, layers, head })
    }
}

impl Model for ResNet {
    fn stages(&self) -> Vec<(&str, &dyn Layer)> {
        let [layer1, layer2, layer3, layer4] = &self.layers;
        vec![
            ("conv1", &self.stem),
            ("maxpool", &self.maxpool),
            ("layer1", layer1),
            ("layer2", layer2),
            ("layer3", layer3),
            ("layer4", layer4),
        ]
    }

    fn head(&self) -> &dyn Layer {
        &self.head
    }
}

/// Both libraries' nets by name; timm's start the last norm of each branch at 0.
pub(super) fn entries() -> Vec<Entry> {
    use Config as C;
    let torchvision = [
        ("ResNet", "resnet18", C::resnet18()),
        ("ResNet", "resnet34", C::resnet34()),
        ("ResNet", "resnet50", C::resnet50()),
        ("ResNet", "resnet101", C::resnet101()),
        ("ResNet", "resnet152", C::resnet152()),
        ("WRN", "wide_resnet50_2", C::resnet50().wide(2)),
        ("WRN", "wide_resnet101_2", C::resnet101().wide(2)),
        ("ResNeXt", "resnext50_32x4d", C::resnet50().groups(32, 4)),
        ("ResNeXt", "resnext101_32x8d", C::resnet101().groups(32, 8)),
        ("ResNeXt", "resnext101_64x4d", C::resnet101().groups(64, 4)),
    ];
    let timm = [
        ("ResNet", "resnet26", C::resnet26()),
        ("ResNet", "resnet200", C::resnet200()),
        ("ResNet", "resnet50c", C::resnet50().c()),
        ("ResNet", "resnet101c", C::resnet101().c()),
        ("ResNet", "resnet152c", C::resnet152().c()),
        ("ResNet", "resnet18d", C::resnet18().d()),
        ("ResNet", "resnet26d", C::resnet26().d()),
        ("ResNet", "resnet34d", C::resnet34().d()),
        ("ResNet", "resnet50d", C::resnet50().d()),
        ("ResNet", "resnet101d", C::resnet101().d().at(256)),
        ("ResNet", "resnet152d", C::resnet152().d().at(256)),
        ("ResNet", "resnet200d", C::resnet200().d().at(256)),
        ("ResNet", "resnet50s", C::resnet50().s()),
        ("ResNet", "resnet101s", C::resnet101().s()),
        ("ResNet", "resnet152s", C::resnet152().s()),
        ("ResNet", "resnet10t", C::resnet10().t().at(176)),
        ("ResNet", "resnet14t", C::resnet14().t().at(176)),
        ("ResNet", "resnet26t", C::resnet26().t().at(256)),
        ("ResNet", "resnet50t", C::resnet50().t()),
        ("ResNeXt", "resnext50d_32x4d", C::resnet50().groups(32, 4).d()),
        ("ResNeXt", "resnext101_32x4d", C::resnet101().groups(32, 4)),
        ("ResNeXt", "resnext101_32x16d", C::resnet101().groups(32, 16)),
        ("ResNeXt", "resnext101_32x32d", C::resnet101().groups(32, 32)),
        ("SENet", "seresnet18", C::resnet18().with_se()),
        ("SENet", "seresnet34", C::resnet34().with_se()),
        ("SENet", "seresnet50", C::resnet50().with_se()),
        ("SENet", "seresnet101", C::resnet101().with_se()),
        ("SENet", "seresnet152", C::resnet152().with_se()),
        ("SENet", "seresnet152d", C::resnet152().d().with_se().at(256)),
        ("SENet", "seresnet200d", C::resnet200().d().with_se().at(256)),
        ("SENet", "seresnet269d", C::resnet269().d().with_se().at(256)),
        ("SENet", "seresnet50t", C::resnet50().t().with_se()),
        ("SENet", "seresnext26d_32x4d", C::resnet26().groups(32, 4).d().with_se()),
        ("SENet", "seresnext26t_32x4d", C::resnet26().groups(32, 4).t().with_se()),
        ("SENet", "seresnext50_32x4d", C::resnet50().groups(32, 4).with_se()),
        ("SENet", "seresnext101_32x4d", C::resnet101().groups(32, 4).with_se()),
        ("SENet", "seresnext101_32x8d", C::resnet101().groups(32, 8).with_se()),
        ("SENet", "seresnext101_64x4d", C::resnet101().groups(64, 4).with_se()),
        ("SENet", "seresnext101d_32x8d", C::resnet101().groups(32, 8).d().with_se()),
        ("SENet", "senet154", C::senet154()),
        ("SENet", "ecaresnet50d", C::resnet50().d().with_eca()),
        ("SENet", "ecaresnet101d", C::resnet101().d().with_eca()),
        ("SENet", "ecaresnet200d", C::resnet200().d().with_eca().at(256)),
        ("SENet", "ecaresnet269d", C::resnet269().d().with_eca().at(320)),
        ("SENet", "ecaresnet26t", C::resnet26().t().with_eca().at(256)),
        ("SENet", "ecaresnet50t", C::resnet50().t().with_eca().at(256)),
        ("SENet", "ecaresnext26t_32x4d", C::resnet26().groups(32, 4).t().with_eca()),
        ("SENet", "ecaresnext50t_32x4d", C::resnet50().groups(32, 4).t().with_eca()),
    ];
    let timm = torchvision.iter().chain(&timm).map(|(family, name, config)| {
        Entry::new(format!("timm/{name}"), family, C { zero_init_last: true, ..config.clone() })
    });
    let torchvision = torchvision.iter();
    torchvision
        .map(|(family, name, config)| Entry::new(format!("torchvision/{name}"), family, config.clone()))
        .chain(timm)
        .collect()
}
