//! Inception v3 (1512.00567) as in torchvision and timm, with the parts that the Inception nets share.
//!
//! Keys of both: `Conv2d_1a_3x3.conv`, `Conv2d_1a_3x3.bn`, …, `Mixed_5b.branch1x1.conv`, …, `fc`; torchvision's files
//! have `AuxLogits` as well.

use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    AvgPool2d, Classifier, Concat, Conv, ConvNorm, ConvNormAct, Init, Layer, Linear, MaxPool2d, Path,
    Sequence, SqueezeExcite, Store, global_avg_pool,
};
use crate::torch;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Eleven Inception modules and an auxiliary head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// An auxiliary head on `Mixed_6e`, trained beside the main one.
    pub aux_logits: bool,
    /// Converts images from torchvision's normalisation to (x − 0.5)/0.5, that of the original weights: for
    /// torchvision's pretrained weights.
    pub transform_input: bool,
    /// Dropout before the classifier.
    pub dropout: f64,
}

impl Config {
    /// `torchvision.models.inception_v3` without weights.
    pub fn torchvision() -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 299,
            aux_logits: true,
            transform_input: false,
            dropout: 0.5,
        }
    }

    /// timm's, without auxiliary head and dropout.
    pub fn timm() -> Self {
        Self { aux_logits: false, dropout: 0.0, ..Self::torchvision() }
    }
}

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        Ok(Box::new(network(&store.root(), self)?))
    }
}

/// Convolution, norm of eps 0.001 and ReLU, with the keys `conv` and `bn`: the unit of all Inception nets.
pub(super) fn basic_conv(path: &Path, conv: Conv) -> Result<Box<dyn Layer>> {
    let conv = ConvNorm::new(&(path / "conv"), &(path / "bn"), conv)?;
    Ok(Box::new(ConvNormAct::relu(conv.eps(1e-3))))
}

/// A module's branches, and squeeze-excitation of all that they put out, with the key `se`; none for a reduction of 0.
pub(super) fn excited(
    path: &Path,
    branches: Concat,
    channels: i64,
    reduction: i64,
) -> Result<Box<dyn Layer>> {
    Ok(match reduction {
        0 => Box::new(branches),
        r => {
            let se = SqueezeExcite::new(&(path / "se"), channels, r)?;
            Box::new(Sequence(vec![Box::new(branches), Box::new(se)]))
        }
    })
}

/// Renormalises images from torchvision's mean and standard deviation to (x − 0.5)/0.5, then runs the first layer.
pub(super) struct TransformInput {
    first: Box<dyn Layer>,
}

impl TransformInput {
    /// `first` itself unless `transform`.
    ///
    /// # Errors
    /// Images that do not have the three channels of RGB.
    pub fn before(first: Box<dyn Layer>, in_chans: i64, transform: bool) -> Result<Box<dyn Layer>> {
        ensure!(!transform || in_chans == 3, "`transform_input` is for 3 channels, not {in_chans}");
        Ok(if transform { Box::new(Self { first }) } else { first })
    }
}

impl Layer for TransformInput {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if torch::is_meta(x)? {
            return self.first.forward(x, train);
        }
        let channels = |values: [f64; 3]| -> Result<Tensor> {
            let values = Tensor::f_from_slice(&values)?.f_to_kind(x.kind())?.f_to_device(x.device())?;
            Ok(values.f_view([1, 3, 1, 1])?)
        };
        let scale = channels([0.229, 0.224, 0.225].map(|deviation| deviation / 0.5))?;
        let shift = channels([0.485, 0.456, 0.406].map(|mean| (mean - 0.5) / 0.5))?;
        self.first.forward(&x.f_mul(&scale)?.f_add(&shift)?, train)
    }
}

fn conv(path: &Path, conv: Conv) -> Result<Box<dyn Layer>> {
    basic_conv(path, conv.init(Init::TruncatedNormal(0.1)))
}

fn average() -> Box<dyn Layer> {
    Box::new(AvgPool2d { stride: 1, padding: 1, ..AvgPool2d::new(3) })
}

fn halve() -> Box<dyn Layer> {
    Box::new(MaxPool2d { stride: 2, ..MaxPool2d::new(3) })
}

/// A convolution along one row or column that keeps the size.
pub(super) fn along(in_channels: i64, out_channels: i64, kernel: [i64; 2]) -> Conv {
    Conv::new(in_channels, out_channels, 1).kernel(kernel).same()
}

/// Figure 5 of the paper: two 3×3 in place of a 5×5.
fn module_a(path: &Path, inputs: i64, pool_features: i64) -> Result<Box<dyn Layer>> {
    let conv = |name: &str, spec: Conv| conv(&(path / name), spec);
    Ok(Box::new(Concat::new(vec![
        vec![conv("branch1x1", Conv::new(inputs, 64, 1))?],
        vec![
            conv("branch5x5_1", Conv::new(inputs, 48, 1))?,
            conv("branch5x5_2", Conv::new(48, 64, 5).same())?,
        ],
        vec![
            conv("branch3x3dbl_1", Conv::new(inputs, 64, 1))?,
            conv("branch3x3dbl_2", Conv::new(64, 96, 3).same())?,
            conv("branch3x3dbl_3", Conv::new(96, 96, 3).same())?,
        ],
        vec![average(), conv("branch_pool", Conv::new(inputs, pool_features, 1))?],
    ])))
}

/// Halves the resolution.
fn module_b(path: &Path, inputs: i64) -> Result<Box<dyn Layer>> {
    let conv = |name: &str, spec: Conv| conv(&(path / name), spec);
    Ok(Box::new(Concat::new(vec![
        vec![conv("branch3x3", Conv::new(inputs, 384, 3).stride(2))?],
        vec![
            conv("branch3x3dbl_1", Conv::new(inputs, 64, 1))?,
            conv("branch3x3dbl_2", Conv::new(64, 96, 3).same())?,
            conv("branch3x3dbl_3", Conv::new(96, 96, 3).stride(2))?,
        ],
        vec![halve()],
    ])))
}

/// Figure 6: 7×7 convolutions as 1×7 and 7×1, `c7` channels between them.
fn module_c(path: &Path, inputs: i64, c7: i64) -> Result<Box<dyn Layer>> {
    let conv = |name: &str, spec: Conv| conv(&(path / name), spec);
    Ok(Box::new(Concat::new(vec![
        vec![conv("branch1x1", Conv::new(inputs, 192, 1))?],
        vec![
            conv("branch7x7_1", Conv::new(inputs, c7, 1))?,
            conv("branch7x7_2", along(c7, c7, [1, 7]))?,
            conv("branch7x7_3", along(c7, 192, [7, 1]))?,
        ],
        vec![
            conv("branch7x7dbl_1", Conv::new(inputs, c7, 1))?,
            conv("branch7x7dbl_2", along(c7, c7, [7, 1]))?,
            conv("branch7x7dbl_3", along(c7, c7, [1, 7]))?,
            conv("branch7x7dbl_4", along(c7, c7, [7, 1]))?,
            conv("branch7x7dbl_5", along(c7, 192, [1, 7]))?,
        ],
        vec![average(), conv("branch_pool", Conv::new(inputs, 192, 1))?],
    ])))
}

/// Halves the resolution.
fn module_d(path: &Path, inputs: i64) -> Result<Box<dyn Layer>> {
    let conv = |name: &str, spec: Conv| conv(&(path / name), spec);
    Ok(Box::new(Concat::new(vec![
        vec![
            conv("branch3x3_1", Conv::new(inputs, 192, 1))?,
            conv("branch3x3_2", Conv::new(192, 320, 3).stride(2))?,
        ],
        vec![
            conv("branch7x7x3_1", Conv::new(inputs, 192, 1))?,
            conv("branch7x7x3_2", along(192, 192, [1, 7]))?,
            conv("branch7x7x3_3", along(192, 192, [7, 1]))?,
            conv("branch7x7x3_4", Conv::new(192, 192, 3).stride(2))?,
        ],
        vec![halve()],
    ])))
}

/// Figure 7: 1×3 and 3×1 convolutions in parallel.
fn module_e(path: &Path, inputs: i64) -> Result<Box<dyn Layer>> {
    let conv = |name: &str, spec: Conv| conv(&(path / name), spec);
    let cross = |row: &str, column: &str| -> Result<Box<dyn Layer>> {
        let branches =
            vec![vec![conv(row, along(384, 384, [1, 3]))?], vec![conv(column, along(384, 384, [3, 1]))?]];
        Ok(Box::new(Concat::new(branches)))
    };
    Ok(Box::new(Concat::new(vec![
        vec![conv("branch1x1", Conv::new(inputs, 320, 1))?],
        vec![conv("branch3x3_1", Conv::new(inputs, 384, 1))?, cross("branch3x3_2a", "branch3x3_2b")?],
        vec![
            conv("branch3x3dbl_1", Conv::new(inputs, 448, 1))?,
            conv("branch3x3dbl_2", Conv::new(448, 384, 3).same())?,
            cross("branch3x3dbl_3a", "branch3x3dbl_3b")?,
        ],
        vec![average(), conv("branch_pool", Conv::new(inputs, 192, 1))?],
    ])))
}

/// Average pooling, two convolutions and a classifier.
struct AuxiliaryHead {
    conv0: Box<dyn Layer>,
    conv1: Box<dyn Layer>,
    fc: Linear,
}

impl AuxiliaryHead {
    fn new(path: &Path, inputs: i64, num_classes: i64) -> Result<Self> {
        Ok(Self {
            conv0: conv(&(path / "conv0"), Conv::new(inputs, 128, 1))?,
            conv1: conv(&(path / "conv1"), Conv::new(128, 768, 5))?,
            fc: Linear::weights(&(path / "fc"), 768, num_classes, Init::TruncatedNormal(0.001))?,
        })
    }
}

impl Layer for AuxiliaryHead {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = AvgPool2d { stride: 3, ..AvgPool2d::new(5) }.forward(x, train)?;
        let x = self.conv1.forward(&self.conv0.forward(&x, train)?, train)?;
        self.fc.forward(&global_avg_pool(&x)?, train)
    }
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let at = |name: &str| path / name;
    let conv = |name: &'static str, spec: Conv| Ok::<_, anyhow::Error>((name, conv(&at(name), spec)?));
    let first = conv("Conv2d_1a_3x3", Conv::new(config.in_chans, 32, 3).stride(2))?.1;
    let mut stages = vec![
        ("Conv2d_1a_3x3", TransformInput::before(first, config.in_chans, config.transform_input)?),
        conv("Conv2d_2a_3x3", Conv::new(32, 32, 3))?,
        conv("Conv2d_2b_3x3", Conv::new(32, 64, 3).same())?,
        ("maxpool1", halve()),
        conv("Conv2d_3b_1x1", Conv::new(64, 80, 1))?,
        conv("Conv2d_4a_3x3", Conv::new(80, 192, 3))?,
        ("maxpool2", halve()),
        ("Mixed_5b", module_a(&at("Mixed_5b"), 192, 32)?),
        ("Mixed_5c", module_a(&at("Mixed_5c"), 256, 64)?),
        ("Mixed_5d", module_a(&at("Mixed_5d"), 288, 64)?),
        ("Mixed_6a", module_b(&at("Mixed_6a"), 288)?),
        ("Mixed_6b", module_c(&at("Mixed_6b"), 768, 128)?),
        ("Mixed_6c", module_c(&at("Mixed_6c"), 768, 160)?),
        ("Mixed_6d", module_c(&at("Mixed_6d"), 768, 160)?),
        ("Mixed_6e", module_c(&at("Mixed_6e"), 768, 192)?),
    ];
    let auxiliary = if config.aux_logits && config.num_classes > 0 {
        Some(AuxiliaryHead::new(&at("AuxLogits"), 768, config.num_classes)?)
    } else {
        None
    };
    stages.extend([
        ("Mixed_7a", module_d(&at("Mixed_7a"), 768)?),
        ("Mixed_7b", module_e(&at("Mixed_7b"), 1280)?),
        ("Mixed_7c", module_e(&at("Mixed_7c"), 2048)?),
    ]);
    let fc = || Linear::weights(&at("fc"), 2048, config.num_classes, Init::TruncatedNormal(0.1));
    let net = Net::new(stages, Classifier::new(config.num_classes, config.dropout, fc)?);
    Ok(match auxiliary {
        Some(auxiliary) => net.auxiliary("Mixed_6e", auxiliary),
        None => net,
    })
}

/// Both libraries' nets.
pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::new("torchvision/inception_v3".into(), "Inception", Config::torchvision()),
        Entry::new("timm/inception_v3".into(), "Inception", Config::timm()),
    ]
}
