//! Residual nets for ImageNet: ResNet (1512.03385), Wide ResNet (1605.07146), ResNeXt (1611.05431), the stems and
//! shortcuts of the "bag of tricks" (1812.01187), with squeeze-excitation (1709.01507) or efficient channel attention
//! (1910.03151), as torchvision and timm have them and as the papers do.
//!
//! Keys of both: `conv1`, `bn1`, `layer1.0.conv1`, …, `layer1.0.se.fc1`, `layer2.0.downsample.0`, …, `fc`. The
//! libraries stride in a bottleneck's 3×3 convolution, the first paper in the 1×1 before it.

use super::residual::{BlockKind, Shortcut};
use super::{Entry, Model};
use crate::nn::{
    Activation, AvgPool2d, Classifier, Conv, ConvNorm, ConvNormAct, DropPath, EfficientChannelAttention,
    Init, Layer, Linear, MaxPool2d, PaddedShortcut, Path, Sequence, Squeeze, SqueezeExcite, Store,
    make_divisible,
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
    /// Squeeze-excitation by the `se_` fields.
    SqueezeExcite,
    /// Efficient channel attention.
    Efficient,
}

/// Where a block has its attention (1709.01507, section 6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionPlace {
    /// At the end of the branch, before the addition: the paper's standard.
    Standard,
    /// Before the branch.
    Pre,
    /// After the addition and its ReLU.
    Post,
    /// On the shortcut.
    Identity,
    /// In the branch, after a bottleneck's 3×3 convolution.
    Spatial,
}

/// A residual net of four stages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// 0 is no classifier: the pooled features are the output.
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    pub block: BlockKind,
    /// Blocks of each stage.
    pub layers: [i64; 4],
    /// Multiplier of every stage's blocks, rounded up.
    pub depth: f64,
    /// Planes of each stage; bottlenecks put out four times as many channels.
    pub planes: [i64; 4],
    /// Multiplier of the planes; the stem is not widened.
    pub width: f64,
    /// Groups of the bottleneck's 3×3 convolution (ResNeXt's C).
    pub cardinality: i64,
    /// Channels of a bottleneck's group for every 64 planes (ResNeXt's d; 64k in Wide ResNet).
    pub base_width: i64,
    /// How many times narrower than the second a bottleneck's first convolution puts out.
    pub reduce_first: i64,
    pub stem: StemKind,
    pub stem_width: i64,
    /// Whether a bottleneck strides in its first 1×1 convolution, as the first paper, instead of its 3×3.
    pub stride_first: bool,
    pub shortcut: Shortcut,
    /// Shortcuts halve the resolution by averaging, then project, instead of striding.
    pub avg_down: bool,
    /// Kernel of the projections that stride.
    pub down_kernel: i64,
    pub attention: AttentionKind,
    /// Whether the blocks of each stage have it.
    pub attention_stages: [bool; 4],
    pub attention_place: AttentionPlace,
    /// Reduction r of squeeze-excitation.
    pub se_reduction: i64,
    /// The channels it leaves are a multiple of it.
    pub se_divisor: i64,
    pub se_bias: bool,
    pub se_squeeze: Squeeze,
    /// The function of its gates.
    pub se_gate: Activation,
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
            depth: 1.0,
            planes: [64, 128, 256, 512],
            width: 1.0,
            cardinality: 1,
            base_width: 64,
            reduce_first: 1,
            stem: StemKind::Single,
            stem_width: 64,
            stride_first: false,
            shortcut: Shortcut::B,
            avg_down: false,
            down_kernel: 1,
            attention: AttentionKind::None,
            attention_stages: [true; 4],
            attention_place: AttentionPlace::Standard,
            se_reduction: 16,
            se_divisor: 8,
            se_bias: true,
            se_squeeze: Squeeze::Average,
            se_gate: Activation::Sigmoid,
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

    /// As first published: bottlenecks stride in their first convolution.
    pub fn v1(self) -> Self {
        Self { stride_first: true, ..self }
    }

    pub fn shortcut(self, shortcut: Shortcut) -> Self {
        Self { shortcut, ..self }
    }

    /// Squeeze-excitation of the paper's section 6: no biases.
    pub fn with_papers_se(self) -> Self {
        Self { se_divisor: 1, se_bias: false, ..self.with_se() }
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

    /// Blocks of a stage.
    fn blocks(&self, stage: usize) -> i64 {
        (self.layers[stage] as f64 * self.depth).ceil() as i64
    }

    fn stage_planes(&self, stage: usize) -> i64 {
        (self.planes[stage] as f64 * self.width).round() as i64
    }

    fn out_channels(&self, stage: usize) -> i64 {
        match self.block {
            BlockKind::Basic => self.stage_planes(stage),
            BlockKind::Bottleneck => 4 * self.stage_planes(stage),
        }
    }

    fn validate(&self) -> Result<()> {
        ensure!(self.layers.iter().all(|&n| n > 0), "`layers` {:?} must be positive", self.layers);
        ensure!(self.depth > 0.0 && self.depth.is_finite(), "`depth` {} must be positive", self.depth);
        ensure!(self.width > 0.0 && self.width.is_finite(), "`width` {} must be positive", self.width);
        ensure!(self.se_reduction > 0, "`se_reduction` {} must be positive", self.se_reduction);
        ensure!(self.se_divisor > 0, "`se_divisor` {} must be positive", self.se_divisor);
        ensure!(
            self.block == BlockKind::Bottleneck || self.attention_place != AttentionPlace::Spatial,
            "`attention_place: spatial` is for `block: bottleneck`"
        );
        ensure!(
            self.shortcut != Shortcut::None || self.attention_place != AttentionPlace::Identity,
            "`attention_place: identity` needs a shortcut"
        );
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

/// What goes round a block.
pub(super) enum Bypass {
    /// Nothing: a plain net.
    Nothing,
    Identity,
    Through(Box<dyn Layer>),
}

impl Bypass {
    fn new(path: &Path, config: &Config, in_channels: i64, out_channels: i64, stride: i64) -> Result<Self> {
        let same_shape = stride == 1 && in_channels == out_channels;
        Ok(match config.shortcut {
            Shortcut::None => Bypass::Nothing,
            Shortcut::A | Shortcut::B if same_shape => Bypass::Identity,
            Shortcut::A => Bypass::Through(Box::new(PaddedShortcut::new(in_channels, out_channels, stride)?)),
            Shortcut::B | Shortcut::C => {
                Bypass::Through(downsample(path, config, in_channels, out_channels, stride)?)
            }
        })
    }
}

/// A projection round a block.
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
            let squeezed = make_divisible((channels / config.se_reduction) as f64, config.se_divisor, 0.0);
            let init = Init::KaimingFanOut;
            let se = match config.se_bias {
                true => SqueezeExcite::squeezed(&path, channels, squeezed, init)?,
                false => SqueezeExcite::no_bias(&path, channels, squeezed, init)?,
            };
            Some(Box::new(se.squeeze(config.se_squeeze).gate(config.se_gate)))
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
    pub attention_place: AttentionPlace,
    pub drop_path: DropPath,
    pub bypass: Bypass,
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
        let (planes, out) = (config.stage_planes(stage), config.out_channels(stage));
        let width = planes * config.base_width / 64 * config.cardinality;
        let first = match config.block {
            BlockKind::Basic => planes / config.reduce_first,
            BlockKind::Bottleneck => width / config.reduce_first,
        };
        let (convs, last) = match config.block {
            BlockKind::Basic => (vec![conv(in_channels, first, 3).stride(stride)], conv(first, out, 3)),
            BlockKind::Bottleneck => {
                let strides = if config.stride_first { [stride, 1] } else { [1, stride] };
                let spatial = conv(first, width, 3).stride(strides[1]).groups(config.cardinality);
                (vec![conv(in_channels, first, 1).stride(strides[0]), spatial], conv(width, out, 1))
            }
        };
        let number = convs.len() + 1;
        let attended = match config.attention_place {
            AttentionPlace::Pre => in_channels,
            AttentionPlace::Spatial => width,
            AttentionPlace::Standard | AttentionPlace::Post | AttentionPlace::Identity => out,
        };
        Ok(Self {
            convs: in_order(path, convs)?,
            last: numbered(path, number, last, config.zero_init_last)?,
            attention: match config.attention_stages[stage] {
                true => attention(path, config, attended)?,
                false => None,
            },
            attention_place: config.attention_place,
            drop_path: DropPath::new(drop_path)?,
            bypass: Bypass::new(path, config, in_channels, out, stride)?,
        })
    }

    /// The attention, if this is its place.
    fn attend(&self, place: AttentionPlace, x: Tensor, train: bool) -> Result<Tensor> {
        match &self.attention {
            Some(attention) if self.attention_place == place => attention.forward(&x, train),
            _ => Ok(x),
        }
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
        let mut y = self.attend(AttentionPlace::Pre, x.shallow_clone(), train)?;
        for conv in &self.convs {
            y = conv.forward(&y, Activation::Relu, train)?;
        }
        y = self.attend(AttentionPlace::Spatial, y, train)?;
        y = self.last.forward(&y, Activation::Identity, train)?;
        y = self.attend(AttentionPlace::Standard, y, train)?;
        y = self.drop_path.forward(&y, train)?;
        let shortcut = match &self.bypass {
            Bypass::Nothing => None,
            Bypass::Identity => Some(x.shallow_clone()),
            Bypass::Through(layer) => Some(layer.forward(x, train)?),
        };
        if let Some(shortcut) = shortcut {
            y = y.f_add_(&self.attend(AttentionPlace::Identity, shortcut, train)?)?;
        }
        self.attend(AttentionPlace::Post, Activation::Relu.forward(y)?, train)
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
        let last_block = ((0..4).map(|stage| config.blocks(stage)).sum::<i64>() - 1).max(1);
        let mut block_index = 0;
        let mut layer = |stage: usize| -> Result<Stage> {
            let path = path / format!("layer{}", stage + 1);
            let mut blocks = Vec::new();
            for i in 0..config.blocks(stage) {
                let stride = if i == 0 && stage > 0 { 2 } else { 1 };
                let drop_path = config.drop_path * block_index as f64 / last_block as f64;
                blocks.push(Block::new(&(&path / i), config, stage, channels, stride, drop_path)?);
                channels = config.out_channels(stage);
                block_index += 1;
            }
            Ok(Stage(blocks))
        };
        let layers = [layer(0)?, layer(1)?, layer(2)?, layer(3)?];
        let fc = match config.num_classes {
            0 => None,
            classes => Some(Linear::new(&(path / "fc"), channels, classes)?),
        };
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

/// The papers' nets that neither library has: plain nets, shortcuts A and C, the first strides, squeeze-excitation
/// without biases, bottlenecks without shortcuts (1611.05431, section 5.1).
fn paper_entries() -> Vec<Entry> {
    use Config as C;
    let resnext50 = || C::resnet50().groups(32, 4);
    let resnext101 = || C::resnet101().groups(32, 4);
    let nets = [
        ("ResNet", "plain18", C::resnet18().shortcut(Shortcut::None)),
        ("ResNet", "plain34", C::resnet34().shortcut(Shortcut::None)),
        ("ResNet", "resnet18_a", C::resnet18().shortcut(Shortcut::A)),
        ("ResNet", "resnet34_a", C::resnet34().shortcut(Shortcut::A)),
        ("ResNet", "resnet34_b", C::resnet34()),
        ("ResNet", "resnet34_c", C::resnet34().shortcut(Shortcut::C)),
        ("ResNet", "resnet50", C::resnet50().v1()),
        ("ResNet", "resnet101", C::resnet101().v1()),
        ("ResNet", "resnet152", C::resnet152().v1()),
        ("ResNet", "resnet200", C::resnet200().v1()),
        ("ResNeXt", "plain50", C::resnet50().shortcut(Shortcut::None)),
        ("ResNeXt", "plain_resnext50_32x4d", resnext50().shortcut(Shortcut::None)),
        ("SENet", "se_resnet50", C::resnet50().v1().with_papers_se()),
        ("SENet", "se_resnet101", C::resnet101().v1().with_papers_se()),
        ("SENet", "se_resnet152", C::resnet152().v1().with_papers_se()),
        ("SENet", "se_resnext50_32x4d", resnext50().with_papers_se()),
        ("SENet", "se_resnext101_32x4d", resnext101().with_papers_se()),
    ];
    let entry = |(family, name, config)| Entry::new(format!("paper/{name}"), family, config);
    nets.map(entry).into()
}

/// Both libraries' nets by name, and the papers'; timm's start the last norm of each branch at 0.
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
        .chain(paper_entries())
        .collect()
}
