//! The EfficientNets.

use super::{Config, Entry, HeadWidth};
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

/// B0 without squeeze-excitation.
const LITE: [&str; 7] = [
    "ds k3 c16",
    "ir x2 k3 s2 e6 c24",
    "ir x2 k5 s2 e6 c40",
    "ir x3 k3 s2 e6 c80",
    "ir x3 k5 e6 c112",
    "ir x4 k5 s2 e6 c192",
    "ir k3 e6 c320",
];

/// B0 with conditional convolutions in the last stages (1904.04971, section 4.1).
const CONDCONV: [&str; 7] = [
    "ds k3 c16 se0.25",
    "ir x2 k3 s2 e6 c24 se0.25",
    "ir x2 k5 s2 e6 c40 se0.25",
    "ir x3 k3 s2 e6 c80 se0.25",
    "ir x3 k5 e6 c112 se0.25 cc4",
    "ir x4 k5 s2 e6 c192 se0.25 cc4",
    "ir k3 e6 c320 se0.25 cc4",
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
    fn efficient(stages: &[&str]) -> Self {
        Self { activation: Activation::Silu, head_width: HeadWidth::Scaled, ..Self::new(stages) }
    }

    /// EfficientNet-B0.
    pub fn efficientnet_b0() -> Self {
        Self::efficient(&B0)
    }

    /// EfficientNet-Lite0: for integer arithmetic; neither stem, last convolution nor the ends scale.
    pub fn efficientnet_lite0() -> Self {
        let (fix_stem, fix_ends, head_width) = (true, true, HeadWidth::Fixed);
        Self { activation: Activation::Relu6, fix_stem, fix_ends, head_width, ..Self::efficient(&LITE) }
    }

    /// EfficientNet-EdgeTPU-S.
    pub fn efficientnet_es() -> Self {
        Self { activation: Activation::Relu, ..Self::efficient(&EDGE_TPU) }
    }

    /// EfficientNet-B0 of four experts.
    pub fn efficientnet_cc_b0_4e() -> Self {
        Self::efficient(&CONDCONV)
    }

    /// EfficientNet-B0 of eight experts.
    pub fn efficientnet_cc_b0_8e() -> Self {
        Self { experts: 2, ..Self::efficientnet_cc_b0_4e() }
    }

    /// EfficientNetV2-B0.
    pub fn efficientnetv2_b0() -> Self {
        Self { round_limit: 0.0, ..Self::efficient(&V2_BASE) }
    }

    /// EfficientNetV2-S.
    pub fn efficientnetv2_s() -> Self {
        Self { stem: 24, ..Self::efficient(&V2_S) }
    }

    /// EfficientNetV2-M.
    pub fn efficientnetv2_m() -> Self {
        Self { stem: 24, head_width: HeadWidth::Fixed, ..Self::efficient(&V2_M) }
    }

    /// EfficientNetV2-L.
    pub fn efficientnetv2_l() -> Self {
        Self { head_width: HeadWidth::Fixed, ..Self::efficient(&V2_L) }
    }

    /// EfficientNetV2-XL.
    pub fn efficientnetv2_xl() -> Self {
        Self { head_width: HeadWidth::Fixed, ..Self::efficient(&V2_XL) }
    }
}

/// timm's names; those with `tf_` are for TensorFlow's weights.
pub(super) fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut add = |name: &str, config: Config| {
        entries.push(Entry::new(format!("timm/{name}"), "EfficientNet", config));
    };
    let (b0, lite0) = (Config::efficientnet_b0(), Config::efficientnet_lite0());
    // Width, depth, and the image sizes of timm's own weights and of TensorFlow's.
    let scales = [
        ("efficientnet_b0", 1.0, 1.0, 224, 224),
        ("efficientnet_b1", 1.0, 1.1, 240, 240),
        ("efficientnet_b2", 1.1, 1.2, 256, 260),
        ("efficientnet_b3", 1.2, 1.4, 288, 300),
        ("efficientnet_b4", 1.4, 1.8, 320, 380),
        ("efficientnet_b5", 1.6, 2.2, 448, 456),
        ("efficientnet_b6", 1.8, 2.6, 528, 528),
        ("efficientnet_b7", 2.0, 3.1, 600, 600),
        ("efficientnet_b8", 2.2, 3.6, 672, 672),
        ("efficientnet_l2", 4.3, 5.3, 800, 475),
    ];
    for (name, width, depth, size, tf_size) in scales {
        add(name, b0.clone().scaled(width, depth, size));
        add(&format!("tf_{name}"), b0.clone().scaled(width, depth, tf_size).tf());
    }
    let (es, cc_b0_8e) = (Config::efficientnet_es(), Config::efficientnet_cc_b0_8e());
    let both = [
        ("efficientnet_lite0", lite0.clone()),
        ("efficientnet_lite1", lite0.clone().scaled(1.0, 1.1, 240)),
        ("efficientnet_lite2", lite0.clone().scaled(1.1, 1.2, 260)),
        ("efficientnet_lite3", lite0.clone().scaled(1.2, 1.4, 300)),
        ("efficientnet_lite4", lite0.scaled(1.4, 1.8, 380)),
        ("efficientnet_es", es.clone()),
        ("efficientnet_em", es.clone().scaled(1.0, 1.1, 240)),
        ("efficientnet_el", es.scaled(1.2, 1.4, 300)),
        ("efficientnet_cc_b0_4e", Config::efficientnet_cc_b0_4e()),
        ("efficientnet_cc_b0_8e", cc_b0_8e.clone()),
        ("efficientnet_cc_b1_8e", cc_b0_8e.scaled(1.0, 1.1, 240)),
    ];
    for (name, config) in both {
        add(name, config.clone());
        add(&format!("tf_{name}"), config.tf());
    }
    let v2 = [
        ("efficientnetv2_s", Config::efficientnetv2_s(), 288, 300),
        ("efficientnetv2_m", Config::efficientnetv2_m(), 320, 384),
        ("efficientnetv2_l", Config::efficientnetv2_l(), 384, 384),
        ("efficientnetv2_xl", Config::efficientnetv2_xl(), 384, 384),
    ];
    for (name, config, image_size, tf_size) in v2 {
        add(name, Config { image_size, ..config.clone() });
        add(&format!("tf_{name}"), Config { image_size: tf_size, ..config }.tf());
    }
    let v2_b0 = Config::efficientnetv2_b0().tf();
    add("tf_efficientnetv2_b0", v2_b0.clone().scaled(1.0, 1.0, 192));
    add("tf_efficientnetv2_b1", v2_b0.clone().scaled(1.0, 1.1, 192));
    add("tf_efficientnetv2_b2", v2_b0.clone().scaled(1.1, 1.2, 208));
    add("tf_efficientnetv2_b3", v2_b0.scaled(1.2, 1.4, 240));
    entries
}
