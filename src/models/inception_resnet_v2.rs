//! Inception-ResNet v2 (1602.07261, section 3.2) as in timm.
//!
//! Keys as timm's: `conv2d_1a.conv`, `conv2d_1a.bn`, …, `mixed_5b.branch1.0.conv`, …, `repeat.0.branch0.conv`,
//! `repeat.0.conv2d`, …, `classif`.

use super::inception_v3::{along, basic_conv};
use super::inception_v4::{average_branch, branch, halve};
use super::net::Net;
use super::{Entry, Model};
use crate::nn::{Activation, Classifier, Concat, Conv, Conv2d, Layer, Linear, Path, Sequence, Store};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// A stem and three kinds of residual Inception modules with reductions between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Modules at 35×35, 17×17 and 8×8, the last of which has no ReLU at its end.
    pub modules: [i64; 3],
    /// Factors that scale their branches before the addition; the last module's is not scaled.
    pub scales: [f64; 3],
    /// Dropout before the classifier.
    pub dropout: f64,
}

impl Config {
    pub fn inception_resnet_v2() -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 299,
            modules: [10, 20, 10],
            scales: [0.17, 0.10, 0.20],
            dropout: 0.0,
        }
    }
}

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        ensure!(self.modules.iter().all(|&n| n > 0), "`modules` {:?} must be positive", self.modules);
        Ok(Box::new(network(&store.root(), self)?))
    }
}

/// Branches, a 1×1 convolution back to the channels of the input, and the scaled sum with it.
struct Residual {
    branches: Concat,
    conv2d: Conv2d,
    scale: f64,
    activation: Activation,
}

impl Layer for Residual {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.conv2d.forward(&self.branches.forward(x, train)?, train)?;
        self.activation.forward(y.f_mul_scalar(self.scale)?.f_add(x)?)
    }
}

/// Figure 16 of the paper.
fn block35(path: &Path, scale: f64) -> Result<Box<dyn Layer>> {
    let branches = Concat::new(vec![
        vec![basic_conv(&(path / "branch0"), Conv::new(320, 32, 1))?],
        branch(&(path / "branch1"), vec![Conv::new(320, 32, 1), Conv::new(32, 32, 3).same()])?,
        branch(
            &(path / "branch2"),
            vec![Conv::new(320, 32, 1), Conv::new(32, 48, 3).same(), Conv::new(48, 64, 3).same()],
        )?,
    ]);
    let conv2d = Conv2d::new(&(path / "conv2d"), Conv::new(128, 320, 1))?;
    Ok(Box::new(Residual { branches, conv2d, scale, activation: Activation::Relu }))
}

/// Figure 17.
fn block17(path: &Path, scale: f64) -> Result<Box<dyn Layer>> {
    let branches = Concat::new(vec![
        vec![basic_conv(&(path / "branch0"), Conv::new(1088, 192, 1))?],
        branch(
            &(path / "branch1"),
            vec![Conv::new(1088, 128, 1), along(128, 160, [1, 7]), along(160, 192, [7, 1])],
        )?,
    ]);
    let conv2d = Conv2d::new(&(path / "conv2d"), Conv::new(384, 1088, 1))?;
    Ok(Box::new(Residual { branches, conv2d, scale, activation: Activation::Relu }))
}

/// Figure 19.
fn block8(path: &Path, scale: f64, activation: Activation) -> Result<Box<dyn Layer>> {
    let branches = Concat::new(vec![
        vec![basic_conv(&(path / "branch0"), Conv::new(2080, 192, 1))?],
        branch(
            &(path / "branch1"),
            vec![Conv::new(2080, 192, 1), along(192, 224, [1, 3]), along(224, 256, [3, 1])],
        )?,
    ]);
    let conv2d = Conv2d::new(&(path / "conv2d"), Conv::new(448, 2080, 1))?;
    Ok(Box::new(Residual { branches, conv2d, scale, activation }))
}

fn mixed_5b(path: &Path) -> Result<Box<dyn Layer>> {
    Ok(Box::new(Concat::new(vec![
        vec![basic_conv(&(path / "branch0"), Conv::new(192, 96, 1))?],
        branch(&(path / "branch1"), vec![Conv::new(192, 48, 1), Conv::new(48, 64, 5).same()])?,
        branch(
            &(path / "branch2"),
            vec![Conv::new(192, 64, 1), Conv::new(64, 96, 3).same(), Conv::new(96, 96, 3).same()],
        )?,
        average_branch(&(path / "branch3"), 192, 64)?,
    ])))
}

fn mixed_6a(path: &Path) -> Result<Box<dyn Layer>> {
    Ok(Box::new(Concat::new(vec![
        vec![basic_conv(&(path / "branch0"), Conv::new(320, 384, 3).stride(2))?],
        branch(
            &(path / "branch1"),
            vec![Conv::new(320, 256, 1), Conv::new(256, 256, 3).same(), Conv::new(256, 384, 3).stride(2)],
        )?,
        vec![halve()],
    ])))
}

fn mixed_7a(path: &Path) -> Result<Box<dyn Layer>> {
    let reduce = || Conv::new(1088, 256, 1);
    Ok(Box::new(Concat::new(vec![
        branch(&(path / "branch0"), vec![reduce(), Conv::new(256, 384, 3).stride(2)])?,
        branch(&(path / "branch1"), vec![reduce(), Conv::new(256, 288, 3).stride(2)])?,
        branch(
            &(path / "branch2"),
            vec![reduce(), Conv::new(256, 288, 3).same(), Conv::new(288, 320, 3).stride(2)],
        )?,
        vec![halve()],
    ])))
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let conv =
        |name: &'static str, spec: Conv| Ok::<_, anyhow::Error>((name, basic_conv(&(path / name), spec)?));
    let repeat = |name: &'static str, count: i64, block: &dyn Fn(&Path) -> Result<Box<dyn Layer>>| {
        let blocks = (0..count).map(|i| block(&(path / name / i))).collect::<Result<_>>()?;
        Ok::<(_, Box<dyn Layer>), anyhow::Error>((name, Box::new(Sequence(blocks))))
    };
    let ([n35, n17, n8], [s35, s17, s8]) = (config.modules, config.scales);
    let stages = vec![
        conv("conv2d_1a", Conv::new(config.in_chans, 32, 3).stride(2))?,
        conv("conv2d_2a", Conv::new(32, 32, 3))?,
        conv("conv2d_2b", Conv::new(32, 64, 3).same())?,
        ("maxpool_3a", halve()),
        conv("conv2d_3b", Conv::new(64, 80, 1))?,
        conv("conv2d_4a", Conv::new(80, 192, 3))?,
        ("maxpool_5a", halve()),
        ("mixed_5b", mixed_5b(&(path / "mixed_5b"))?),
        repeat("repeat", n35, &|p| block35(p, s35))?,
        ("mixed_6a", mixed_6a(&(path / "mixed_6a"))?),
        repeat("repeat_1", n17, &|p| block17(p, s17))?,
        ("mixed_7a", mixed_7a(&(path / "mixed_7a"))?),
        repeat("repeat_2", n8 - 1, &|p| block8(p, s8, Activation::Relu))?,
        ("block8", block8(&(path / "block8"), 1.0, Activation::Identity)?),
        conv("conv2d_7b", Conv::new(2080, 1536, 1))?,
    ];
    let linear = Linear::new(&(path / "classif"), 1536, config.num_classes)?;
    Ok(Net::new(stages, Classifier::new(linear, config.dropout)?))
}

/// timm's net.
pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::new("timm/inception_resnet_v2".into(), "Inception", Config::inception_resnet_v2())]
}
