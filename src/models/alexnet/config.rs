//! The fields of an AlexNet and its layers.

use crate::nn::{Activation, Conv, Init, Linear, LocalResponseNorm, Logits, MaxPool2d, Path};
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// The paper multiplies the sum over 5 channels by 1e-4; PyTorch's norm takes the mean.
pub(in crate::models) const RESPONSE_NORM: LocalResponseNorm =
    LocalResponseNorm { size: 5, alpha: 5e-4, beta: 0.75, k: 2.0 };

/// Height and width of the feature map that the first hidden layer sees.
pub(super) const FIELD: i64 = 6;

/// Where a layer applies local response norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseNorm {
    None,
    /// After ReLU (AlexNet).
    BeforePool,
    /// After pooling (ZFNet).
    AfterPool,
}

/// Initialisation of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// PyTorch's defaults.
    Torch,
    /// All weights N(0, `start_std`²); biases 0, but for those that `bias` and `hidden_bias` say (AlexNet, section 5;
    /// ZFNet, section 3).
    Normal,
}

/// A convolution and what follows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvLayer {
    pub channels: i64,
    pub kernel: i64,
    pub stride: i64,
    pub padding: i64,
    /// 2 where each of AlexNet's two halves sees only its own half of the channels.
    pub groups: i64,
    pub norm: ResponseNorm,
    /// Max pooling with stride 2.
    pub pool: bool,
    pub pool_padding: i64,
    /// Where the biases start, with `start: normal`.
    #[serde(default)]
    pub bias: f64,
}

impl ConvLayer {
    /// Stride 1, padding that keeps the size, one group, only ReLU after it.
    fn same(channels: i64, kernel: i64) -> Self {
        Self {
            channels,
            kernel,
            stride: 1,
            padding: kernel / 2,
            groups: 1,
            norm: ResponseNorm::None,
            pool: false,
            pool_padding: 0,
            bias: 0.0,
        }
    }

    fn stride(self, stride: i64, padding: i64) -> Self {
        Self { stride, padding, ..self }
    }

    fn groups(self, groups: i64) -> Self {
        Self { groups, ..self }
    }

    fn norm(self, norm: ResponseNorm) -> Self {
        Self { norm, ..self }
    }

    fn pool(self, pool_padding: i64) -> Self {
        Self { pool: true, pool_padding, ..self }
    }

    /// "This initialization accelerates the early stages of learning by providing the ReLUs with positive inputs"
    /// (AlexNet, section 5).
    fn ones(self) -> Self {
        Self { bias: 1.0, ..self }
    }

    pub(super) fn max_pool(&self, kernel: i64) -> Option<MaxPool2d> {
        self.pool.then_some(MaxPool2d { stride: 2, padding: self.pool_padding, ..MaxPool2d::new(kernel) })
    }

    /// How many key numbers the layer and what follows it take up.
    pub(super) fn keys(&self) -> i64 {
        2 + i64::from(self.norm != ResponseNorm::None) + i64::from(self.pool)
    }
}

/// Convolutions, some with pooling, and fully connected layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    pub convs: Vec<ConvLayer>,
    /// Size of the max pooling windows: those of 3 overlap, those of 2 do not.
    pub pool_kernel: i64,
    /// Features of the hidden layers of the classifier, which sees 6×6 pixels.
    pub hidden: Vec<i64>,
    /// Dropout before each of them.
    pub dropout: f64,
    /// After every layer but the last: `relu`, or `tanh` as the paper compares (Figure 1).
    pub activation: Activation,
    pub start: Start,
    /// Standard deviation of the weights, with `start: normal`.
    pub start_std: f64,
    /// Where the biases of the hidden layers start, with `start: normal`.
    pub hidden_bias: f64,
    /// 2 places one half of every layer's channels on the model's device and the other on the next device, as the paper
    /// does on two GPUs; the net and its output are the same. Keys then begin with `towers.0` and `towers.1`.
    pub towers: i64,
}

impl Config {
    fn of(convs: Vec<ConvLayer>) -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            convs,
            pool_kernel: 3,
            hidden: vec![4096, 4096],
            dropout: 0.5,
            activation: Activation::Relu,
            start: Start::Torch,
            start_std: 0.01,
            hidden_bias: 0.0,
            towers: 1,
        }
    }

    pub(super) fn conv(&self, in_channels: i64, layer: &ConvLayer) -> Conv {
        let conv = Conv::new(in_channels, layer.channels, layer.kernel);
        let conv = conv.stride(layer.stride).padding(layer.padding).groups(layer.groups);
        match self.start {
            Start::Torch => conv,
            Start::Normal => conv.init(Init::Normal(self.start_std)).bias(layer.bias),
        }
    }

    pub(super) fn hidden_layer(&self, path: &Path, from: i64, to: i64) -> Result<Linear> {
        self.linear(path, from, to, self.hidden_bias)
    }

    /// The last layer has no dropout.
    pub(super) fn logits(&self, path: &Path, from: i64) -> Result<Logits> {
        Logits::new(self.num_classes, 0.0, || self.linear(path, from, self.num_classes, 0.0))
    }

    fn linear(&self, path: &Path, from: i64, to: i64, bias: f64) -> Result<Linear> {
        match self.start {
            Start::Torch => Linear::new(path, from, to),
            Start::Normal => {
                let weight = Init::Normal(self.start_std);
                Linear::with(path, from, to, weight, Some(Init::Constant(bias)))
            }
        }
    }

    /// `torchvision.models.alexnet`.
    pub fn torchvision() -> Self {
        Self::of(vec![
            ConvLayer::same(64, 11).stride(4, 2).pool(0),
            ConvLayer::same(192, 5).pool(0),
            ConvLayer::same(384, 3),
            ConvLayer::same(256, 3),
            ConvLayer::same(256, 3).pool(0),
        ])
    }

    /// As published, on two GPUs.
    pub fn alexnet() -> Self {
        Self::published([96, 256, 384, 384, 256], 2)
    }

    /// The paper's net for one GPU (section 3.2): half the kernels in most layers, but in the last convolution and behind
    /// it as many as on two, so that both have about the same number of parameters.
    pub fn one_gpu() -> Self {
        Self::published([48, 128, 192, 192, 256], 1)
    }

    fn published(channels: [i64; 5], groups: i64) -> Self {
        let norm = ResponseNorm::BeforePool;
        let [conv1, conv2, conv3, conv4, conv5] = channels;
        let convs = vec![
            ConvLayer::same(conv1, 11).stride(4, 2).norm(norm).pool(0),
            ConvLayer::same(conv2, 5).groups(groups).norm(norm).pool(0).ones(),
            ConvLayer::same(conv3, 3),
            ConvLayer::same(conv4, 3).groups(groups).ones(),
            ConvLayer::same(conv5, 3).groups(groups).pool(0).ones(),
        ];
        Self { start: Start::Normal, hidden_bias: 1.0, ..Self::of(convs) }
    }

    /// ZFNet's replica, without groups and started as ZFNet is.
    pub fn replica() -> Self {
        let mut config = Self::published([96, 256, 384, 384, 256], 1);
        config.convs.iter_mut().for_each(|layer| layer.bias = 0.0);
        Self { hidden_bias: 0.0, ..config }
    }

    /// ZFNet (Figure 3), with the channels of its last three convolutions: 384, 384, 256, or 512, 1024, 512.
    pub fn zfnet(last: [i64; 3]) -> Self {
        let norm = ResponseNorm::AfterPool;
        let [conv3, conv4, conv5] = last;
        let config = Self::of(vec![
            ConvLayer::same(96, 7).stride(2, 1).norm(norm).pool(1),
            ConvLayer::same(256, 5).stride(2, 0).norm(norm).pool(1),
            ConvLayer::same(conv3, 3),
            ConvLayer::same(conv4, 3),
            ConvLayer::same(conv5, 3).pool(0),
        ]);
        Self { start: Start::Normal, ..config }
    }

    /// With other hidden layers.
    pub fn hidden(self, hidden: &[i64]) -> Self {
        Self { hidden: hidden.to_vec(), ..self }
    }

    /// Without the third and the fourth convolution.
    pub(super) fn without_middle(mut self) -> Self {
        self.convs.drain(2..4);
        self
    }
}
