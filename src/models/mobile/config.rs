//! The fields of a mobile net, and what they make of its channels, blocks and convolutions.

use super::names::Layout;
use super::table::{self, Row};
use crate::models::Library;
use crate::nn::{Activation, AntiAlias, BatchNorm2d, Conv, ConvNorm, Init, Path, make_divisible};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// Where the last 1×1 convolution is, and what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// There is none (MobileNetV1).
    None,
    /// Before the pooling, with norm (V2, EfficientNet).
    BeforePool,
    /// After the pooling, with bias (V3).
    AfterPool,
    /// After the pooling, without bias (V3 of timm's first port).
    AfterPoolNoBias,
    /// After the pooling, with norm (V4).
    AfterPoolNorm,
}

/// How the width multiplier acts on the last 1×1 convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadWidth {
    /// As on all channels.
    Scaled,
    /// It widens, but does not narrow.
    Widened,
    /// Not.
    Fixed,
}

/// What an expansion factor multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expansion {
    /// The block's input channels, which `width` has scaled.
    Input,
    /// Those of the table, and `width` scales the product (torchvision's V3).
    Table,
}

/// What squeeze-excitation keeps its share of, and its functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Squeeze {
    /// Of the block's input; the block's activation, sigmoid (EfficientNet).
    Input,
    /// Of the expanded channels; the block's activation, hard sigmoid (V3 of timm's first port).
    Expanded,
    /// Of the expanded channels, to a multiple of `divisor`; ReLU, hard sigmoid (V3).
    ExpandedDivisible,
}

/// How the weights of convolutions start: N(0, 2/fan_out).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConvInit {
    /// With the fan of all groups, as PyTorch counts it.
    FanOut,
    /// With the fan of one group, as TensorFlow does.
    FanOutOfGroup,
}

/// How the weights of the classifier start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassifierInit {
    /// N(0, 0.01²) (torchvision's MobileNets).
    Normal,
    /// U(±1/√classes) (EfficientNet).
    Uniform,
    /// U(±√(3/classes)) (torchvision's MNASNet).
    KaimingUniform,
}

/// A mobile net.
///
/// What is built is `depth` · α^φ deep, `width` · β^φ wide, and its costs are stated at `image_size` · γ^φ pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Classes to tell apart.
    pub num_classes: i64,
    /// Channels of the images.
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated, at φ = 0.
    pub image_size: i64,
    /// Channels of the first convolution, before `width`.
    pub stem_width: i64,
    /// Whether `width` leaves them alone.
    pub fix_stem: bool,
    /// The blocks, a line a stage: `ir x2 k3 s2 e6 c24 se0.25` is two inverted residuals of kernel 3, the first at
    /// stride 2, that expand six times, to 24 channels, with squeeze-excitation of a quarter; commas part kinds.
    #[serde(deserialize_with = "table::lines")]
    pub stages: Vec<String>,
    /// Where the last 1×1 convolution is.
    pub head: Head,
    /// Its channels; 0 is four times the last stage's.
    pub head_channels: i64,
    /// How `width` acts on them.
    pub head_width: HeadWidth,
    /// Multiplier of channels.
    pub width: f64,
    /// Multiplier of every stage's blocks, rounded up.
    pub depth: f64,
    /// Whether `depth` leaves the first and the last stage alone.
    pub fix_ends: bool,
    /// Compound coefficient φ, which scales depth, width and resolution together.
    pub phi: f64,
    /// Depth at φ = 1.
    pub alpha: f64,
    /// Width at φ = 1.
    pub beta: f64,
    /// Resolution at φ = 1.
    pub gamma: f64,
    /// Channels are multiples of it.
    pub divisor: i64,
    /// The share that channels keep at least when they are rounded to a multiple; 0 is the nearest multiple.
    pub round_limit: f64,
    /// What a block's expansion factor multiplies.
    pub expansion_base: Expansion,
    /// After every convolution that has one, but where the table says `relu`.
    pub activation: Activation,
    /// What squeeze-excitation keeps its share of.
    pub squeeze: Squeeze,
    /// Multiplier of the experts of conditional convolutions.
    pub experts: i64,
    /// TensorFlow's SAME padding instead of as many zeros on both sides.
    pub tf_same: bool,
    /// Added to the variance in every batch norm.
    pub bn_eps: f64,
    /// Weight of a new batch in the running statistics.
    pub bn_momentum: f64,
    /// The filter that takes over the strides of blocks.
    pub anti_alias: Option<AntiAlias>,
    /// Initial layer scale of `uir` and `mqa` blocks.
    pub layer_scale: Option<f64>,
    /// Dropout before the classifier.
    pub dropout: f64,
    /// Probability of stochastic depth at the end; it grows from 0 with the depth.
    pub drop_path: f64,
    /// How the weights of convolutions start.
    pub conv_init: ConvInit,
    /// How those of the classifier start.
    pub classifier_init: ClassifierInit,
    /// Whose keys.
    pub keys: Library,
    /// The file of torchvision whose numbers `keys: torchvision` takes; none where torchvision has no such net.
    pub layout: Option<Layout>,
}

impl Config {
    /// MobileNetV2's rules around these stages, as timm has them.
    pub(super) fn new<S: Into<String>>(stages: impl IntoIterator<Item = S>) -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            stem_width: 32,
            fix_stem: false,
            stages: stages.into_iter().map(Into::into).collect(),
            head: Head::BeforePool,
            head_channels: 1280,
            head_width: HeadWidth::Widened,
            width: 1.0,
            depth: 1.0,
            fix_ends: false,
            phi: 0.0,
            alpha: 1.2,
            beta: 1.1,
            gamma: 1.15,
            divisor: 8,
            round_limit: 0.9,
            expansion_base: Expansion::Input,
            activation: Activation::Relu6,
            squeeze: Squeeze::Input,
            experts: 1,
            tf_same: false,
            bn_eps: 1e-5,
            bn_momentum: 0.1,
            anti_alias: None,
            layer_scale: None,
            dropout: 0.0,
            drop_path: 0.0,
            conv_init: ConvInit::FanOutOfGroup,
            classifier_init: ClassifierInit::Uniform,
            keys: Library::Timm,
            layout: None,
        }
    }

    /// torchvision's keys and initial values.
    pub fn torchvision(self) -> Self {
        Self { keys: Library::Torchvision, conv_init: ConvInit::FanOut, ..self }
    }

    /// As TensorFlow's weights need it: SAME padding and eps 1e-3.
    pub fn tf(self) -> Self {
        Self { tf_same: true, bn_eps: 1e-3, ..self }
    }

    pub fn width(self, width: f64) -> Self {
        Self { width, ..self }
    }

    pub fn depth(self, depth: f64) -> Self {
        Self { depth, ..self }
    }

    pub fn image(self, image_size: i64) -> Self {
        Self { image_size, ..self }
    }

    pub(super) fn channels(&self, channels: i64) -> i64 {
        let channels = channels as f64 * self.width * self.beta.powf(self.phi);
        make_divisible(channels, self.divisor, self.round_limit)
    }

    /// Channels of the last 1×1 convolution after a stage of `last`.
    pub(super) fn head_channels(&self, last: i64) -> i64 {
        match (self.head_channels, self.head_width) {
            (0, _) => 4 * last,
            (channels, HeadWidth::Scaled) => self.channels(channels),
            (channels, HeadWidth::Widened) => self.channels(channels).max(channels),
            (channels, HeadWidth::Fixed) => channels,
        }
    }

    /// Every block of every stage.
    pub(super) fn rows(&self) -> Result<Vec<Vec<Row>>> {
        let last = self.stages.len().saturating_sub(1);
        let deepened = |blocks: i64| (blocks as f64 * self.depth * self.alpha.powf(self.phi)).ceil() as i64;
        let rows = |(i, stage): (usize, &String)| {
            if self.fix_ends && (i == 0 || i == last) {
                table::blocks(stage, |blocks| blocks)
            } else {
                table::blocks(stage, deepened)
            }
        };
        self.stages.iter().enumerate().map(rows).collect()
    }

    pub(super) fn validate(&self) -> Result<()> {
        let positive = [
            ("width", self.width),
            ("depth", self.depth),
            ("alpha", self.alpha),
            ("beta", self.beta),
            ("gamma", self.gamma),
        ];
        for (name, value) in positive {
            ensure!(value > 0.0 && value.is_finite(), "`{name}` {value} must be positive");
        }
        ensure!(self.phi.is_finite(), "`phi` {} must be a number", self.phi);
        ensure!(self.divisor > 0, "`divisor` {} must be positive", self.divisor);
        ensure!(
            (0.0..=1.0).contains(&self.round_limit),
            "`round_limit` {} is not in [0, 1]",
            self.round_limit
        );
        ensure!(self.head_channels >= 0, "`head_channels` {} must not be negative", self.head_channels);
        ensure!(self.experts > 0, "`experts` {} must be positive", self.experts);
        ensure!(!self.stages.is_empty(), "`stages` is empty");
        Ok(())
    }

    /// The file of torchvision whose keys are asked for, if they are.
    pub(super) fn torchvision_layout(&self) -> Result<Option<Layout>> {
        match self.keys {
            Library::Timm => Ok(None),
            Library::Torchvision => {
                self.layout.map(Some).context("torchvision has no such net: `keys: timm` has, or a `layout`")
            }
        }
    }

    /// The padding that keeps the size at stride 1.
    pub(super) fn padded(&self, conv: Conv) -> Conv {
        if self.tf_same { conv.tf_same() } else { conv.same() }
    }

    pub(super) fn norm(&self, path: &Path, channels: i64) -> Result<BatchNorm2d> {
        Ok(BatchNorm2d::new(path, channels)?.eps(self.bn_eps).momentum(Some(self.bn_momentum)))
    }

    pub(super) fn conv_norm(&self, [conv_path, norm_path]: [Path; 2], conv: Conv) -> Result<ConvNorm> {
        let conv = match self.conv_init {
            ConvInit::FanOut => conv.init(Init::KaimingFanOut),
            ConvInit::FanOutOfGroup => conv.init_fan_out_of_group(),
        };
        let conv = ConvNorm::new(&conv_path, &norm_path, self.padded(conv))?;
        Ok(conv.eps(self.bn_eps).momentum(self.bn_momentum))
    }
}
