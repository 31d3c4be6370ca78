//! The fields of a residual net for ImageNet.

use crate::models::residual::{BlockKind, Shortcut};
use crate::nn::{Activation, Squeeze};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

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
    pub(super) fn at(self, image_size: i64) -> Self {
        Self { image_size, ..self }
    }

    /// Blocks of a stage.
    pub(super) fn blocks(&self, stage: usize) -> i64 {
        (self.layers[stage] as f64 * self.depth).ceil() as i64
    }

    pub(super) fn stage_planes(&self, stage: usize) -> i64 {
        (self.planes[stage] as f64 * self.width).round() as i64
    }

    pub(super) fn out_channels(&self, stage: usize) -> i64 {
        match self.block {
            BlockKind::Basic => self.stage_planes(stage),
            BlockKind::Bottleneck => 4 * self.stage_planes(stage),
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
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
