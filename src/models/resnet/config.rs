//! The fields of a residual net.

use super::keys::Keys;
use crate::nn::{Activation, Conv, ConvNorm, Init, NormAct, Path, Squeeze};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// The inner layers of a residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// Convolutions of one width, by the list `kernels`.
    Basic,
    /// 1×1 down, 3×3 (grouped when `cardinality` is above 1), 1×1 up to four times the planes.
    Bottleneck,
}

/// What goes around a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortcut {
    /// Nothing: a plain net.
    None,
    /// Identity; where the shape changes, every second pixel and zeros for the new channels (no parameters).
    A,
    /// Identity; a projection where the shape changes.
    B,
    /// A projection around every block.
    C,
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

/// What stands before the blocks and their pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StemKind {
    /// One 7×7 convolution.
    Single,
    /// Three 3×3 convolutions, the first two of half as many channels.
    Deep,
    /// The same with three quarters of that in the first.
    Tiered,
    /// One 3×3 convolution: images of 32 pixels.
    Cifar,
}

/// The 3×3 max pooling of stride 2 after the stem, by what it does at the borders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StemPool {
    /// No pooling.
    None,
    /// Places outside do not count.
    Padded,
    /// No padding; a last window that does not fit is cut off: SENet's authors.
    Ceil,
    /// Zeros outside, which may be above what they stand beside: BiT.
    Zeros,
}

/// A residual net.
///
/// What is left out of its YAML is no knob of a net: those on CIFAR have `num_layers` in place of `layers` and `depth`,
/// and no dropout before the classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// 0 is no classifier: the pooled features are the output.
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    pub block: BlockKind,
    /// Kernel sizes of a basic block: [3, 3] is Wide ResNet's B(3,3).
    pub kernels: Vec<i64>,
    /// Norm and ReLU before each convolution instead of after it.
    pub pre_activation: bool,
    /// Blocks of each stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<i64>,
    /// Multiplier of every stage's blocks, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<f64>,
    /// Layers in all, as the papers count them on CIFAR: for n blocks in each of three stages 6n+2 (6n+4 in Wide
    /// ResNet) or, with bottlenecks, 9n+2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_layers: Option<i64>,
    /// Planes of each stage; bottlenecks put out four times as many channels.
    pub planes: Vec<i64>,
    /// Multiplier of the planes.
    pub width: f64,
    /// Groups of the bottleneck's 3×3 convolution (ResNeXt's C).
    pub cardinality: i64,
    /// Channels of a bottleneck's group for every 64 planes (ResNeXt's d; 64k in Wide ResNet).
    pub base_width: i64,
    /// How many times narrower than the second a bottleneck's first convolution puts out.
    pub reduce_first: i64,
    /// Whether a bottleneck strides in its first 1×1 convolution instead of its 3×3.
    pub stride_first: bool,
    pub stem: StemKind,
    /// Channels that the stem puts out.
    pub stem_width: i64,
    /// Whether `width` leaves them alone.
    pub fix_stem: bool,
    /// Stride of the stem's first convolution.
    pub stem_stride: i64,
    pub stem_pool: StemPool,
    /// Pre-activation: norm and ReLU between the stem and its pooling, in place of the first block's before its first
    /// convolution: the first paper's order. timm pools what is not normed yet.
    pub norm_before_pool: bool,
    pub shortcut: Shortcut,
    /// Shortcuts halve the resolution by averaging, then project, instead of striding.
    pub avg_down: bool,
    /// Kernel of the projections that stride.
    pub down_kernel: i64,
    pub attention: AttentionKind,
    /// Whether the blocks of each stage have it.
    pub attention_stages: Vec<bool>,
    pub attention_place: AttentionPlace,
    /// ReLU at the end of the branch, before the attention there.
    pub relu_before_attention: bool,
    /// Reduction r of squeeze-excitation; 0 is none.
    pub se_reduction: i64,
    /// The channels it leaves are a multiple of it.
    pub se_divisor: i64,
    pub se_bias: bool,
    pub se_squeeze: Squeeze,
    /// The function of its gates.
    pub se_gate: Activation,
    /// Standardised weights and norms over 32 groups, as BiT has them.
    pub bit: bool,
    /// TensorFlow's SAME padding instead of the same number of zeros on both sides.
    pub tf_same: bool,
    /// Dropout between the convolutions of a block.
    pub block_dropout: f64,
    /// Dropout before the classifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Stochastic depth of the last block; it grows linearly from 0 at the first.
    pub drop_path: f64,
    /// The last norm of each branch starts at 0.
    pub zero_init_last: bool,
    /// Whose keys and initial values.
    pub keys: Keys,
}

impl Config {
    /// For ImageNet: the same for torchvision and timm.
    fn of(block: BlockKind, layers: [i64; 4]) -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            block,
            kernels: vec![3, 3],
            pre_activation: false,
            layers: layers.into(),
            depth: Some(1.0),
            num_layers: None,
            planes: vec![64, 128, 256, 512],
            width: 1.0,
            cardinality: 1,
            base_width: 64,
            reduce_first: 1,
            stride_first: false,
            stem: StemKind::Single,
            stem_width: 64,
            fix_stem: true,
            stem_stride: 2,
            stem_pool: StemPool::Padded,
            norm_before_pool: false,
            shortcut: Shortcut::B,
            avg_down: false,
            down_kernel: 1,
            attention: AttentionKind::None,
            attention_stages: vec![true; 4],
            attention_place: AttentionPlace::Standard,
            relu_before_attention: false,
            se_reduction: 16,
            se_divisor: 8,
            se_bias: true,
            se_squeeze: Squeeze::Average,
            se_gate: Activation::Sigmoid,
            bit: false,
            tf_same: false,
            block_dropout: 0.0,
            dropout: Some(0.0),
            drop_path: 0.0,
            zero_init_last: false,
            keys: Keys::Resnet,
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

    /// SENet-154 (1709.01507, section 6.4 of its appendix).
    pub fn senet154() -> Self {
        Self { reduce_first: 2, down_kernel: 3, ..Self::resnet152().groups(64, 4).s().with_se() }
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
        Self { stem: StemKind::Deep, ..self }
    }

    /// ResNet-D: the deep stem and averaging shortcuts.
    pub fn d(self) -> Self {
        Self { avg_down: true, ..self.c() }
    }

    /// The deep stem at twice the width.
    pub fn s(self) -> Self {
        Self { stem_width: 128, ..self.c() }
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

    pub fn with_se(self) -> Self {
        Self { attention: AttentionKind::SqueezeExcite, se_reduction: 16, ..self }
    }

    /// Squeeze-excitation of the paper's section 6: no biases.
    pub fn with_papers_se(self) -> Self {
        Self { se_divisor: 1, se_bias: false, ..self.with_se() }
    }

    pub fn with_eca(self) -> Self {
        Self { attention: AttentionKind::Efficient, ..self }
    }

    /// SENet as its authors' Caffe models were ported; timm calls these names `legacy_`.
    pub fn legacy(self) -> Self {
        Self {
            stem_pool: StemPool::Ceil,
            relu_before_attention: self.block == BlockKind::Basic,
            se_divisor: 1,
            dropout: Some(0.2),
            keys: Keys::Senet,
            ..self.with_se()
        }
    }

    /// Pre-activation as timm has it.
    pub fn v2(self) -> Self {
        Self { pre_activation: true, fix_stem: false, keys: Keys::Resnetv2, ..self }
    }

    /// Pre-activation as the first paper's authors train it.
    pub fn v2_published(self) -> Self {
        Self { norm_before_pool: true, ..self.v2() }
    }

    /// BiT of this width.
    pub fn bit(self, width: i64) -> Self {
        Self { bit: true, width: width as f64, stem_pool: StemPool::Zeros, ..self.v2() }
    }

    /// The residual net before a hybrid ViT (2010.11929, appendix B.1): BiT's weights and norms in ResNet's order.
    pub(in crate::models) fn hybrid(self) -> Self {
        Self { bit: true, tf_same: true, keys: Keys::Resnetv2, ..self }
    }

    /// With a stage for each of these numbers of blocks, each of twice the planes of the one before.
    pub(in crate::models) fn stages(self, layers: &[i64]) -> Self {
        Self {
            layers: layers.into(),
            planes: (0..layers.len()).map(|stage| 64 << stage).collect(),
            attention_stages: vec![true; layers.len()],
            ..self
        }
    }

    /// Costs stated at images of this size.
    pub(super) fn at(self, image_size: i64) -> Self {
        Self { image_size, ..self }
    }

    /// On CIFAR-10: three stages and 6n+2 layers, shortcuts A.
    pub fn cifar(num_layers: i64) -> Self {
        Self {
            num_classes: 10,
            image_size: 32,
            layers: Vec::new(),
            depth: None,
            num_layers: Some(num_layers),
            planes: vec![16, 32, 64],
            stem: StemKind::Cifar,
            stem_width: 16,
            stem_stride: 1,
            stem_pool: StemPool::None,
            shortcut: Shortcut::A,
            attention: AttentionKind::SqueezeExcite,
            attention_stages: vec![true; 3],
            se_reduction: 0,
            se_divisor: 1,
            dropout: None,
            keys: Keys::Cifar,
            ..Self::of(BlockKind::Basic, [0; 4])
        }
    }

    /// The same of bottlenecks: 9n+2 layers, projections where the shape changes.
    pub fn cifar_bottleneck(num_layers: i64) -> Self {
        Self { block: BlockKind::Bottleneck, shortcut: Shortcut::B, ..Self::cifar(num_layers) }
    }

    /// Pre-activation on CIFAR.
    pub fn preact(self) -> Self {
        Self { pre_activation: true, shortcut: Shortcut::B, ..self }
    }

    /// Wide ResNet WRN-layers-k, blocks B(3,3).
    pub fn wide_resnet(num_layers: i64, width: i64) -> Self {
        Self { width: width as f64, ..Self::cifar(num_layers).preact() }
    }

    /// ResNeXt-29 of C groups of d channels.
    pub fn resnext29(cardinality: i64, base_width: i64) -> Self {
        let net = Self::cifar_bottleneck(29).groups(cardinality, base_width);
        Self { stem_width: 64, planes: vec![64, 128, 256], ..net }
    }

    /// Blocks of each stage.
    pub(super) fn blocks(&self) -> Result<Vec<i64>> {
        let depth = self.depth.unwrap_or(1.0);
        let Some(num_layers) = self.num_layers else {
            return Ok(self.layers.iter().map(|&n| (n as f64 * depth).ceil() as i64).collect());
        };
        let stages = self.planes.len() as i64;
        // Of one block in every stage. Wide ResNet counts two of its projections, too.
        let (layers, rests, name) = match self.block {
            BlockKind::Basic => (2 * stages, [0, 2], format!("{0}n+2 or {0}n+4", 2 * stages)),
            BlockKind::Bottleneck => (3 * stages, [0, 0], format!("{}n+2", 3 * stages)),
        };
        ensure!(
            num_layers > layers && rests.contains(&((num_layers - 2) % layers)),
            "`num_layers` {num_layers} does not fit {name} layers"
        );
        Ok(vec![(num_layers - 2) / layers; self.planes.len()])
    }

    /// Planes of a stage after widening.
    pub(super) fn stage_planes(&self, stage: usize) -> i64 {
        (self.planes[stage] as f64 * self.width).round() as i64
    }

    /// Channels of a bottleneck's 3×3 convolution.
    pub(super) fn bottleneck_width(&self, stage: usize) -> i64 {
        self.stage_planes(stage) * self.base_width / 64 * self.cardinality
    }

    /// Channels that a stage puts out.
    pub(super) fn out_channels(&self, stage: usize) -> i64 {
        match self.block {
            BlockKind::Basic => self.stage_planes(stage),
            BlockKind::Bottleneck => 4 * self.stage_planes(stage),
        }
    }

    pub(super) fn stem_channels(&self) -> i64 {
        if self.fix_stem { self.stem_width } else { (self.stem_width as f64 * self.width).round() as i64 }
    }

    pub(super) fn conv(&self, in_channels: i64, out_channels: i64, kernel: i64) -> Conv {
        let conv = Conv::new(in_channels, out_channels, kernel).no_bias().init(Init::KaimingFanOut);
        let conv = if self.tf_same { conv.tf_same() } else { conv.same() };
        if self.bit { conv.standardise(1e-8) } else { conv }
    }

    /// Norm and ReLU.
    pub(super) fn norm_act(&self, path: &Path, channels: i64) -> Result<NormAct> {
        if self.bit {
            NormAct::group(path, 32, channels, Activation::Relu)
        } else {
            NormAct::new(path, channels, Activation::Relu)
        }
    }

    /// A convolution and its norm.
    pub(super) fn conv_norm(&self, conv_path: &Path, norm_path: &Path, conv: Conv) -> Result<ConvNorm> {
        if self.bit {
            ConvNorm::group(conv_path, norm_path, 32, conv)
        } else {
            ConvNorm::new(conv_path, norm_path, conv)
        }
    }

    /// The last convolution of a branch that starts as zero.
    pub(super) fn zero_norm(&self, conv_path: &Path, norm_path: &Path, conv: Conv) -> Result<ConvNorm> {
        if self.bit {
            ConvNorm::zero_group(conv_path, norm_path, 32, conv)
        } else {
            ConvNorm::zero_norm(conv_path, norm_path, conv)
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let stages = self.planes.len();
        let counted = self.num_layers.is_some() || self.layers.len() == stages;
        ensure!(
            counted && self.attention_stages.len() == stages,
            "`layers`, `planes` and `attention_stages` must have a value a stage"
        );
        ensure!(self.layers.iter().all(|&n| n > 0), "`layers` {:?} must be positive", self.layers);
        ensure!(self.planes.iter().all(|&n| n > 0), "`planes` {:?} must be positive", self.planes);
        ensure!(self.depth.is_none_or(positive), "`depth` {:?} must be positive", self.depth.unwrap_or(1.0));
        ensure!(positive(self.width), "`width` {} must be positive", self.width);
        ensure!(self.stem_width > 0, "`stem_width` {} must be positive", self.stem_width);
        ensure!(self.se_reduction >= 0, "`se_reduction` {} must not be negative", self.se_reduction);
        ensure!(self.se_divisor > 0, "`se_divisor` {} must be positive", self.se_divisor);
        ensure!(self.reduce_first > 0, "`reduce_first` {} must be positive", self.reduce_first);
        let odd = |&k: &i64| k > 0 && k % 2 == 1;
        ensure!(
            !self.kernels.is_empty() && self.kernels.iter().all(odd),
            "`kernels` {:?} must be odd sizes, one a convolution",
            self.kernels
        );
        ensure!(odd(&self.down_kernel), "`down_kernel` {} must be odd", self.down_kernel);
        ensure!(
            self.block == BlockKind::Bottleneck || (self.cardinality == 1 && self.base_width == 64),
            "`cardinality` and `base_width` are for `block: bottleneck`"
        );
        ensure!(
            self.block == BlockKind::Bottleneck || self.attention_place != AttentionPlace::Spatial,
            "`attention_place: spatial` is for `block: bottleneck`"
        );
        ensure!(
            self.shortcut != Shortcut::None || self.attention_place != AttentionPlace::Identity,
            "`attention_place: identity` needs a shortcut"
        );
        ensure!(
            self.pre_activation || !self.norm_before_pool,
            "`norm_before_pool` is for `pre_activation: true`"
        );
        Ok(())
    }
}
