//! RegNetX and RegNetY (2003.13678) as in torchvision.
//!
//! Keys as torchvision's: `stem.0`, `trunk_output.block1.block1-0.proj.0`, `trunk_output.block1.block1-0.f.a.0`, …,
//! `fc`.

use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    Activation, Classifier, Conv, ConvNorm, ConvNormAct, Init, Layer, Linear, Path, Sequence, SqueezeExcite,
    Store, make_divisible,
};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Widths are multiples of this.
const QUANTUM: f64 = 8.0;

/// A net whose block widths grow linearly, rounded to powers of one factor, which gives the stages (section 3.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Channels of the stem.
    pub stem_width: i64,
    /// Total number of blocks (d).
    pub num_blocks: i64,
    /// Width of the first block (w_0).
    pub initial_width: i64,
    /// By how much each block is wider than the one before (w_a), before rounding.
    pub slope: f64,
    /// Factor from one stage's width to the next (w_m).
    pub multiplier: f64,
    /// Channels of a group of the 3×3 convolutions (g).
    pub group_width: i64,
    /// Inner channels of a block per output channel (1/b).
    pub bottleneck_multiplier: f64,
    /// Channels in squeeze-excitation per input channel of the block; 0 for none (RegNetX).
    pub se_ratio: f64,
    /// Dropout before the classifier.
    pub dropout: f64,
}

impl Config {
    /// RegNetX-400MF: the values that all nets share, and those of the smallest.
    pub fn regnet_x_400mf() -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            stem_width: 32,
            num_blocks: 22,
            initial_width: 24,
            slope: 24.48,
            multiplier: 2.54,
            group_width: 16,
            bottleneck_multiplier: 1.0,
            se_ratio: 0.0,
            dropout: 0.0,
        }
    }

    pub fn regnet_x_800mf() -> Self {
        Self {
            num_blocks: 16,
            initial_width: 56,
            slope: 35.73,
            multiplier: 2.28,
            group_width: 16,
            ..Self::regnet_x_400mf()
        }
    }

    pub fn regnet_x_1_6gf() -> Self {
        Self {
            num_blocks: 18,
            initial_width: 80,
            slope: 34.01,
            multiplier: 2.25,
            group_width: 24,
            ..Self::regnet_x_400mf()
        }
    }

    pub fn regnet_x_3_2gf() -> Self {
        Self {
            num_blocks: 25,
            initial_width: 88,
            slope: 26.31,
            multiplier: 2.25,
            group_width: 48,
            ..Self::regnet_x_400mf()
        }
    }

    pub fn regnet_x_8gf() -> Self {
        Self {
            num_blocks: 23,
            initial_width: 80,
            slope: 49.56,
            multiplier: 2.88,
            group_width: 120,
            ..Self::regnet_x_400mf()
        }
    }

    pub fn regnet_x_16gf() -> Self {
        Self {
            num_blocks: 22,
            initial_width: 216,
            slope: 55.59,
            multiplier: 2.1,
            group_width: 128,
            ..Self::regnet_x_400mf()
        }
    }

    pub fn regnet_x_32gf() -> Self {
        Self {
            num_blocks: 23,
            initial_width: 320,
            slope: 69.86,
            multiplier: 2.0,
            group_width: 168,
            ..Self::regnet_x_400mf()
        }
    }

    /// With squeeze-excitation in every block.
    fn y() -> Self {
        Self { se_ratio: 0.25, ..Self::regnet_x_400mf() }
    }

    pub fn regnet_y_400mf() -> Self {
        Self {
            num_blocks: 16,
            initial_width: 48,
            slope: 27.89,
            multiplier: 2.09,
            group_width: 8,
            ..Self::y()
        }
    }

    pub fn regnet_y_800mf() -> Self {
        Self {
            num_blocks: 14,
            initial_width: 56,
            slope: 38.84,
            multiplier: 2.4,
            group_width: 16,
            ..Self::y()
        }
    }

    pub fn regnet_y_1_6gf() -> Self {
        Self {
            num_blocks: 27,
            initial_width: 48,
            slope: 20.71,
            multiplier: 2.65,
            group_width: 24,
            ..Self::y()
        }
    }

    pub fn regnet_y_3_2gf() -> Self {
        Self {
            num_blocks: 21,
            initial_width: 80,
            slope: 42.63,
            multiplier: 2.66,
            group_width: 24,
            ..Self::y()
        }
    }

    pub fn regnet_y_8gf() -> Self {
        Self {
            num_blocks: 17,
            initial_width: 192,
            slope: 76.82,
            multiplier: 2.19,
            group_width: 56,
            ..Self::y()
        }
    }

    pub fn regnet_y_16gf() -> Self {
        Self {
            num_blocks: 18,
            initial_width: 200,
            slope: 106.23,
            multiplier: 2.48,
            group_width: 112,
            ..Self::y()
        }
    }

    pub fn regnet_y_32gf() -> Self {
        Self {
            num_blocks: 20,
            initial_width: 232,
            slope: 115.89,
            multiplier: 2.53,
            group_width: 232,
            ..Self::y()
        }
    }

    pub fn regnet_y_128gf() -> Self {
        Self {
            image_size: 384,
            num_blocks: 27,
            initial_width: 456,
            slope: 160.83,
            multiplier: 2.52,
            group_width: 264,
            ..Self::y()
        }
    }

    /// Width of every block: linear, rounded to powers of `multiplier` (equations 2 to 4).
    fn block_widths(&self) -> impl Iterator<Item = i64> {
        let (first, slope, multiplier) = (self.initial_width as f64, self.slope, self.multiplier);
        (0..self.num_blocks).map(move |block| {
            let steps = ((first + slope * block as f64) / first).ln() / multiplier.ln();
            let width = first * multiplier.powf(steps.round_ties_even());
            ((width / QUANTUM).round_ties_even() * QUANTUM) as i64
        })
    }

    /// Runs of blocks of equal width.
    fn stages(&self) -> Vec<Stage> {
        let mut stages: Vec<Stage> = Vec::new();
        for width in self.block_widths() {
            match stages.last_mut() {
                Some(stage) if stage.width == width => stage.blocks += 1,
                _ => stages.push(Stage { width, blocks: 1 }),
            }
        }
        stages
    }

    /// Inner channels, groups and output channels of a stage's blocks, with the width in whole groups.
    fn shape(&self, width: i64) -> Shape {
        let inner = (width as f64 * self.bottleneck_multiplier) as i64;
        let group_width = self.group_width.min(inner);
        let inner = make_divisible(inner as f64, group_width, 0.9);
        Shape {
            inner,
            groups: inner / group_width.max(1),
            out: (inner as f64 / self.bottleneck_multiplier) as i64,
        }
    }

    fn validate(&self) -> Result<()> {
        let Self { num_blocks, initial_width, group_width, slope, multiplier, .. } = *self;
        let bottleneck = self.bottleneck_multiplier;
        ensure!(num_blocks > 0, "`num_blocks` {num_blocks} must be positive");
        ensure!(group_width > 0, "`group_width` {group_width} must be positive");
        ensure!(
            initial_width > 0 && initial_width % 8 == 0,
            "`initial_width` {initial_width} must be a positive multiple of 8"
        );
        ensure!(slope >= 0.0 && slope.is_finite(), "`slope` {slope} must not be negative");
        ensure!(multiplier > 1.0 && multiplier.is_finite(), "`multiplier` {multiplier} must be above 1");
        ensure!(
            bottleneck > 0.0 && bottleneck.is_finite(),
            "`bottleneck_multiplier` {bottleneck} must be positive"
        );
        Ok(())
    }
}

impl super::Config for Config {
    fn renamed() -> &'static [(&'static str, &'static str)] {
        &[
            ("stem", "stem_width"),
            ("depth", "num_blocks"),
            ("bottleneck", "bottleneck_multiplier"),
            ("squeeze", "se_ratio"),
        ]
    }

    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        self.validate()?;
        Ok(Box::new(network(&store.root(), self)?))
    }
}

/// Blocks of one width, before it is rounded to whole groups.
struct Stage {
    width: i64,
    blocks: i64,
}

/// Channels of a block.
#[derive(Clone, Copy)]
struct Shape {
    inner: i64,
    groups: i64,
    out: i64,
}

/// Convolution and norm at `path.0` and `path.1`.
fn conv_norm(path: &Path, conv: Conv) -> Result<ConvNorm> {
    ConvNorm::new(&(path / 0), &(path / 1), conv.init(Init::KaimingFanOut))
}

/// The residual bottleneck (the paper's X and Y blocks): (N, from, H, W) to (N, out, H/stride, W/stride).
struct Block {
    proj: Option<ConvNorm>,
    a: ConvNorm,
    b: ConvNorm,
    se: Option<SqueezeExcite>,
    c: ConvNorm,
}

impl Block {
    fn new(path: &Path, config: &Config, from: i64, shape: Shape, stride: i64) -> Result<Self> {
        let Shape { inner, groups, out } = shape;
        let proj = if from != out || stride != 1 {
            Some(conv_norm(&(path / "proj"), Conv::new(from, out, 1).stride(stride))?)
        } else {
            None
        };
        let f = path / "f";
        let b = Conv::new(inner, inner, 3).same().stride(stride).groups(groups);
        Ok(Self {
            proj,
            a: conv_norm(&(&f / "a"), Conv::new(from, inner, 1))?,
            b: conv_norm(&(&f / "b"), b)?,
            se: squeeze_excite(&(&f / "se"), config, from, inner)?,
            c: conv_norm(&(&f / "c"), Conv::new(inner, out, 1))?,
        })
    }
}

/// Squeeze-excitation of the inner channels, reduced to a share of the block's input channels.
fn squeeze_excite(path: &Path, config: &Config, from: i64, inner: i64) -> Result<Option<SqueezeExcite>> {
    if config.se_ratio == 0.0 {
        return Ok(None);
    }
    let squeezed = (config.se_ratio * from as f64).round_ties_even() as i64;
    Ok(Some(SqueezeExcite::squeezed(path, inner, squeezed, Init::KaimingFanOut)?))
}

impl Layer for Block {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = self.a.forward(x, Activation::Relu, train)?;
        y = self.b.forward(&y, Activation::Relu, train)?;
        if let Some(se) = &self.se {
            y = se.forward(&y, train)?;
        }
        let shortcut = match &self.proj {
            Some(proj) => proj.forward(x, Activation::Identity, train)?,
            None => x.shallow_clone(),
        };
        self.c.forward_add(&y, &shortcut, Activation::Relu, train)
    }
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let stem = Conv::new(config.in_chans, config.stem_width, 3).same().stride(2);
    let stem = ConvNormAct::relu(conv_norm(&(path / "stem"), stem)?);
    let mut stages: Vec<(String, Box<dyn Layer>)> = vec![("stem".into(), Box::new(stem))];
    let (trunk, mut channels) = (path / "trunk_output", config.stem_width);
    for (stage, number) in config.stages().iter().zip(1..) {
        let (name, shape) = (format!("block{number}"), config.shape(stage.width));
        let mut blocks: Vec<Box<dyn Layer>> = Vec::new();
        for i in 0..stage.blocks {
            let (path, stride) = (&trunk / &name / format!("{name}-{i}"), if i == 0 { 2 } else { 1 });
            blocks.push(Box::new(Block::new(&path, config, channels, shape, stride)?));
            channels = shape.out;
        }
        stages.push((name, Box::new(Sequence(blocks))));
    }
    let fc = || Linear::init(&(path / "fc"), channels, config.num_classes, Init::Normal(0.01));
    Ok(Net::new(stages, Classifier::new(config.num_classes, config.dropout, fc)?))
}

/// torchvision's nets.
pub(super) fn entries() -> Vec<Entry> {
    use Config as C;
    let nets = [
        ("regnet_y_400mf", C::regnet_y_400mf()),
        ("regnet_y_800mf", C::regnet_y_800mf()),
        ("regnet_y_1_6gf", C::regnet_y_1_6gf()),
        ("regnet_y_3_2gf", C::regnet_y_3_2gf()),
        ("regnet_y_8gf", C::regnet_y_8gf()),
        ("regnet_y_16gf", C::regnet_y_16gf()),
        ("regnet_y_32gf", C::regnet_y_32gf()),
        ("regnet_y_128gf", C::regnet_y_128gf()),
        ("regnet_x_400mf", C::regnet_x_400mf()),
        ("regnet_x_800mf", C::regnet_x_800mf()),
        ("regnet_x_1_6gf", C::regnet_x_1_6gf()),
        ("regnet_x_3_2gf", C::regnet_x_3_2gf()),
        ("regnet_x_8gf", C::regnet_x_8gf()),
        ("regnet_x_16gf", C::regnet_x_16gf()),
        ("regnet_x_32gf", C::regnet_x_32gf()),
    ];
    nets.map(|(name, config)| Entry::new(format!("torchvision/{name}"), "RegNet", config)).into()
}
