//! Residual nets for small images, as the papers trained them on CIFAR.
//!
//! One network whose [`Config`] spells ResNet and its plain twin (1512.03385, section 4.2), pre-activation ResNet
//! (1603.05027), Wide ResNet (1605.07146), ResNeXt-29 (1611.05431, section 5.3), and each of them with
//! squeeze-excitation (1709.01507). Keys as torchvision's ResNet: `conv1`, `bn1`, `layer1.0.conv1`, …, `fc`.

mod names;

pub(super) use names::entries;

use super::Model;
use super::net::Net;
use crate::nn::{
    Activation, Classifier, Conv, Conv2d, ConvNorm, ConvNormAct, Dropout, Init, Layer, Linear, NormAct,
    PaddedShortcut, Path, Sequence, SqueezeExcite, Store,
};
use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// The inner layers of a residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// Convolutions of one width, by the list `kernels`.
    Basic,
    /// 1×1 down, 3×3 (grouped when `cardinality` is above 1), 1×1 up to four times the planes.
    Bottleneck,
}

/// What goes round a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortcut {
    /// Nothing: a plain net.
    None,
    /// Identity; where the shape changes, every second pixel and zeros for the new channels (no parameters).
    A,
    /// Identity; a projection where the shape changes.
    B,
    /// A projection round every block.
    C,
}

/// A residual net of three stages at full, half and quarter resolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Layers as the papers count them: 6n+2 (6n+4 in Wide ResNet) or, with bottlenecks, 9n+2, for n blocks a stage.
    pub depth: i64,
    /// Channels of the first convolution.
    pub stem: i64,
    /// Stride of the first convolution; 1 in the papers, 2 quarters the cost of all that follows.
    pub stem_stride: i64,
    /// Planes of the three stages before widening.
    pub planes: [i64; 3],
    /// Widening factor k of Wide ResNet; the stem is not widened.
    pub width: f64,
    pub block: BlockKind,
    /// Kernel sizes of a basic block: [3, 3] is Wide ResNet's B(3,3).
    pub kernels: Vec<i64>,
    /// Norm and ReLU before each convolution instead of after it.
    pub pre_activation: bool,
    pub shortcut: Shortcut,
    /// Groups of the bottleneck's 3×3 convolution (ResNeXt's C).
    pub cardinality: i64,
    /// Channels of one group in the first stage (ResNeXt's d); 0 is as many as fill the planes.
    pub base_width: i64,
    /// Dropout between the convolutions of a block.
    pub dropout: f64,
    /// Reduction r of squeeze-excitation; 0 is none.
    pub se_reduction: i64,
}

impl Config {
    /// ResNet on CIFAR-10: 6n+2 layers, shortcuts A.
    pub fn resnet(depth: i64) -> Self {
        Self {
            num_classes: 10,
            in_chans: 3,
            image_size: 32,
            depth,
            stem: 16,
            stem_stride: 1,
            planes: [16, 32, 64],
            width: 1.0,
            block: BlockKind::Basic,
            kernels: vec![3, 3],
            pre_activation: false,
            shortcut: Shortcut::A,
            cardinality: 1,
            base_width: 0,
            dropout: 0.0,
            se_reduction: 0,
        }
    }

    /// The same layers without shortcuts.
    pub fn plain(depth: i64) -> Self {
        Self { shortcut: Shortcut::None, ..Self::resnet(depth) }
    }

    /// ResNet of bottlenecks: 9n+2 layers, projections where the shape changes.
    pub fn resnet_bottleneck(depth: i64) -> Self {
        Self { block: BlockKind::Bottleneck, shortcut: Shortcut::B, ..Self::resnet(depth) }
    }

    /// Pre-activation ResNet of basic blocks.
    pub fn preact_resnet(depth: i64) -> Self {
        Self { pre_activation: true, shortcut: Shortcut::B, ..Self::resnet(depth) }
    }

    /// Pre-activation ResNet of bottlenecks.
    pub fn preact_resnet_bottleneck(depth: i64) -> Self {
        Self { pre_activation: true, ..Self::resnet_bottleneck(depth) }
    }

    /// Wide ResNet WRN-depth-k, blocks B(3,3).
    pub fn wide_resnet(depth: i64, width: i64) -> Self {
        Self { width: width as f64, ..Self::preact_resnet(depth) }
    }

    /// ResNeXt-29 of C groups of d channels.
    pub fn resnext29(cardinality: i64, base_width: i64) -> Self {
        let planes = [64, 128, 256];
        Self { stem: 64, planes, cardinality, base_width, ..Self::resnet_bottleneck(29) }
    }

    /// The same net with squeeze-excitation of reduction 16 in every block.
    pub fn with_se(self) -> Self {
        Self { se_reduction: 16, ..self }
    }

    /// Blocks in each stage.
    fn blocks(&self) -> Result<i64> {
        let (layers, name) = match self.block {
            BlockKind::Basic => (6, "6n+2 or 6n+4"),
            BlockKind::Bottleneck => (9, "9n+2"),
        };
        let rest = (self.depth - 2) % layers;
        let projections_counted = self.block == BlockKind::Basic && rest == 2;
        ensure!(
            self.depth > layers && (rest == 0 || projections_counted),
            "`depth` {} does not fit {name} layers",
            self.depth
        );
        Ok((self.depth - 2) / layers)
    }

    /// Planes of a stage after widening.
    fn stage_planes(&self, stage: usize) -> i64 {
        (self.planes[stage] as f64 * self.width).round() as i64
    }

    /// Channels between the first and the last convolution of a block.
    fn inner_channels(&self, stage: usize) -> i64 {
        let planes = self.stage_planes(stage);
        match (self.block, self.base_width) {
            (BlockKind::Basic, _) | (_, 0) => planes,
            (BlockKind::Bottleneck, d) => {
                let growth = self.planes[stage] as f64 / self.planes[0] as f64;
                self.cardinality * (d as f64 * self.width * growth).round() as i64
            }
        }
    }

    /// Channels that a stage puts out.
    fn out_channels(&self, stage: usize) -> i64 {
        match self.block {
            BlockKind::Basic => self.stage_planes(stage),
            BlockKind::Bottleneck => 4 * self.stage_planes(stage),
        }
    }

    fn validate(&self) -> Result<()> {
        ensure!(self.num_classes > 0, "`num_classes` {} must be positive", self.num_classes);
        ensure!(self.width > 0.0 && self.width.is_finite(), "`width` {} must be positive", self.width);
        ensure!(self.planes.iter().all(|&p| p > 0), "`planes` {:?} must be positive", self.planes);
        ensure!(self.base_width >= 0, "`base_width` {} must not be negative", self.base_width);
        ensure!(self.se_reduction >= 0, "`se_reduction` {} must not be negative", self.se_reduction);
        let odd = |&k: &i64| k > 0 && k % 2 == 1;
        ensure!(
            !self.kernels.is_empty() && self.kernels.iter().all(odd),
            "`kernels` {:?} must be odd sizes, one a convolution",
            self.kernels
        );
        ensure!(
            self.block == BlockKind::Bottleneck || (self.cardinality == 1 && self.base_width == 0),
            "`cardinality` and `base_width` are for `block: bottleneck`"
        );
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

fn conv(in_channels: i64, out_channels: i64, kernel: i64) -> Conv {
    Conv::new(in_channels, out_channels, kernel).same().no_bias().init(Init::KaimingFanOut)
}

/// The convolutions of a block in order, without norms: basic by `kernels`, or a bottleneck.
fn block_convs(config: &Config, stage: usize, in_channels: i64, stride: i64) -> Vec<Conv> {
    let (inner, out) = (config.inner_channels(stage), config.out_channels(stage));
    match config.block {
        BlockKind::Basic => {
            let inputs = std::iter::once((in_channels, stride)).chain(std::iter::repeat((out, 1)));
            config.kernels.iter().zip(inputs).map(|(&k, (from, s))| conv(from, out, k).stride(s)).collect()
        }
        BlockKind::Bottleneck => vec![
            conv(in_channels, inner, 1),
            conv(inner, inner, 3).stride(stride).groups(config.cardinality),
            conv(inner, out, 1),
        ],
    }
}

/// The way round a block whose shape changes, or changes only in option C.
enum Bypass {
    Nothing,
    Identity,
    /// Option A.
    Padding(PaddedShortcut),
    /// Projection with its norm (post-activation nets).
    Projection(ConvNorm),
    /// Projection of the normed input (pre-activation nets).
    PreActProjection(Conv2d),
}

impl Bypass {
    fn new(path: &Path, config: &Config, in_channels: i64, out_channels: i64, stride: i64) -> Result<Self> {
        let same_shape = stride == 1 && in_channels == out_channels;
        Ok(match config.shortcut {
            Shortcut::None => Bypass::Nothing,
            Shortcut::A | Shortcut::B if same_shape => Bypass::Identity,
            Shortcut::A => Bypass::Padding(PaddedShortcut::new(in_channels, out_channels, stride)?),
            Shortcut::B | Shortcut::C => {
                let path = path / "downsample";
                let projection = conv(in_channels, out_channels, 1).stride(stride);
                match config.pre_activation {
                    true => Bypass::PreActProjection(Conv2d::new(&(path / 0), projection)?),
                    false => Bypass::Projection(ConvNorm::new(&(&path / 0), &(&path / 1), projection)?),
                }
            }
        })
    }

    /// What is added to the block's output; `x` is the block's input, `normed` the same after norm and ReLU.
    fn forward(&self, x: &Tensor, normed: &Tensor, train: bool) -> Result<Option<Tensor>> {
        Ok(match self {
            Bypass::Nothing => None,
            Bypass::Identity => Some(x.shallow_clone()),
            Bypass::Padding(padding) => Some(padding.forward(x, train)?),
            Bypass::Projection(projection) => Some(projection.forward(x, Activation::Identity, train)?),
            Bypass::PreActProjection(projection) => Some(projection.forward(normed, train)?),
        })
    }
}

/// The convolutions of a block with their norms.
enum Branch {
    /// Norm and ReLU after each convolution, the last ReLU after the addition.
    PostAct(Vec<ConvNorm>),
    /// Norm and ReLU before each convolution, nothing after the addition.
    PreAct(Vec<(NormAct, Conv2d)>),
}

/// A residual block: (N, in, H, W) to (N, out, H/stride, W/stride).
struct Block {
    branch: Branch,
    dropout: Dropout,
    se: Option<SqueezeExcite>,
    bypass: Bypass,
}

impl Block {
    fn new(path: &Path, config: &Config, stage: usize, in_channels: i64, stride: i64) -> Result<Self> {
        let out_channels = config.out_channels(stage);
        let convs = block_convs(config, stage, in_channels, stride).into_iter().zip(1..);
        let conv_path = |i: usize| path / format!("conv{i}");
        let norm_path = |i: usize| path / format!("bn{i}");
        let branch = match config.pre_activation {
            false => {
                let post = convs.map(|(conv, i)| ConvNorm::new(&conv_path(i), &norm_path(i), conv));
                Branch::PostAct(post.collect::<Result<_>>()?)
            }
            true => {
                let pre = convs.map(|(conv, i)| {
                    let norm = NormAct::new(&norm_path(i), conv.in_channels(), Activation::Relu)?;
                    Ok((norm, Conv2d::new(&conv_path(i), conv)?))
                });
                Branch::PreAct(pre.collect::<Result<_>>()?)
            }
        };
        let se = match config.se_reduction {
            0 => None,
            reduction => Some(SqueezeExcite::new(&(path / "se"), out_channels, reduction)?),
        };
        let bypass = Bypass::new(path, config, in_channels, out_channels, stride)?;
        Ok(Self { branch, dropout: Dropout::new(config.dropout)?, se, bypass })
    }

    fn post_act(&self, convs: &[ConvNorm], x: &Tensor, train: bool) -> Result<Tensor> {
        let residual = self.bypass.forward(x, x, train)?;
        let Some((last, first)) = convs.split_last() else { bail!("a block without convolutions") };
        let mut y = x.shallow_clone();
        for conv in first {
            y = self.dropout.forward(&conv.forward(&y, Activation::Relu, train)?, train)?;
        }
        match (&residual, &self.se) {
            (Some(residual), None) => last.forward_add(&y, residual, Activation::Relu, train),
            _ => {
                let y = last.forward(&y, Activation::Identity, train)?;
                Activation::Relu.forward(self.join(y, residual, train)?)
            }
        }
    }

    fn pre_act(&self, convs: &[(NormAct, Conv2d)], x: &Tensor, train: bool) -> Result<Tensor> {
        let Some(((norm, conv), rest)) = convs.split_first() else { bail!("a block without convolutions") };
        let normed = norm.forward(x, train)?;
        let residual = self.bypass.forward(x, &normed, train)?;
        let mut y = conv.forward(&normed, train)?;
        for (norm, conv) in rest {
            y = self.dropout.forward(&norm.forward(&y, train)?, train)?;
            y = conv.forward(&y, train)?;
        }
        self.join(y, residual, train)
    }

    /// Squeeze-excitation of the branch, then the addition.
    fn join(&self, mut y: Tensor, residual: Option<Tensor>, train: bool) -> Result<Tensor> {
        if let Some(se) = &self.se {
            y = se.forward(&y, train)?;
        }
        match residual {
            Some(residual) => Ok(y.f_add_(&residual)?),
            None => Ok(y),
        }
    }
}

impl Layer for Block {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        match &self.branch {
            Branch::PostAct(convs) => self.post_act(convs, x, train),
            Branch::PreAct(convs) => self.pre_act(convs, x, train),
        }
    }
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let stem = conv(config.in_chans, config.stem, 3).stride(config.stem_stride);
    let stem: Box<dyn Layer> = match config.pre_activation {
        true => Box::new(Conv2d::new(&(path / "conv1"), stem)?),
        false => Box::new(ConvNormAct::relu(ConvNorm::new(&(path / "conv1"), &(path / "bn1"), stem)?)),
    };
    let mut stages = vec![("stem", stem)];
    let mut channels = config.stem;
    for (stage, name) in ["layer1", "layer2", "layer3"].into_iter().enumerate() {
        let mut blocks: Vec<Box<dyn Layer>> = Vec::new();
        for i in 0..config.blocks()? {
            let stride = if i == 0 && stage > 0 { 2 } else { 1 };
            blocks.push(Box::new(Block::new(&(path / name / i), config, stage, channels, stride)?));
            channels = config.out_channels(stage);
        }
        // The last stage of a pre-activation net ends with norm and ReLU.
        if config.pre_activation && name == "layer3" {
            blocks.push(Box::new(NormAct::new(&(path / "norm"), channels, Activation::Relu)?));
        }
        stages.push((name, Box::new(Sequence(blocks))));
    }
    let fc = Linear::new(&(path / "fc"), channels, config.num_classes)?;
    Ok(Net::new(stages, Classifier::new(fc, 0.0)?))
}
