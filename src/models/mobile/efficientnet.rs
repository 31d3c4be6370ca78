//! The EfficientNets.

use super::{Config, HeadWidth, Layout};
use crate::nn::Activation;

/// EfficientNet-B0 (1905.11946, Table 1).
const B0: [&str; 7] = [
    "ds k3 c16 se0.25",
    "ir x2 k3 s2 e6 c24 se0.25",
    "ir x2 k5 s2 e6 c40 se0.25",
    "ir x3 k3 s2 e6 c80 se0.25",
    "ir x3 k5 e6 c112 se0.25",
    "ir x4 k5 s2 e6 c192 se0.25",
    "ir k3 e6 c320 se0.25",
];

/// EfficientNet-EdgeTPU-S; its first block expands as many channels as it puts out.
const EDGE_TPU: [&str; 6] = [
    "er k3 e4 c24 fc24 noskip",
    "er x2 k3 s2 e8 c32",
    "er x4 k3 s2 e8 c48",
    "ir x5 k5 s2 e8 c96",
    "ir x4 k5 e8 c144",
    "ir x2 k5 s2 e8 c192",
];

/// EfficientNetV2-B0.
const V2_BASE: [&str; 6] = [
    "cn k3 c16 skip",
    "er x2 k3 s2 e4 c32",
    "er x2 k3 s2 e4 c48",
    "ir x3 k3 s2 e4 c96 se0.25",
    "ir x5 k3 e6 c112 se0.25",
    "ir x8 k3 s2 e6 c192 se0.25",
];

/// EfficientNetV2-S (2104.00298, Table 4).
const V2_S: [&str; 6] = [
    "cn x2 k3 c24 skip",
    "er x4 k3 s2 e4 c48",
    "er x4 k3 s2 e4 c64",
    "ir x6 k3 s2 e4 c128 se0.25",
    "ir x9 k3 e6 c160 se0.25",
    "ir x15 k3 s2 e6 c256 se0.25",
];

const V2_M: [&str; 7] = [
    "cn x3 k3 c24 skip",
    "er x5 k3 s2 e4 c48",
    "er x5 k3 s2 e4 c80",
    "ir x7 k3 s2 e4 c160 se0.25",
    "ir x14 k3 e6 c176 se0.25",
    "ir x18 k3 s2 e6 c304 se0.25",
    "ir x5 k3 e6 c512 se0.25",
];

const V2_L: [&str; 7] = [
    "cn x4 k3 c32 skip",
    "er x7 k3 s2 e4 c64",
    "er x7 k3 s2 e4 c96",
    "ir x10 k3 s2 e4 c192 se0.25",
    "ir x19 k3 e6 c224 se0.25",
    "ir x25 k3 s2 e6 c384 se0.25",
    "ir x7 k3 e6 c640 se0.25",
];

const V2_XL: [&str; 7] = [
    "cn x4 k3 c32 skip",
    "er x8 k3 s2 e4 c64",
    "er x8 k3 s2 e4 c96",
    "ir x16 k3 s2 e4 c192 se0.25",
    "ir x24 k3 e6 c256 se0.25",
    "ir x32 k3 s2 e6 c512 se0.25",
    "ir x8 k3 e6 c640 se0.25",
];

impl Config {
    /// EfficientNet's rules around these stages.
    fn efficientnet<S: Into<String>>(stages: impl IntoIterator<Item = S>) -> Self {
        Self {
            activation: Activation::Silu,
            head_width: HeadWidth::Scaled,
            layout: Some(Layout::Efficientnet),
            ..Self::new(stages)
        }
    }

    /// EfficientNet-B0.
    pub fn efficientnet_b0() -> Self {
        Self::efficientnet(B0)
    }

    /// EfficientNet-Lite0: for integer arithmetic; neither stem, last convolution nor the ends scale.
    pub fn efficientnet_lite0() -> Self {
        let (fix_stem, fix_ends, head_width) = (true, true, HeadWidth::Fixed);
        let config = Self::efficientnet(B0.map(|stage| stage.replace(" se0.25", "")));
        Self { activation: Activation::Relu6, fix_stem, fix_ends, head_width, ..config }
    }

    /// EfficientNet-EdgeTPU-S.
    pub fn efficientnet_es() -> Self {
        Self { activation: Activation::Relu, ..Self::efficientnet(EDGE_TPU) }
    }

    /// EfficientNet-B0 with conditional convolutions of four experts in the last stages (1904.04971, section 4.1).
    pub fn efficientnet_cc_b0_4e() -> Self {
        let mut config = Self::efficientnet_b0();
        config.stages[4..].iter_mut().for_each(|stage| *stage += " cc4");
        config
    }

    /// The same with eight experts.
    pub fn efficientnet_cc_b0_8e() -> Self {
        Self { experts: 2, ..Self::efficientnet_cc_b0_4e() }
    }

    /// EfficientNetV2-B0.
    pub fn efficientnetv2_b0() -> Self {
        Self { round_limit: 0.0, ..Self::efficientnet(V2_BASE) }
    }

    /// EfficientNetV2-S.
    pub fn efficientnetv2_s() -> Self {
        Self { stem_width: 24, ..Self::efficientnet(V2_S) }
    }

    /// EfficientNetV2-M.
    pub fn efficientnetv2_m() -> Self {
        Self { stem_width: 24, head_width: HeadWidth::Fixed, ..Self::efficientnet(V2_M) }
    }

    /// EfficientNetV2-L.
    pub fn efficientnetv2_l() -> Self {
        Self { head_width: HeadWidth::Fixed, ..Self::efficientnet(V2_L) }
    }

    /// EfficientNetV2-XL.
    pub fn efficientnetv2_xl() -> Self {
        Self { head_width: HeadWidth::Fixed, ..Self::efficientnet(V2_XL) }
    }
}

/// B0 to B8 and L2, with the image sizes of TensorFlow's weights.
fn scaled() -> [Config; 10] {
    let b0 = Config::efficientnet_b0;
    [
        b0(),
        b0().depth(1.1).image(240),
        b0().width(1.1).depth(1.2).image(260),
        b0().width(1.2).depth(1.4).image(300),
        b0().width(1.4).depth(1.8).image(380),
        b0().width(1.6).depth(2.2).image(456),
        b0().width(1.8).depth(2.6).image(528),
        b0().width(2.0).depth(3.1).image(600),
        b0().width(2.2).depth(3.6).image(672),
        b0().width(4.3).depth(5.3).image(475),
    ]
}

pub(super) fn torchvision() -> [(&'static str, Config); 11] {
    let [b0, b1, b2, b3, b4, b5, b6, b7, ..] = scaled();
    let regular = |config: Config, dropout: f64| Config {
        head_width: HeadWidth::Fixed,
        dropout,
        drop_path: 0.2,
        ..config.torchvision()
    };
    // Four times the last stage's channels.
    let first = |config: Config, dropout: f64| Config { head_channels: 0, ..regular(config, dropout) };
    let larger =
        |config: Config, dropout: f64| Config { bn_eps: 1e-3, bn_momentum: 0.01, ..first(config, dropout) };
    let second = |config: Config, dropout: f64| Config { bn_eps: 1e-3, ..regular(config, dropout) };
    [
        ("efficientnet_b0", first(b0, 0.2)),
        ("efficientnet_b1", first(b1, 0.2)),
        ("efficientnet_b2", first(b2.image(288), 0.3)),
        ("efficientnet_b3", first(b3, 0.3)),
        ("efficientnet_b4", first(b4, 0.4)),
        ("efficientnet_b5", larger(b5, 0.4)),
        ("efficientnet_b6", larger(b6, 0.5)),
        ("efficientnet_b7", larger(b7, 0.5)),
        ("efficientnet_v2_s", second(Config::efficientnetv2_s().image(384), 0.2)),
        ("efficientnet_v2_m", second(Config::efficientnetv2_m().image(480), 0.3)),
        ("efficientnet_v2_l", second(Config::efficientnetv2_l().image(480), 0.4)),
    ]
}

/// timm's names; those with `tf_` are for TensorFlow's weights.
pub(super) fn timm() -> Vec<(String, Config)> {
    let [b0, b1, b2, b3, b4, b5, b6, b7, b8, l2] = scaled();
    let (lite, edge, cc) =
        (Config::efficientnet_lite0, Config::efficientnet_es, Config::efficientnet_cc_b0_8e);
    // The last number is the image size of timm's own weights.
    let both = [
        ("efficientnet_b0", b0, 224),
        ("efficientnet_b1", b1, 240),
        ("efficientnet_b2", b2, 256),
        ("efficientnet_b3", b3, 288),
        ("efficientnet_b4", b4, 320),
        ("efficientnet_b5", b5, 448),
        ("efficientnet_b6", b6, 528),
        ("efficientnet_b7", b7, 600),
        ("efficientnet_b8", b8, 672),
        ("efficientnet_l2", l2, 800),
        ("efficientnet_lite0", lite(), 224),
        ("efficientnet_lite1", lite().depth(1.1).image(240), 240),
        ("efficientnet_lite2", lite().width(1.1).depth(1.2).image(260), 260),
        ("efficientnet_lite3", lite().width(1.2).depth(1.4).image(300), 300),
        ("efficientnet_lite4", lite().width(1.4).depth(1.8).image(380), 380),
        ("efficientnet_es", edge(), 224),
        ("efficientnet_em", edge().depth(1.1).image(240), 240),
        ("efficientnet_el", edge().width(1.2).depth(1.4).image(300), 300),
        ("efficientnet_cc_b0_4e", Config::efficientnet_cc_b0_4e(), 224),
        ("efficientnet_cc_b0_8e", cc(), 224),
        ("efficientnet_cc_b1_8e", cc().depth(1.1).image(240), 240),
        ("efficientnetv2_s", Config::efficientnetv2_s().image(300), 288),
        ("efficientnetv2_m", Config::efficientnetv2_m().image(384), 320),
        ("efficientnetv2_l", Config::efficientnetv2_l().image(384), 384),
        ("efficientnetv2_xl", Config::efficientnetv2_xl().image(384), 384),
    ];
    let mut nets = Vec::new();
    for (name, config, image_size) in both {
        nets.push((name.to_owned(), config.clone().image(image_size)));
        nets.push((format!("tf_{name}"), config.tf()));
    }
    let v2 = || Config::efficientnetv2_b0().tf();
    nets.push(("tf_efficientnetv2_b0".into(), v2().image(192)));
    nets.push(("tf_efficientnetv2_b1".into(), v2().depth(1.1).image(192)));
    nets.push(("tf_efficientnetv2_b2".into(), v2().width(1.1).depth(1.2).image(208)));
    nets.push(("tf_efficientnetv2_b3".into(), v2().width(1.2).depth(1.4).image(240)));
    nets
}
