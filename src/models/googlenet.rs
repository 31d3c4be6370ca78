//! GoogLeNet (1409.4842) as published, and as in torchvision: batch norm throughout, 3×3 in place of the paper's 5×5
//! convolutions.
//!
//! Keys as torchvision's: `conv1.conv`, `conv1.bn`, `inception3a.branch1.conv`, …, `aux1.fc1`, `fc`; without batch norm
//! there is no `.bn`, with squeeze-excitation there is `inception3a.se.fc1`, and naive modules have `branch2.conv`.

use super::inception_v3::{TransformInput, basic_conv, excited};
use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    Activation, AvgPool2d, Classifier, Concat, Conv, Conv2d, ConvAct, Head, Init, Layer, Linear,
    LocalResponseNorm, Logits, MaxPool2d, Outputs, Path, Store, adaptive_avg_pool,
};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// How an auxiliary head pools the features to 4×4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuxiliaryPool {
    /// 5×5 windows at stride 3 (the paper): 4×4 of 14×14.
    Windows,
    /// Windows that fit features of any size (torchvision).
    Adaptive,
}

/// What the classifier sees of the last module's features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadKind {
    /// Their mean over all places (the paper).
    Average,
    /// All of them, 7×7×1024 at 224 pixels: what the paper's section 5 compares with.
    Flatten,
}

/// Nine Inception modules and two auxiliary heads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Batch norm after every convolution, in place of its bias.
    pub batch_norm: bool,
    /// Local response norm after the first pooling and before the second.
    pub response_norm: bool,
    /// Kernel of the third branch: 5 in the paper.
    pub third_kernel: i64,
    /// Modules without 1×1 reductions and projection (Figure 2a): the pooled input is passed on as it is, so that the
    /// channels grow from module to module.
    pub naive: bool,
    /// Reduction r of squeeze-excitation after every module; 0 for none.
    pub se_reduction: i64,
    /// Auxiliary heads on `inception4a` and `inception4d`, trained beside the main one.
    pub aux_logits: bool,
    pub aux_pool: AuxiliaryPool,
    /// Converts images from torchvision's normalisation to (x − 0.5)/0.5, that of the original weights: for
    /// torchvision's pretrained weights.
    pub transform_input: bool,
    pub head: HeadKind,
    /// Dropout before the classifier.
    pub dropout: f64,
    /// Dropout in the auxiliary heads.
    pub aux_dropout: f64,
}

impl Config {
    /// `torchvision.models.googlenet` without weights.
    pub fn googlenet() -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            batch_norm: true,
            response_norm: false,
            third_kernel: 3,
            naive: false,
            se_reduction: 0,
            aux_logits: true,
            aux_pool: AuxiliaryPool::Adaptive,
            transform_input: false,
            head: HeadKind::Average,
            dropout: 0.2,
            aux_dropout: 0.7,
        }
    }

    /// As published.
    pub fn published() -> Self {
        Self {
            batch_norm: false,
            response_norm: true,
            third_kernel: 5,
            aux_pool: AuxiliaryPool::Windows,
            dropout: 0.4,
            ..Self::googlenet()
        }
    }

    /// With squeeze-excitation of reduction 16.
    fn with_se(self) -> Self {
        Self { se_reduction: 16, ..self }
    }
}

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        ensure!(self.third_kernel % 2 == 1, "`third_kernel` {} must be odd", self.third_kernel);
        ensure!(self.se_reduction >= 0, "`se_reduction` {} must not be negative", self.se_reduction);
        Ok(Box::new(network(&store.root(), self)?))
    }
}

impl Config {
    /// Initialisation of the weights: with batch norm as torchvision's; without, such that the signal survives 22
    /// layers (the paper does not say).
    fn init(&self) -> Init {
        if self.batch_norm { Init::TruncatedNormal(0.01) } else { Init::XavierUniform }
    }

    /// A convolution with ReLU after it.
    fn conv(&self, path: &Path, conv: Conv) -> Result<Box<dyn Layer>> {
        let conv = conv.init(self.init());
        Ok(if self.batch_norm {
            basic_conv(path, conv)?
        } else {
            Box::new(ConvAct(Conv2d::new(&(path / "conv"), conv.zero_bias())?, Activation::Relu))
        })
    }
}

/// From the authors' Caffe model, which like PyTorch takes the mean of the squares.
const RESPONSE_NORM: LocalResponseNorm = LocalResponseNorm { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 };

/// The channels of a module, named as the columns of the paper's Table 1.
struct Widths {
    conv1x1: i64,
    reduce3x3: i64,
    conv3x3: i64,
    reduce5x5: i64,
    conv5x5: i64,
    pool_proj: i64,
}

impl Widths {
    fn out_channels(&self, in_channels: i64, naive: bool) -> i64 {
        self.conv1x1 + self.conv3x3 + self.conv5x5 + if naive { in_channels } else { self.pool_proj }
    }
}

/// The nine rows of that table.
const MODULES: [(&str, Widths); 9] = [
    (
        "inception3a",
        Widths { conv1x1: 64, reduce3x3: 96, conv3x3: 128, reduce5x5: 16, conv5x5: 32, pool_proj: 32 },
    ),
    (
        "inception3b",
        Widths { conv1x1: 128, reduce3x3: 128, conv3x3: 192, reduce5x5: 32, conv5x5: 96, pool_proj: 64 },
    ),
    (
        "inception4a",
        Widths { conv1x1: 192, reduce3x3: 96, conv3x3: 208, reduce5x5: 16, conv5x5: 48, pool_proj: 64 },
    ),
    (
        "inception4b",
        Widths { conv1x1: 160, reduce3x3: 112, conv3x3: 224, reduce5x5: 24, conv5x5: 64, pool_proj: 64 },
    ),
    (
        "inception4c",
        Widths { conv1x1: 128, reduce3x3: 128, conv3x3: 256, reduce5x5: 24, conv5x5: 64, pool_proj: 64 },
    ),
    (
        "inception4d",
        Widths { conv1x1: 112, reduce3x3: 144, conv3x3: 288, reduce5x5: 32, conv5x5: 64, pool_proj: 64 },
    ),
    (
        "inception4e",
        Widths { conv1x1: 256, reduce3x3: 160, conv3x3: 320, reduce5x5: 32, conv5x5: 128, pool_proj: 128 },
    ),
    (
        "inception5a",
        Widths { conv1x1: 256, reduce3x3: 160, conv3x3: 320, reduce5x5: 32, conv5x5: 128, pool_proj: 128 },
    ),
    (
        "inception5b",
        Widths { conv1x1: 384, reduce3x3: 192, conv3x3: 384, reduce5x5: 48, conv5x5: 128, pool_proj: 128 },
    ),
];

fn inception(path: &Path, config: &Config, in_channels: i64, widths: &Widths) -> Result<Box<dyn Layer>> {
    let Widths { conv1x1, reduce3x3, conv3x3, reduce5x5, conv5x5, pool_proj } = *widths;
    let conv = |path: &Path, conv: Conv| config.conv(path, conv);
    let reduce = |channels: i64| Conv::new(in_channels, channels, 1);
    let (branch2, branch3, branch4) = (path / "branch2", path / "branch3", path / "branch4");
    let third = config.third_kernel;
    let pool = Box::new(MaxPool2d { stride: 1, padding: 1, ceil_mode: true, ..MaxPool2d::new(3) });
    let first = vec![conv(&(path / "branch1"), reduce(conv1x1))?];
    let branches = if config.naive {
        vec![
            first,
            vec![conv(&branch2, Conv::new(in_channels, conv3x3, 3).same())?],
            vec![conv(&branch3, Conv::new(in_channels, conv5x5, third).same())?],
            vec![pool],
        ]
    } else {
        vec![
            first,
            vec![
                conv(&(&branch2 / 0), reduce(reduce3x3))?,
                conv(&(&branch2 / 1), Conv::new(reduce3x3, conv3x3, 3).same())?,
            ],
            vec![
                conv(&(&branch3 / 0), reduce(reduce5x5))?,
                conv(&(&branch3 / 1), Conv::new(reduce5x5, conv5x5, third).same())?,
            ],
            vec![pool, conv(&(&branch4 / 1), reduce(pool_proj))?],
        ]
    };
    let channels = widths.out_channels(in_channels, config.naive);
    excited(path, Concat::new(branches), channels, config.se_reduction)
}

/// Average pooling to 4×4, a 1×1 convolution and two fully connected layers.
struct AuxiliaryHead {
    pool: AuxiliaryPool,
    conv: Box<dyn Layer>,
    fc1: Linear,
    logits: Logits,
}

impl AuxiliaryHead {
    fn new(path: &Path, config: &Config, in_channels: i64) -> Result<Self> {
        Ok(Self {
            pool: config.aux_pool,
            conv: config.conv(&(path / "conv"), Conv::new(in_channels, 128, 1))?,
            fc1: Linear::weights(&(path / "fc1"), 128 * 16, 1024, config.init())?,
            logits: Logits::new(config.num_classes, config.aux_dropout, || {
                Linear::weights(&(path / "fc2"), 1024, config.num_classes, config.init())
            })?,
        })
    }
}

impl Layer for AuxiliaryHead {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = match self.pool {
            AuxiliaryPool::Windows => AvgPool2d { stride: 3, ..AvgPool2d::new(5) }.forward(x, train)?,
            AuxiliaryPool::Adaptive => adaptive_avg_pool(x, [4; 2])?,
        };
        let x = self.conv.forward(&x, train)?.f_flatten(1, -1)?;
        let x = self.fc1.forward_act(&x, Activation::Relu, train)?;
        Ok(self.logits.of(x, train)?.logits)
    }
}

/// Dropout and the classifier of a flattened map.
struct FlatHead {
    side: i64,
    logits: Logits,
}

impl Head for FlatHead {
    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs> {
        self.logits.of(adaptive_avg_pool(x, [self.side; 2])?.f_flatten(1, -1)?, train)
    }
}

fn head(path: &Path, config: &Config, channels: i64) -> Result<Box<dyn Head>> {
    let Config { num_classes, dropout, .. } = *config;
    let fc = |features| Linear::weights(&(path / "fc"), features, config.num_classes, config.init());
    Ok(match config.head {
        HeadKind::Average => Box::new(Classifier::new(num_classes, dropout, || fc(channels))?),
        HeadKind::Flatten => {
            // Five times half: three poolings of 3 round down, the first convolution and the last pooling, of 2, up.
            let stem = (config.image_size + 1) / 2;
            let side = ((stem / 8).max(1) + 1) / 2;
            let logits = Logits::new(num_classes, dropout, || fc(side * side * channels))?;
            Box::new(FlatHead { side, logits })
        }
    })
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let conv = |name: &str, conv: Conv| config.conv(&(path / name), conv);
    let pool = |kernel| Box::new(MaxPool2d { stride: 2, ceil_mode: true, ..MaxPool2d::new(kernel) });
    let conv1 = conv("conv1", Conv::new(config.in_chans, 64, 7).stride(2).padding(3))?;
    let mut stages: Vec<(&str, Box<dyn Layer>)> = vec![
        ("conv1", TransformInput::before(conv1, config.in_chans, config.transform_input)?),
        ("maxpool1", pool(3)),
        ("conv2", conv("conv2", Conv::new(64, 64, 1))?),
        ("conv3", conv("conv3", Conv::new(64, 192, 3).same())?),
        ("maxpool2", pool(3)),
    ];
    if config.response_norm {
        stages.insert(4, ("norm2", Box::new(RESPONSE_NORM)));
        stages.insert(2, ("norm1", Box::new(RESPONSE_NORM)));
    }
    let mut channels = 192;
    let mut taps = Vec::new();
    for (name, widths) in &MODULES {
        stages.push((name, inception(&(path / name), config, channels, widths)?));
        channels = widths.out_channels(channels, config.naive);
        match *name {
            "inception3b" => stages.push(("maxpool3", pool(3))),
            "inception4e" => stages.push(("maxpool4", pool(2))),
            "inception4a" => taps.push(("aux1", *name, channels)),
            "inception4d" => taps.push(("aux2", *name, channels)),
            _ => {}
        }
    }
    let mut auxiliaries = Vec::new();
    for (key, stage, channels) in taps.into_iter().filter(|_| config.aux_logits && config.num_classes > 0) {
        auxiliaries.push((stage, AuxiliaryHead::new(&(path / key), config, channels)?));
    }
    let net = Net::new(stages, head(path, config, channels)?);
    Ok(auxiliaries.into_iter().fold(net, |net, (stage, head)| net.auxiliary(stage, head)))
}

/// torchvision's net, the paper's, and the paper's with squeeze-excitation.
pub(super) fn entries() -> Vec<Entry> {
    let nets = [
        ("torchvision/googlenet", Config::googlenet()),
        ("paper/googlenet", Config::published()),
        ("paper/se_googlenet", Config::published().with_se()),
    ];
    nets.map(|(name, config)| Entry::new(name.into(), "Inception", config)).into()
}
