//! From the last stage's features to the logits.

use super::names::Names;
use super::{ClassifierInit, Config, Head};
use crate::models::Library;
use crate::nn::{self, Activation, Conv, ConvNorm, ConvNormAct, Init, Layer, Linear, Logits, Outputs, Path};
use anyhow::{Result, ensure};
use tch::Tensor;

/// What the pooled features (N, C, 1, 1) pass before the classifier, with its activation.
enum Hidden {
    /// A 1×1 convolution, with or without norm.
    Conv(ConvNormAct),
    /// The same in torchvision's keys.
    Linear(Linear, Activation),
}

impl Hidden {
    fn new(root: &Path, name: &str, config: &Config, [from, to]: [i64; 2]) -> Result<Self> {
        let path = root / name;
        if config.keys == Library::Torchvision {
            ensure!(
                config.head == Head::AfterPool,
                "torchvision's layer after the pooling has a bias, and no norm"
            );
            let linear = Linear::init(&path, from, to, classifier_init(config))?;
            return Ok(Self::Linear(linear, config.activation));
        }
        let conv = Conv::new(from, to, 1).init(Init::KaimingFanOut);
        let conv = match config.head {
            Head::AfterPool => ConvNorm::bare(&path, conv.zero_bias())?,
            Head::AfterPoolNorm => ConvNorm::new(&path, &(root / "norm_head"), conv)?
                .eps(config.bn_eps)
                .momentum(config.bn_momentum),
            _ => ConvNorm::bare(&path, conv.no_bias())?,
        };
        Ok(Self::Conv(ConvNormAct::new(conv, config.activation)))
    }
}

impl Layer for Hidden {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        match self {
            Self::Conv(conv) => conv.forward(x, train),
            Self::Linear(linear, activation) => linear.forward_act(&x.f_flatten(1, -1)?, *activation, train),
        }
    }
}

fn classifier_init(config: &Config) -> Init {
    let classes = config.num_classes as f64;
    match config.classifier_init {
        ClassifierInit::Normal => Init::Normal(0.01),
        ClassifierInit::Uniform => Init::Uniform(1.0 / classes.sqrt()),
        ClassifierInit::KaimingUniform => Init::Uniform((3.0 / classes).sqrt()),
    }
}

/// Global average, hidden features where there are some, dropout and classifier: (N, C, H, W) to logits (N, classes).
pub(super) struct Classifier {
    hidden: Option<Hidden>,
    logits: Logits,
}

impl Classifier {
    /// After a stage of `last` channels.
    pub fn new(root: &Path, names: &Names, config: &Config, last: i64) -> Result<Self> {
        let features = if config.head == Head::None { last } else { config.head_channels(last) };
        let has_hidden = !matches!(config.head, Head::None | Head::BeforePool);
        let [hidden, classifier] = names.head(has_hidden);
        let hidden = has_hidden.then(|| Hidden::new(root, hidden, config, [last, features])).transpose()?;
        let init = classifier_init(config);
        Ok(Self {
            hidden,
            logits: Logits::new(config.num_classes, config.dropout, || {
                Linear::init(&(root / classifier), features, config.num_classes, init)
            })?,
        })
    }
}

impl nn::Head for Classifier {
    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs> {
        let mut y = x.f_adaptive_avg_pool2d([1, 1])?;
        if let Some(hidden) = &self.hidden {
            y = hidden.forward(&y, train)?;
        }
        self.logits.of(y.f_flatten(1, -1)?, train)
    }
}
