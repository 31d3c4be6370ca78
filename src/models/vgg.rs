//! VGG (1409.1556) as published, and with or without batch norm as in torchvision and timm.
//!
//! The libraries have the paper's A, B, D and E, and differ only in the classifier. torchvision's keys are
//! `classifier.0`, `classifier.3`, `classifier.6`, fully connected over 7×7 features; timm's are `pre_logits.fc1`,
//! `pre_logits.fc2`, `head.fc`, the first two convolutions, so that larger images give a map of hidden features, which
//! is averaged. Both number the layers of `features` in the same way; squeeze-excitation takes a number after its ReLU.

use super::alexnet::RESPONSE_NORM;
use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    Activation, Conv, Conv2d, ConvAct, ConvNorm, ConvNormAct, Dropout, Head, Init, Layer, Linear, Logits,
    MaxPool2d, Outputs, Path, Sequence, SqueezeExcite, Store, adaptive_avg_pool, global_avg_pool,
};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// How the hidden layers of the classifier are implemented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadKind {
    /// torchvision: average pooling to 7×7, then fully connected layers.
    Linear,
    /// timm: a 7×7 and a 1×1 convolution, then the mean over the positions. With the same weights it is the paper's
    /// dense evaluation: the mean of the logits of all 7×7 windows of the features (section 3.2).
    Convolutional,
}

/// Initialisation of the weights; all biases are initialised to 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Convolutions N(0, 2/fan_out), linear layers N(0, 0.01²), as in both libraries.
    Kaiming,
    /// All N(0, `start_std`²): the paper's A, with which its deeper nets are initialised.
    Normal,
    /// All as in Glorot and Bengio, which does not need A (the paper's note in section 3.1).
    Glorot,
}

/// Five stages of 3×3 convolutions and three fully connected layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Convolutions of each stage.
    pub layers: [i64; 5],
    /// Channels of each stage.
    pub channels: [i64; 5],
    /// Kernel of each stage's last convolution; all others are 3×3.
    pub last_kernels: [i64; 5],
    /// Local response norm after the first convolution.
    pub response_norm: bool,
    pub batch_norm: bool,
    /// Reduction r of squeeze-excitation after the ReLU of every convolution (1709.01507, section 3.3); 0 for none.
    pub se_reduction: i64,
    pub head: HeadKind,
    /// Features of the two hidden layers of the classifier.
    pub hidden: i64,
    /// Dropout after each of them.
    pub dropout: f64,
    pub start: Start,
    /// Standard deviation of the weights, with `start: normal`.
    pub start_std: f64,
}

impl Config {
    fn of(layers: [i64; 5]) -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            layers,
            channels: [64, 128, 256, 512, 512],
            last_kernels: [3; 5],
            response_norm: false,
            batch_norm: false,
            se_reduction: 0,
            head: HeadKind::Linear,
            hidden: 4096,
            dropout: 0.5,
            start: Start::Kaiming,
            start_std: 0.01,
        }
    }

    /// The paper's A.
    pub fn vgg11() -> Self {
        Self::of([1, 1, 2, 2, 2])
    }

    /// The paper's B.
    pub fn vgg13() -> Self {
        Self::of([2, 2, 2, 2, 2])
    }

    /// The paper's C, whose 1×1 convolutions neither library has.
    pub fn vgg16_c() -> Self {
        Self { last_kernels: [3, 3, 1, 1, 1], ..Self::vgg16() }
    }

    /// The paper's D.
    pub fn vgg16() -> Self {
        Self::of([2, 2, 3, 3, 3])
    }

    /// The paper's E.
    pub fn vgg19() -> Self {
        Self::of([2, 2, 4, 4, 4])
    }

    /// A-LRN, if applied to A.
    pub fn with_response_norm(self) -> Self {
        Self { response_norm: true, ..self }
    }

    /// With another initialisation of the weights.
    fn start(self, start: Start) -> Self {
        Self { start, ..self }
    }

    /// With batch norm after every convolution.
    pub fn with_batch_norm(self) -> Self {
        Self { batch_norm: true, ..self }
    }

    /// With squeeze-excitation of reduction 16.
    fn with_se(self) -> Self {
        Self { se_reduction: 16, ..self }
    }

    /// The layers that a deeper net takes over from the paper's A as initialisation (section 3.1): its first four
    /// convolutions, at the same positions in the stages, and the fully connected layers. Each as its key here and its
    /// key in A, for [`crate::weights::take_over`].
    ///
    /// # Errors
    /// A third stage with a single convolution, where A has two.
    pub fn layers_from_a(&self) -> Result<Vec<(String, String)>> {
        ensure!(self.layers[2] >= 2, "net A has two convolutions in the third stage, not {}", self.layers[2]);
        let a = Self { layers: Self::vgg11().layers, ..self.clone() };
        let (here, there) = (self.conv_numbers(), a.conv_numbers());
        let mut layers = Vec::new();
        for (stage, layer) in [(0, 0), (1, 0), (2, 0), (2, 1)] {
            for part in 0..=i64::from(self.batch_norm) {
                let key = |numbers: &[Vec<i64>]| format!("features.{}", numbers[stage][layer] + part);
                layers.push((key(&here), key(&there)));
            }
        }
        let connected = match self.head {
            HeadKind::Linear => ["classifier.0", "classifier.3", "classifier.6"],
            HeadKind::Convolutional => ["pre_logits.fc1", "pre_logits.fc2", "head.fc"],
        };
        layers.extend(connected.map(|key| (key.to_owned(), key.to_owned())));
        Ok(layers)
    }

    /// The numbers of each stage's convolutions among the layers of `features`.
    fn conv_numbers(&self) -> Vec<Vec<i64>> {
        let mut next = 0;
        let mut stages = Vec::new();
        for (stage, &layers) in self.layers.iter().enumerate() {
            let mut numbers = Vec::new();
            for layer in 0..layers {
                numbers.push(next);
                // The convolution, its norm, ReLU, squeeze-excitation and the response norm.
                next += 2 + i64::from(self.batch_norm) + i64::from(self.se_reduction > 0);
                next += i64::from(self.response_norm && (stage, layer) == (0, 0));
            }
            // The pooling.
            next += 1;
            stages.push(numbers);
        }
        stages
    }

    /// With timm's head, which has no dropout by default.
    pub fn with_convolutional_head(self) -> Self {
        Self { head: HeadKind::Convolutional, dropout: 0.0, ..self }
    }
}

impl Config {
    fn conv(&self, in_channels: i64, out_channels: i64, kernel: i64) -> Conv {
        let init = match self.start {
            Start::Kaiming => Init::KaimingFanOut,
            Start::Normal => Init::Normal(self.start_std),
            Start::Glorot => Init::XavierUniform,
        };
        Conv::new(in_channels, out_channels, kernel).zero_bias().init(init)
    }

    /// How fully connected layers start.
    fn linear(&self) -> Init {
        match self.start {
            Start::Kaiming => Init::Normal(0.01),
            Start::Normal => Init::Normal(self.start_std),
            Start::Glorot => Init::XavierUniform,
        }
    }
}

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        ensure!(self.layers.iter().all(|&n| n > 0), "`layers` {:?} must be positive", self.layers);
        ensure!(
            self.last_kernels.iter().all(|k| k % 2 == 1),
            "`last_kernels` {:?} must be odd",
            self.last_kernels
        );
        ensure!(self.se_reduction >= 0, "`se_reduction` {} must not be negative", self.se_reduction);
        Ok(Box::new(network(&store.root(), self)?))
    }
}

/// Height and width of the feature map that the first hidden layer sees.
const FIELD: i64 = 7;

struct LinearHead {
    fc1: Linear,
    fc2: Linear,
    logits: Logits,
    dropout: Dropout,
}

impl Head for LinearHead {
    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs> {
        let x = adaptive_avg_pool(x, [FIELD; 2])?.f_flatten(1, -1)?;
        let x = self.fc1.forward_act(&x, Activation::Relu, train)?;
        let x = self.fc2.forward_act(&self.dropout.forward(&x, train)?, Activation::Relu, train)?;
        self.logits.of(x, train)
    }
}

struct ConvolutionalHead {
    fc1: Conv2d,
    fc2: Conv2d,
    logits: Logits,
    dropout: Dropout,
}

impl Head for ConvolutionalHead {
    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs> {
        let (_, _, h, w) = x.size4()?;
        let x = if h < FIELD || w < FIELD {
            adaptive_avg_pool(x, [h.max(FIELD), w.max(FIELD)])?
        } else {
            x.shallow_clone()
        };
        let x = self.fc1.forward_act(&x, Activation::Relu, train)?;
        let x = self.fc2.forward_act(&self.dropout.forward(&x, train)?, Activation::Relu, train)?;
        self.logits.of(global_avg_pool(&x)?, train)
    }
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let features = path / "features";
    let mut stages: Vec<(String, Box<dyn Layer>)> = Vec::new();
    let mut channels = config.in_chans;
    let mut last = 0;
    for (stage, numbers) in config.conv_numbers().into_iter().enumerate() {
        let width = config.channels[stage];
        let mut layers: Vec<Box<dyn Layer>> = Vec::new();
        if stage > 0 {
            layers.push(Box::new(MaxPool2d::new(2)));
        }
        for (layer, &number) in numbers.iter().enumerate() {
            let kernel = if layer + 1 == numbers.len() { config.last_kernels[stage] } else { 3 };
            let conv = config.conv(channels, width, kernel).same();
            let (conv_path, norm_path) = (&features / number, &features / (number + 1));
            layers.push(if config.batch_norm {
                Box::new(ConvNormAct::relu(ConvNorm::with_bias(&conv_path, &norm_path, conv)?))
            } else {
                Box::new(ConvAct(Conv2d::new(&conv_path, conv)?, Activation::Relu))
            });
            last = number + 1 + i64::from(config.batch_norm);
            if config.se_reduction > 0 {
                last += 1;
                layers.push(Box::new(SqueezeExcite::new(&(&features / last), width, config.se_reduction)?));
            }
            if config.response_norm && (stage, layer) == (0, 0) {
                layers.push(Box::new(RESPONSE_NORM));
                last += 1;
            }
            channels = width;
        }
        // Named by the key of its last layer.
        stages.push((format!("features.{last}"), Box::new(Sequence(layers))));
    }
    stages.push((format!("features.{}", last + 1), Box::new(MaxPool2d::new(2))));
    Ok(Net::new(stages, head(path, config, channels)?))
}

fn head(path: &Path, config: &Config, channels: i64) -> Result<Box<dyn Head>> {
    let Config { hidden, num_classes, .. } = *config;
    let logits = |path: &Path| {
        let last = || Linear::init(path, hidden, num_classes, config.linear());
        Logits::new(num_classes, config.dropout, last)
    };
    let dropout = Dropout::new(config.dropout)?;
    Ok(match config.head {
        HeadKind::Linear => {
            let path = path / "classifier";
            Box::new(LinearHead {
                fc1: Linear::init(&(&path / 0), FIELD * FIELD * channels, hidden, config.linear())?,
                fc2: Linear::init(&(&path / 3), hidden, hidden, config.linear())?,
                logits: logits(&(&path / 6))?,
                dropout,
            })
        }
        HeadKind::Convolutional => Box::new(ConvolutionalHead {
            fc1: Conv2d::new(&(path / "pre_logits" / "fc1"), config.conv(channels, hidden, FIELD))?,
            fc2: Conv2d::new(&(path / "pre_logits" / "fc2"), config.conv(hidden, hidden, 1))?,
            logits: logits(&(path / "head" / "fc"))?,
            dropout,
        }),
    })
}

/// Both libraries' nets, and the paper's by their letters.
pub(super) fn entries() -> Vec<Entry> {
    let depths = [
        ("vgg11", Config::vgg11()),
        ("vgg13", Config::vgg13()),
        ("vgg16", Config::vgg16()),
        ("vgg19", Config::vgg19()),
    ];
    let mut entries = Vec::new();
    let mut add = |name: String, config| entries.push(Entry::new(name, "VGG", config));
    for (name, config) in depths {
        for (suffix, config) in [("", config.clone()), ("_bn", config.with_batch_norm())] {
            add(format!("torchvision/{name}{suffix}"), config.clone());
            add(format!("timm/{name}{suffix}"), config.with_convolutional_head());
        }
    }
    let paper = [
        ("vgg11_a", Config::vgg11().start(Start::Normal)),
        ("vgg11_a_lrn", Config::vgg11().with_response_norm().start(Start::Normal)),
        ("vgg13_b", Config::vgg13().start(Start::Glorot)),
        ("vgg16_c", Config::vgg16_c().start(Start::Glorot)),
        ("vgg16_d", Config::vgg16().start(Start::Glorot)),
        ("vgg19_e", Config::vgg19().start(Start::Glorot)),
        ("se_vgg16_bn", Config::vgg16().with_batch_norm().with_se()),
    ];
    paper.into_iter().for_each(|(name, config)| add(format!("paper/{name}"), config));
    entries
}
