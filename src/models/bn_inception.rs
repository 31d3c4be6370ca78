//! BN-Inception (1502.03167, Figure 5): GoogLeNet with batch norm and two 3×3 convolutions in place of its 5×5.
//!
//! The figure prints 576 channels after 4c and 4d and 1024 after 4e; its own columns give 608, 608 and 1056, which are
//! used here. Keys as torchvision's GoogLeNet: `conv1.conv`, `conv1.bn`, `inception3a.branch1.conv`, …, `fc`.

use super::inception_v3::{basic_conv, excited};
use super::net::Net;
use super::{Entry, Model};
use crate::nn::{AvgPool2d, Classifier, Concat, Conv, Init, Layer, Linear, MaxPool2d, Path, Store};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Ten Inception modules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Reduction r of squeeze-excitation after every module; 0 for none.
    pub se_reduction: i64,
    /// Dropout before the classifier.
    pub dropout: f64,
}

impl Config {
    pub fn bn_inception() -> Self {
        Self { num_classes: 1000, in_chans: 3, image_size: 224, se_reduction: 0, dropout: 0.0 }
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
        ensure!(self.se_reduction >= 0, "`se_reduction` {} must not be negative", self.se_reduction);
        Ok(Box::new(network(&store.root(), self)?))
    }
}

/// The pooling of the last branch.
enum Pool {
    Average,
    Max,
}

/// The channels of a module, named as the columns of the figure. A module without `conv1x1` halves the resolution, and
/// its last branch is only the pooling.
struct Widths {
    conv1x1: i64,
    reduce3x3: i64,
    conv3x3: i64,
    reduce_double3x3: i64,
    double3x3: i64,
    pool: Pool,
    pool_proj: i64,
}

impl Widths {
    /// A module that keeps the resolution: the columns in order.
    const fn keep(columns: [i64; 5], pool: Pool, pool_proj: i64) -> Self {
        let [conv1x1, reduce3x3, conv3x3, reduce_double3x3, double3x3] = columns;
        Self { conv1x1, reduce3x3, conv3x3, reduce_double3x3, double3x3, pool, pool_proj }
    }

    /// A module that halves it: the columns without the first.
    const fn halve(columns: [i64; 4]) -> Self {
        let [reduce3x3, conv3x3, reduce_double3x3, double3x3] = columns;
        Self { conv1x1: 0, reduce3x3, conv3x3, reduce_double3x3, double3x3, pool: Pool::Max, pool_proj: 0 }
    }

    fn halves(&self) -> bool {
        self.conv1x1 == 0
    }

    fn out_channels(&self, in_channels: i64) -> i64 {
        let pooled = if self.halves() { in_channels } else { self.pool_proj };
        self.conv1x1 + self.conv3x3 + self.double3x3 + pooled
    }
}

/// The rows of the figure.
const MODULES: [(&str, Widths); 10] = [
    ("inception3a", Widths::keep([64, 64, 64, 64, 96], Pool::Average, 32)),
    ("inception3b", Widths::keep([64, 64, 96, 64, 96], Pool::Average, 64)),
    ("inception3c", Widths::halve([128, 160, 64, 96])),
    ("inception4a", Widths::keep([224, 64, 96, 96, 128], Pool::Average, 128)),
    ("inception4b", Widths::keep([192, 96, 128, 96, 128], Pool::Average, 128)),
    ("inception4c", Widths::keep([160, 128, 160, 128, 160], Pool::Average, 128)),
    ("inception4d", Widths::keep([96, 128, 192, 160, 192], Pool::Average, 128)),
    ("inception4e", Widths::halve([128, 192, 192, 256])),
    ("inception5a", Widths::keep([352, 192, 320, 160, 224], Pool::Average, 128)),
    ("inception5b", Widths::keep([352, 192, 320, 192, 224], Pool::Max, 128)),
];

fn conv(path: &Path, conv: Conv) -> Result<Box<dyn Layer>> {
    basic_conv(path, conv.init(Init::KaimingFanOut))
}

/// 3×3 max pooling that halves the resolution.
fn halving() -> Box<dyn Layer> {
    Box::new(MaxPool2d { stride: 2, ceil_mode: true, ..MaxPool2d::new(3) })
}

fn inception(path: &Path, config: &Config, in_channels: i64, widths: &Widths) -> Result<Box<dyn Layer>> {
    let Widths { conv1x1, reduce3x3, conv3x3, reduce_double3x3, double3x3, pool_proj, .. } = *widths;
    let conv = |branch: &str, conv_spec: Conv| conv(&(path / branch), conv_spec);
    let reduce = |channels: i64| Conv::new(in_channels, channels, 1);
    let stride = if widths.halves() { 2 } else { 1 };
    let mut branches = Vec::new();
    if !widths.halves() {
        branches.push(vec![conv("branch1", reduce(conv1x1))?]);
    }
    branches.push(vec![
        conv("branch2.0", reduce(reduce3x3))?,
        conv("branch2.1", Conv::new(reduce3x3, conv3x3, 3).same().stride(stride))?,
    ]);
    branches.push(vec![
        conv("branch3.0", reduce(reduce_double3x3))?,
        conv("branch3.1", Conv::new(reduce_double3x3, double3x3, 3).same())?,
        conv("branch3.2", Conv::new(double3x3, double3x3, 3).same().stride(stride))?,
    ]);
    branches.push(match (widths.halves(), &widths.pool) {
        (true, _) => vec![halving()],
        (false, pool) => {
            let pool: Box<dyn Layer> = match pool {
                Pool::Average => Box::new(AvgPool2d { stride: 1, padding: 1, ..AvgPool2d::new(3) }),
                Pool::Max => Box::new(MaxPool2d { stride: 1, padding: 1, ..MaxPool2d::new(3) }),
            };
            vec![pool, conv("branch4.1", reduce(pool_proj))?]
        }
    });
    excited(path, Concat::new(branches), widths.out_channels(in_channels), config.se_reduction)
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let stem = |name: &str, spec: Conv| conv(&(path / name), spec);
    let mut stages: Vec<(&str, Box<dyn Layer>)> = vec![
        ("conv1", stem("conv1", Conv::new(config.in_chans, 64, 7).stride(2).padding(3))?),
        ("maxpool1", halving()),
        ("conv2", stem("conv2", Conv::new(64, 64, 1))?),
        ("conv3", stem("conv3", Conv::new(64, 192, 3).same())?),
        ("maxpool2", halving()),
    ];
    let mut channels = 192;
    for (name, widths) in &MODULES {
        stages.push((name, inception(&(path / name), config, channels, widths)?));
        channels = widths.out_channels(channels);
    }
    let fc = || Linear::new(&(path / "fc"), channels, config.num_classes);
    Ok(Net::new(stages, Classifier::new(config.num_classes, config.dropout, fc)?))
}

/// The paper's net, and SENet's.
pub(super) fn entries() -> Vec<Entry> {
    let nets = [
        ("paper/bn_inception", Config::bn_inception()),
        ("paper/se_bn_inception", Config::bn_inception().with_se()),
    ];
    nets.map(|(name, config)| Entry::new(name.into(), "Inception", config)).into()
}
