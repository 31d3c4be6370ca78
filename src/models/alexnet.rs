//! AlexNet as torchvision has it: one tower, no local response normalisation (1404.5997, section 5).
//!
//! Keys as torchvision's: `features.0`, `features.3`, `features.6`, `features.8`, `features.10`, `classifier.1`,
//! `classifier.4`, `classifier.6`.

use super::{Entry, Model};
use crate::nn::{
    Activation, Conv, Conv2d, Dropout, Layer, Linear, MaxPool2d, Path, Store, adaptive_avg_pool,
};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Five convolutions and three fully connected layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Channels of the five convolutions.
    pub channels: [i64; 5],
    /// Features of the two hidden layers of the classifier.
    pub hidden: i64,
    /// Dropout before each of them.
    pub dropout: f64,
}

impl Config {
    /// `torchvision.models.alexnet`.
    pub fn alexnet() -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            channels: [64, 192, 384, 256, 256],
            hidden: 4096,
            dropout: 0.5,
        }
    }
}

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        Ok(Box::new(AlexNet::new(&store.root(), self)?))
    }
}

/// A convolution with ReLU, after the pooling that precedes it.
struct Stage {
    pool: Option<MaxPool2d>,
    conv: Conv2d,
}

impl Layer for Stage {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = match &self.pool {
            Some(pool) => self.conv.forward(&pool.forward(x, train)?, train)?,
            None => self.conv.forward(x, train)?,
        };
        Activation::Relu.forward(y)
    }
}

/// Averages to 6×6, then two hidden layers and the logits.
struct Head {
    dropout: Dropout,
    fc6: Linear,
    fc7: Linear,
    fc8: Linear,
}

impl Layer for Head {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = adaptive_avg_pool(x, [6; 2])?.f_flatten(1, -1)?;
        let x = Activation::Relu.forward(self.fc6.forward(&self.dropout.forward(&x, train)?, train)?)?;
        let x = Activation::Relu.forward(self.fc7.forward(&self.dropout.forward(&x, train)?, train)?)?;
        self.fc8.forward(&x, train)
    }
}

struct AlexNet {
    convs: [Stage; 5],
    pool5: MaxPool2d,
    head: Head,
}

impl AlexNet {
    fn new(path: &Path, config: &Config) -> Result<Self> {
        let features = path / "features";
        let pool = MaxPool2d { stride: 2, ..MaxPool2d::new(3) };
        let stage = |index: usize, pool: Option<MaxPool2d>, conv: Conv| -> Result<Stage> {
            Ok(Stage { pool, conv: Conv2d::new(&(&features / index), conv)? })
        };
        let [c1, c2, c3, c4, c5] = config.channels;
        let convs = [
            stage(0, None, Conv::new(config.in_chans, c1, 11).stride(4).padding(2))?,
            stage(3, Some(pool), Conv::new(c1, c2, 5).same())?,
            stage(6, Some(pool), Conv::new(c2, c3, 3).same())?,
            stage(8, None, Conv::new(c3, c4, 3).same())?,
            stage(10, None, Conv::new(c4, c5, 3).same())?,
        ];
        let classifier = path / "classifier";
        let head = Head {
            dropout: Dropout::new(config.dropout)?,
            fc6: Linear::new(&(&classifier / 1), 36 * c5, config.hidden)?,
            fc7: Linear::new(&(&classifier / 4), config.hidden, config.hidden)?,
            fc8: Linear::new(&(&classifier / 6), config.hidden, config.num_classes)?,
        };
        Ok(Self { convs, pool5: pool, head })
    }
}

impl Model for AlexNet {
    fn stages(&self) -> Vec<(&str, &dyn Layer)> {
        let [conv1, conv2, conv3, conv4, conv5] = &self.convs;
        vec![
            ("features.0", conv1),
            ("features.3", conv2),
            ("features.6", conv3),
            ("features.8", conv4),
            ("features.10", conv5),
            ("features.12", &self.pool5),
        ]
    }

    fn head(&self) -> &dyn Layer {
        &self.head
    }
}

/// torchvision's net.
pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::new("torchvision/alexnet".into(), "AlexNet", Config::alexnet())]
}
