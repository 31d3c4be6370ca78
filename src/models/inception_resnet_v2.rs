//! Inception-ResNet v2 (1602.07261, section 3.2) as in timm.
//!
//! Keys as timm's: `conv2d_1a.conv`, `conv2d_1a.bn`, …, `mixed_5b.branch1.0.conv`, …, `repeat.0.branch0.conv`,
//! `repeat.0.conv2d`, …, `classif`; with squeeze-excitation `mixed_5b.se.fc1`, `repeat.0.se.fc1`, ….

use super::inception_v3::{along, basic_conv, excited};
use super::inception_v4::{average_branch, branch, halve};
use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    Activation, Classifier, Concat, Conv, Conv2d, Layer, Linear, Path, Sequence, SqueezeExcite, Store,
};
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
    /// Reduction r of squeeze-excitation after every module, in residual ones of the branch before the addition
    /// (1709.01507, section 3.3); 0 for none.
    pub se_reduction: i64,
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
            se_reduction: 0,
            dropout: 0.0,
        }
    }

    /// With squeeze-excitation of reduction 16 (1709.01507, Table 2).
    fn with_se(self) -> Self {
        Self { se_reduction: 16, ..self }
    }
}

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        ensure!(self.modules.iter().all(|&n| n > 0), "`modules` {:?} must be positive", self.modules);
        ensure!(self.se_reduction >= 0, "`se_reduction` {} must not be negative", self.se_reduction);
        Ok(Box::new(network(&store.root(), self)?))
    }
}

/// Branches, a 1×1 convolution back to the channels of the input, squeeze-excitation, and the scaled sum with the input.
struct Residual {
    branches: Concat,
    conv2d: Conv2d,
    se: Option<SqueezeExcite>,
    scale: f64,
    activation: Activation,
}

/// What the residual modules of one size share.
#[derive(Clone, Copy)]
struct Branch {
    se_reduction: i64,
    scale: f64,
    activation: Activation,
}

impl Residual {
    /// Around branches that put out `inner` channels of `channels`.
    fn new(path: &Path, branches: Concat, [channels, inner]: [i64; 2], branch: Branch) -> Result<Self> {
        let Branch { se_reduction, scale, activation } = branch;
        let conv2d = Conv2d::new(&(path / "conv2d"), Conv::new(inner, channels, 1))?;
        let se = (se_reduction > 0).then(|| SqueezeExcite::new(&(path / "se"), channels, se_reduction));
        Ok(Self { branches, conv2d, se: se.transpose()?, scale, activation })
    }
}

impl Layer for Residual {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = self.conv2d.forward(&self.branches.forward(x, train)?, train)?;
        if let Some(se) = &self.se {
            y = se.forward(&y, train)?;
        }
        self.activation.forward(y.f_mul_scalar(self.scale)?.f_add(x)?)
    }
}

/// Figure 16 of the paper.
fn block35(path: &Path, residual: Branch) -> Result<Box<dyn Layer>> {
    let branches = Concat::new(vec![
        vec![basic_conv(&(path / "branch0"), Conv::new(320, 32, 1))?],
        branch(&(path / "branch1"), vec![Conv::new(320, 32, 1), Conv::new(32, 32, 3).same()])?,
        branch(
            &(path / "branch2"),
            vec![Conv::new(320, 32, 1), Conv::new(32, 48, 3).same(), Conv::new(48, 64, 3).same()],
        )?,
    ]);
    Ok(Box::new(Residual::new(path, branches, [320, 128], residual)?))
}

/// Figure 17.
fn block17(path: &Path, residual: Branch) -> Result<Box<dyn Layer>> {
    let branches = Concat::new(vec![
        vec![basic_conv(&(path / "branch0"), Conv::new(1088, 192, 1))?],
        branch(
            &(path / "branch1"),
            vec![Conv::new(1088, 128, 1), along(128, 160, [1, 7]), along(160, 192, [7, 1])],
        )?,
    ]);
    Ok(Box::new(Residual::new(path, branches, [1088, 384], residual)?))
}

/// Figure 19.
fn block8(path: &Path, residual: Branch) -> Result<Box<dyn Layer>> {
    let branches = Concat::new(vec![
        vec![basic_conv(&(path / "branch0"), Conv::new(2080, 192, 1))?],
        branch(
            &(path / "branch1"),
            vec![Conv::new(2080, 192, 1), along(192, 224, [1, 3]), along(224, 256, [3, 1])],
        )?,
    ]);
    Ok(Box::new(Residual::new(path, branches, [2080, 448], residual)?))
}

fn mixed_5b(path: &Path, se_reduction: i64) -> Result<Box<dyn Layer>> {
    let branches = Concat::new(vec![
        vec![basic_conv(&(path / "branch0"), Conv::new(192, 96, 1))?],
        branch(&(path / "branch1"), vec![Conv::new(192, 48, 1), Conv::new(48, 64, 5).same()])?,
        branch(
            &(path / "branch2"),
            vec![Conv::new(192, 64, 1), Conv::new(64, 96, 3).same(), Conv::new(96, 96, 3).same()],
        )?,
        average_branch(&(path / "branch3"), 192, 64)?,
    ]);
    excited(path, branches, 320, se_reduction)
}

fn mixed_6a(path: &Path, se_reduction: i64) -> Result<Box<dyn Layer>> {
    let branches = Concat::new(vec![
        vec![basic_conv(&(path / "branch0"), Conv::new(320, 384, 3).stride(2))?],
        branch(
            &(path / "branch1"),
            vec![Conv::new(320, 256, 1), Conv::new(256, 256, 3).same(), Conv::new(256, 384, 3).stride(2)],
        )?,
        vec![halve()],
    ]);
    excited(path, branches, 1088, se_reduction)
}

fn mixed_7a(path: &Path, se_reduction: i64) -> Result<Box<dyn Layer>> {
    let reduce = || Conv::new(1088, 256, 1);
    let branches = Concat::new(vec![
        branch(&(path / "branch0"), vec![reduce(), Conv::new(256, 384, 3).stride(2)])?,
        branch(&(path / "branch1"), vec![reduce(), Conv::new(256, 288, 3).stride(2)])?,
        branch(
            &(path / "branch2"),
            vec![reduce(), Conv::new(256, 288, 3).same(), Conv::new(288, 320, 3).stride(2)],
        )?,
        vec![halve()],
    ]);
    excited(path, branches, 2080, se_reduction)
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let conv =
        |name: &'static str, spec: Conv| Ok::<_, anyhow::Error>((name, basic_conv(&(path / name), spec)?));
    let repeat = |name: &'static str, count: i64, block: &dyn Fn(&Path) -> Result<Box<dyn Layer>>| {
        let blocks = (0..count).map(|i| block(&(path / name / i))).collect::<Result<_>>()?;
        Ok::<(_, Box<dyn Layer>), anyhow::Error>((name, Box::new(Sequence(blocks))))
    };
    let r = config.se_reduction;
    let [n35, n17, n8] = config.modules;
    let residual = |scale| Branch { se_reduction: r, scale, activation: Activation::Relu };
    let [r35, r17, r8] = config.scales.map(residual);
    let last = Branch { activation: Activation::Identity, ..residual(1.0) };
    let stages = vec![
        conv("conv2d_1a", Conv::new(config.in_chans, 32, 3).stride(2))?,
        conv("conv2d_2a", Conv::new(32, 32, 3))?,
        conv("conv2d_2b", Conv::new(32, 64, 3).same())?,
        ("maxpool_3a", halve()),
        conv("conv2d_3b", Conv::new(64, 80, 1))?,
        conv("conv2d_4a", Conv::new(80, 192, 3))?,
        ("maxpool_5a", halve()),
        ("mixed_5b", mixed_5b(&(path / "mixed_5b"), r)?),
        repeat("repeat", n35, &|p| block35(p, r35))?,
        ("mixed_6a", mixed_6a(&(path / "mixed_6a"), r)?),
        repeat("repeat_1", n17, &|p| block17(p, r17))?,
        ("mixed_7a", mixed_7a(&(path / "mixed_7a"), r)?),
        repeat("repeat_2", n8 - 1, &|p| block8(p, r8))?,
        ("block8", block8(&(path / "block8"), last)?),
        conv("conv2d_7b", Conv::new(2080, 1536, 1))?,
    ];
    let linear = || Linear::new(&(path / "classif"), 1536, config.num_classes);
    Ok(Net::new(stages, Classifier::new(config.num_classes, config.dropout, linear)?))
}

/// timm's net, and the same with squeeze-excitation.
pub(super) fn entries() -> Vec<Entry> {
    let nets = [
        ("timm/inception_resnet_v2", Config::inception_resnet_v2()),
        ("paper/se_inception_resnet_v2", Config::inception_resnet_v2().with_se()),
    ];
    nets.map(|(name, config)| Entry::new(name.into(), "Inception", config)).into()
}
