//! The MnasNets.

use super::{ClassifierInit, Config, HeadWidth, Layout};
use crate::nn::Activation;

/// MnasNet-B1 (1807.11626).
const B1: [&str; 7] = [
    "ds k3 c16 noskip",
    "ir x3 k3 s2 e3 c24",
    "ir x3 k5 s2 e3 c40",
    "ir x3 k5 s2 e6 c80",
    "ir x2 k3 e6 c96",
    "ir x4 k5 s2 e6 c192",
    "ir k3 e6 c320",
];

impl Config {
    /// MnasNet-B1.
    pub fn mnasnet_b1() -> Self {
        Self {
            head_width: HeadWidth::Fixed,
            activation: Activation::Relu,
            layout: Some(Layout::Mnasnet),
            ..Self::new(B1)
        }
    }
}

/// Named by their width.
pub(super) fn torchvision() -> [(&'static str, Config); 4] {
    let b1 = || Config {
        bn_momentum: 3e-4,
        dropout: 0.2,
        classifier_init: ClassifierInit::KaimingUniform,
        ..Config::mnasnet_b1().torchvision()
    };
    [
        ("mnasnet0_5", b1().width(0.5)),
        ("mnasnet0_75", b1().width(0.75)),
        ("mnasnet1_0", b1()),
        ("mnasnet1_3", b1().width(1.3)),
    ]
}
