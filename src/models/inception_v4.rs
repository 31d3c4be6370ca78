//! Inception v4 (1602.07261, section 3.1) as in timm.
//!
//! Keys as timm's: the layers of `features` by number, `features.0.conv`, `features.0.bn`, …,
//! `features.6.branch1.0.conv`, …, `last_linear`.

use super::inception_v3::{along, basic_conv};
use super::net::Net;
use super::{Entry, Model};
use crate::nn::{AvgPool2d, Classifier, Concat, Conv, Layer, Linear, MaxPool2d, Path, Store};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// A stem and three kinds of modules with reductions between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Modules A, B and C.
    pub modules: [i64; 3],
    /// Dropout before the classifier.
    pub dropout: f64,
}

impl Config {
    pub fn inception_v4() -> Self {
        Self { num_classes: 1000, in_chans: 3, image_size: 299, modules: [4, 7, 3], dropout: 0.0 }
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

/// 3×3 average pooling at stride 1, without padding in the mean.
pub(super) fn average() -> Box<dyn Layer> {
    Box::new(AvgPool2d { stride: 1, padding: 1, count_include_pad: false, ..AvgPool2d::new(3) })
}

pub(super) fn halve() -> Box<dyn Layer> {
    Box::new(MaxPool2d { stride: 2, ..MaxPool2d::new(3) })
}

/// Convolutions in sequence, with the keys `0`, `1` and so on.
pub(super) fn branch(path: &Path, convs: Vec<Conv>) -> Result<Vec<Box<dyn Layer>>> {
    convs.into_iter().enumerate().map(|(i, conv)| basic_conv(&(path / i), conv)).collect()
}

/// Average pooling and a 1×1 convolution with the key `1`.
pub(super) fn average_branch(path: &Path, inputs: i64, outputs: i64) -> Result<Vec<Box<dyn Layer>>> {
    Ok(vec![average(), basic_conv(&(path / 1), Conv::new(inputs, outputs, 1))?])
}

fn mixed_3a(path: &Path) -> Result<Box<dyn Layer>> {
    let conv = basic_conv(&(path / "conv"), Conv::new(64, 96, 3).stride(2))?;
    Ok(Box::new(Concat::new(vec![vec![halve()], vec![conv]])))
}

fn mixed_4a(path: &Path) -> Result<Box<dyn Layer>> {
    Ok(Box::new(Concat::new(vec![
        branch(&(path / "branch0"), vec![Conv::new(160, 64, 1), Conv::new(64, 96, 3)])?,
        branch(
            &(path / "branch1"),
            vec![Conv::new(160, 64, 1), along(64, 64, [1, 7]), along(64, 64, [7, 1]), Conv::new(64, 96, 3)],
        )?,
    ])))
}

fn mixed_5a(path: &Path) -> Result<Box<dyn Layer>> {
    let conv = basic_conv(&(path / "conv"), Conv::new(192, 192, 3).stride(2))?;
    Ok(Box::new(Concat::new(vec![vec![conv], vec![halve()]])))
}

/// Figure 4 of the paper.
fn inception_a(path: &Path) -> Result<Box<dyn Layer>> {
    Ok(Box::new(Concat::new(vec![
        vec![basic_conv(&(path / "branch0"), Conv::new(384, 96, 1))?],
        branch(&(path / "branch1"), vec![Conv::new(384, 64, 1), Conv::new(64, 96, 3).same()])?,
        branch(
            &(path / "branch2"),
            vec![Conv::new(384, 64, 1), Conv::new(64, 96, 3).same(), Conv::new(96, 96, 3).same()],
        )?,
        average_branch(&(path / "branch3"), 384, 96)?,
    ])))
}

/// Figure 7.
fn reduction_a(path: &Path) -> Result<Box<dyn Layer>> {
    Ok(Box::new(Concat::new(vec![
        vec![basic_conv(&(path / "branch0"), Conv::new(384, 384, 3).stride(2))?],
        branch(
            &(path / "branch1"),
            vec![Conv::new(384, 192, 1), Conv::new(192, 224, 3).same(), Conv::new(224, 256, 3).stride(2)],
        )?,
        vec![halve()],
    ])))
}

/// Figure 5.
fn inception_b(path: &Path) -> Result<Box<dyn Layer>> {
    Ok(Box::new(Concat::new(vec![
        vec![basic_conv(&(path / "branch0"), Conv::new(1024, 384, 1))?],
        branch(
            &(path / "branch1"),
            vec![Conv::new(1024, 192, 1), along(192, 224, [1, 7]), along(224, 256, [7, 1])],
        )?,
        branch(
            &(path / "branch2"),
            vec![
                Conv::new(1024, 192, 1),
                along(192, 192, [7, 1]),
                along(192, 224, [1, 7]),
                along(224, 224, [7, 1]),
                along(224, 256, [1, 7]),
            ],
        )?,
        average_branch(&(path / "branch3"), 1024, 128)?,
    ])))
}

/// Figure 8.
fn reduction_b(path: &Path) -> Result<Box<dyn Layer>> {
    Ok(Box::new(Concat::new(vec![
        branch(&(path / "branch0"), vec![Conv::new(1024, 192, 1), Conv::new(192, 192, 3).stride(2)])?,
        branch(
            &(path / "branch1"),
            vec![
                Conv::new(1024, 256, 1),
                along(256, 256, [1, 7]),
                along(256, 320, [7, 1]),
                Conv::new(320, 320, 3).stride(2),
            ],
        )?,
        vec![halve()],
    ])))
}

/// Figure 6: 1×3 and 3×1 convolutions in parallel.
fn inception_c(path: &Path) -> Result<Box<dyn Layer>> {
    let conv = |name: &str, spec: Conv| basic_conv(&(path / name), spec);
    let cross = |row: &str, column: &str, inputs: i64| -> Result<Box<dyn Layer>> {
        let branches = vec![
            vec![conv(row, along(inputs, 256, [1, 3]))?],
            vec![conv(column, along(inputs, 256, [3, 1]))?],
        ];
        Ok(Box::new(Concat::new(branches)))
    };
    Ok(Box::new(Concat::new(vec![
        vec![conv("branch0", Conv::new(1536, 256, 1))?],
        vec![conv("branch1_0", Conv::new(1536, 384, 1))?, cross("branch1_1a", "branch1_1b", 384)?],
        vec![
            conv("branch2_0", Conv::new(1536, 384, 1))?,
            conv("branch2_1", along(384, 448, [3, 1]))?,
            conv("branch2_2", along(448, 512, [1, 3]))?,
            cross("branch2_3a", "branch2_3b", 512)?,
        ],
        average_branch(&(path / "branch3"), 1536, 256)?,
    ])))
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let features = path / "features";
    let mut stages: Vec<(String, Box<dyn Layer>)> = Vec::new();
    let mut add = |count: i64, build: &dyn Fn(&Path) -> Result<Box<dyn Layer>>| -> Result<()> {
        for _ in 0..count {
            let index = stages.len();
            stages.push((format!("features.{index}"), build(&(&features / index))?));
        }
        Ok(())
    };
    let [a, b, c] = config.modules;
    add(1, &|p| basic_conv(p, Conv::new(config.in_chans, 32, 3).stride(2)))?;
    add(1, &|p| basic_conv(p, Conv::new(32, 32, 3)))?;
    add(1, &|p| basic_conv(p, Conv::new(32, 64, 3).same()))?;
    add(1, &mixed_3a)?;
    add(1, &mixed_4a)?;
    add(1, &mixed_5a)?;
    add(a, &inception_a)?;
    add(1, &reduction_a)?;
    add(b, &inception_b)?;
    add(1, &reduction_b)?;
    add(c, &inception_c)?;
    let linear = || Linear::new(&(path / "last_linear"), 1536, config.num_classes);
    Ok(Net::new(stages, Classifier::new(config.num_classes, config.dropout, linear)?))
}

/// timm's net.
pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::new("timm/inception_v4".into(), "Inception", Config::inception_v4())]
}
