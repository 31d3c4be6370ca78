//! SqueezeNet (1602.07360) as in torchvision.
//!
//! Keys as torchvision's: `features.0`, `features.3.squeeze`, `features.3.expand1x1`, …, `classifier.1`.

use super::net::Net;
use super::{Entry, Model};
use crate::nn::{
    self, Activation, Conv, Conv2d, ConvAct, Dropout, Init, Layer, MaxPool2d, Outputs, Path, Store,
    global_avg_pool,
};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Fire modules with pooling in between, and a convolution as classifier. The modules follow the paper's design space
/// (section 5.1): their output channels grow by `increment` every `frequency` modules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Channels of the first convolution.
    pub stem_width: i64,
    /// Kernel of the first convolution, of stride 2.
    pub stem_kernel: i64,
    /// Number of fire modules.
    pub modules: i64,
    /// Output channels of the first module (base_e).
    pub base: i64,
    /// Channels by which they grow (incr_e).
    pub increment: i64,
    /// Number of modules with the same channels (freq).
    pub frequency: i64,
    /// Share of the channels that come from 3×3 convolutions (pct_3×3).
    pub share_3x3: f64,
    /// Channels between a module's layers per output channel (SR).
    pub squeeze_ratio: f64,
    /// Number of modules before each pooling after the first.
    pub pool_after: Vec<i64>,
    /// Dropout before the classifier.
    pub dropout: f64,
}

impl Config {
    /// `torchvision.models.squeezenet1_0`: the paper's.
    pub fn squeezenet1_0() -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            stem_width: 96,
            stem_kernel: 7,
            modules: 8,
            base: 128,
            increment: 128,
            frequency: 2,
            share_3x3: 0.5,
            squeeze_ratio: 0.125,
            pool_after: vec![3, 7],
            dropout: 0.5,
        }
    }

    /// `torchvision.models.squeezenet1_1`: as accurate with 2.4 times fewer MACs, due to a smaller stem and earlier
    /// pooling.
    pub fn squeezenet1_1() -> Self {
        Self { stem_width: 64, stem_kernel: 3, pool_after: vec![2, 4], ..Self::squeezenet1_0() }
    }

    /// The module with `before` modules before it.
    fn fire(&self, before: i64) -> Fire {
        let out = self.base + self.increment * (before / self.frequency);
        let expand3x3 = (out as f64 * self.share_3x3).round() as i64;
        let squeeze = (out as f64 * self.squeeze_ratio).round() as i64;
        Fire { squeeze, expand1x1: out - expand3x3, expand3x3 }
    }

    fn validate(&self) -> Result<()> {
        let Self { modules, frequency, pool_after, .. } = self;
        ensure!(*frequency > 0, "`frequency` {frequency} must be positive");
        ensure!(
            pool_after.iter().all(|after| (1..*modules).contains(after))
                && pool_after.is_sorted_by(|a, b| a < b),
            "`pool_after` {pool_after:?} must be increasing and lie between the {modules} modules"
        );
        Ok(())
    }
}

impl super::Config for Config {
    fn renamed() -> &'static [(&'static str, &'static str)] {
        &[("stem", "stem_width")]
    }

    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        self.validate()?;
        Ok(Box::new(network(&store.root(), self)?))
    }
}

fn conv(in_channels: i64, out_channels: i64, kernel: i64) -> Conv {
    Conv::new(in_channels, out_channels, kernel).init(Init::KaimingUniform).zero_bias()
}

/// Channels of a fire module.
#[derive(Clone, Copy)]
struct Fire {
    squeeze: i64,
    expand1x1: i64,
    expand3x3: i64,
}

/// A 1×1 convolution to few channels, then 1×1 and 3×3 in parallel: (N, from, H, W) to (N, expand1x1 + expand3x3, H,
/// W).
struct FireModule {
    squeeze: Conv2d,
    expand1x1: Conv2d,
    expand3x3: Conv2d,
}

impl FireModule {
    fn new(path: &Path, from: i64, fire: Fire) -> Result<Self> {
        let Fire { squeeze, expand1x1, expand3x3 } = fire;
        Ok(Self {
            squeeze: Conv2d::new(&(path / "squeeze"), conv(from, squeeze, 1))?,
            expand1x1: Conv2d::new(&(path / "expand1x1"), conv(squeeze, expand1x1, 1))?,
            expand3x3: Conv2d::new(&(path / "expand3x3"), conv(squeeze, expand3x3, 3).same())?,
        })
    }
}

impl Layer for FireModule {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let relu = |conv: &Conv2d, x: &Tensor| conv.forward_act(x, Activation::Relu, train);
        let x = relu(&self.squeeze, x)?;
        Ok(Tensor::f_cat(&[relu(&self.expand1x1, &x)?, relu(&self.expand3x3, &x)?], 1)?)
    }
}

/// Dropout, a 1×1 convolution to the classes with ReLU, and the global average.
struct Head {
    dropout: Dropout,
    classifier: Option<Conv2d>,
}

impl nn::Head for Head {
    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs> {
        let pooled = global_avg_pool(x)?;
        let logits = match &self.classifier {
            Some(classifier) => {
                let x = self.dropout.forward(x, train)?;
                global_avg_pool(&classifier.forward_act(&x, Activation::Relu, train)?)?
            }
            None => pooled.shallow_clone(),
        };
        Ok(Outputs { pooled, logits })
    }
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let features = path / "features";
    let pool = MaxPool2d { stride: 2, ceil_mode: true, ..MaxPool2d::new(3) };
    let stem = conv(config.in_chans, config.stem_width, config.stem_kernel).stride(2);
    let stem = ConvAct(Conv2d::new(&(&features / 0), stem)?, Activation::Relu);
    // The numbers of torchvision's layers, of which the first is the stem's convolution and the next its ReLU.
    let mut stages: Vec<(String, Box<dyn Layer>)> =
        vec![("features.1".into(), Box::new(stem)), ("features.2".into(), Box::new(pool))];
    let mut channels = config.stem_width;
    for before in 0..config.modules {
        if config.pool_after.contains(&before) {
            stages.push((format!("features.{}", stages.len() + 1), Box::new(pool)));
        }
        let (number, fire) = (stages.len() + 1, config.fire(before));
        let module = FireModule::new(&(&features / number), channels, fire)?;
        stages.push((format!("features.{number}"), Box::new(module)));
        channels = fire.expand1x1 + fire.expand3x3;
    }
    let classifier = Conv::new(channels, config.num_classes, 1).init(Init::Normal(0.01)).zero_bias();
    let classifier = match config.num_classes {
        0 => None,
        _ => Some(Conv2d::new(&(path / "classifier" / 1), classifier)?),
    };
    Ok(Net::new(stages, Head { dropout: Dropout::new(config.dropout)?, classifier }))
}

/// torchvision's nets.
pub(super) fn entries() -> Vec<Entry> {
    let nets = [
        ("torchvision/squeezenet1_0", Config::squeezenet1_0()),
        ("torchvision/squeezenet1_1", Config::squeezenet1_1()),
    ];
    nets.map(|(name, config)| Entry::new(name.into(), "SqueezeNet", config)).into()
}
