//! The MobileNets.

use super::{Config, Entry, Head, HeadWidth, Squeeze};
use crate::nn::{Activation, AntiAlias};

/// MobileNetV1 (1704.04861, Table 1).
const V1: [&str; 5] =
    ["dsa k3 c64", "dsa x2 k3 s2 c128", "dsa x2 k3 s2 c256", "dsa x6 k3 s2 c512", "dsa x2 k3 s2 c1024"];

/// V1 with squeeze-excitation of reduction 16 (1709.01507, Table 3).
const V1_SE: [&str; 5] = [
    "dsa k3 c64 se0.0625",
    "dsa x2 k3 s2 c128 se0.0625",
    "dsa x2 k3 s2 c256 se0.0625",
    "dsa x6 k3 s2 c512 se0.0625",
    "dsa x2 k3 s2 c1024 se0.0625",
];

/// V1 of full convolutions (Table 4).
const V1_CONV: [&str; 5] =
    ["cn k3 c64", "cn x2 k3 s2 c128", "cn x2 k3 s2 c256", "cn x6 k3 s2 c512", "cn x2 k3 s2 c1024"];

/// MobileNetV2 (1801.04381, Table 2).
const V2: [&str; 7] = [
    "ds k3 c16",
    "ir x2 k3 s2 e6 c24",
    "ir x3 k3 s2 e6 c32",
    "ir x4 k3 s2 e6 c64",
    "ir x3 k3 e6 c96",
    "ir x3 k3 s2 e6 c160",
    "ir k3 e6 c320",
];

/// MobileNetV3-Large (1905.02244, Table 1).
const V3_LARGE: [&str; 7] = [
    "ds k3 c16 relu",
    "ir k3 s2 e4 c24 relu, ir k3 e3 c24 relu",
    "ir x3 k5 s2 e3 c40 se0.25 relu",
    "ir k3 s2 e6 c80, ir k3 e2.5 c80, ir x2 k3 e2.3 c80",
    "ir x2 k3 e6 c112 se0.25",
    "ir x3 k5 s2 e6 c160 se0.25",
    "cn k1 c960",
];

/// Large without squeeze-excitation and with kernels of 3 alone.
const V3_LARGE_MINIMAL: [&str; 7] = [
    "ds k3 c16",
    "ir k3 s2 e4 c24, ir k3 e3 c24",
    "ir x3 k3 s2 e3 c40",
    "ir k3 s2 e6 c80, ir k3 e2.5 c80, ir x2 k3 e2.3 c80",
    "ir x2 k3 e6 c112",
    "ir x3 k3 s2 e6 c160",
    "cn k1 c960",
];

/// MobileNetV3-Small (Table 2).
const V3_SMALL: [&str; 6] = [
    "ds k3 s2 c16 se0.25 relu",
    "ir k3 s2 e4.5 c24 relu, ir k3 e3.67 c24 relu",
    "ir k5 s2 e4 c40 se0.25, ir x2 k5 e6 c40 se0.25",
    "ir x2 k5 e3 c48 se0.25",
    "ir x3 k5 s2 e6 c96 se0.25",
    "cn k1 c576",
];

const V3_SMALL_MINIMAL: [&str; 6] = [
    "ds k3 s2 c16",
    "ir k3 s2 e4.5 c24, ir k3 e3.67 c24",
    "ir k3 s2 e4 c40, ir x2 k3 e6 c40",
    "ir x2 k3 e3 c48",
    "ir x3 k3 s2 e6 c96",
    "cn k1 c576",
];

/// MobileNetV4-Conv-S (2404.10518, appendix D).
const V4_SMALL: [&str; 5] = [
    "cn k3 s2 c32, cn k1 c32",
    "cn k3 s2 c96, cn k1 c64",
    "uir a5 k5 s2 e3 c96, uir x4 k3 e2 c96, uir a3 k0 e4 c96",
    "uir a3 k3 s2 e6 c128, uir a5 k5 e4 c128, uir k5 e4 c128, uir k5 e3 c128, uir x2 k3 e4 c128",
    "cn k1 c960",
];

const V4_MEDIUM: [&str; 5] = [
    "er k3 s2 e4 c48",
    "uir a3 k5 s2 e4 c80, uir a3 k3 e2 c80",
    "uir a3 k5 s2 e6 c160, uir x2 a3 k3 e4 c160, uir a3 k5 e4 c160, uir a3 k3 e4 c160, uir a3 k0 e4 c160, \
     uir k0 e2 c160, uir a3 k0 e4 c160",
    "uir a5 k5 s2 e6 c256, uir a5 k5 e4 c256, uir x2 a3 k5 e4 c256, uir k0 e4 c256, uir a3 k0 e4 c256, \
     uir a3 k5 e2 c256, uir a5 k5 e4 c256, uir x2 k0 e4 c256, uir a5 k0 e2 c256",
    "cn k1 c960",
];

const V4_LARGE: [&str; 5] = [
    "er k3 s2 e4 c48",
    "uir a3 k5 s2 e4 c96, uir a3 k3 e4 c96",
    "uir a3 k5 s2 e4 c192, uir x3 a3 k3 e4 c192, uir a3 k5 e4 c192, uir x5 a5 k3 e4 c192, uir a3 k0 e4 c192",
    "uir x4 a5 k5 s2 e4 c512, uir a5 k0 e4 c512, uir a5 k3 e4 c512, uir x2 a5 k0 e4 c512, uir a5 k3 e4 c512, \
     uir a5 k5 e4 c512, uir x3 a5 k0 e4 c512",
    "cn k1 c960",
];

const V4_HYBRID_MEDIUM: [&str; 5] = [
    "er k3 s2 e4 c48",
    "uir a3 k5 s2 e4 c80, uir a3 k3 e2 c80",
    "uir a3 k5 s2 e6 c160, uir k0 e2 c160, uir a3 k3 e4 c160, uir a3 k5 e4 c160, \
     mqa k3 h4 v2 d64 c160, uir a3 k3 e4 c160, mqa k3 h4 v2 d64 c160, uir a3 k0 e4 c160, \
     mqa k3 h4 v2 d64 c160, uir a3 k3 e4 c160, mqa k3 h4 v2 d64 c160, uir a3 k0 e4 c160",
    "uir a5 k5 s2 e6 c256, uir a5 k5 e4 c256, uir x2 a3 k5 e4 c256, uir k0 e2 c256, uir a3 k5 e2 c256, \
     uir k0 e2 c256, uir k0 e4 c256, mqa k3 h4 d64 c256, uir a3 k0 e4 c256, mqa k3 h4 d64 c256, \
     uir a5 k5 e4 c256, mqa k3 h4 d64 c256, uir a5 k0 e4 c256, mqa k3 h4 d64 c256, uir a5 k0 e4 c256",
    "cn k1 c960",
];

const V4_HYBRID_LARGE: [&str; 5] = [
    "er k3 s2 e4 c48",
    "uir a3 k5 s2 e4 c96, uir a3 k3 e4 c96",
    "uir a3 k5 s2 e4 c192, uir x3 a3 k3 e4 c192, uir a3 k5 e4 c192, uir x2 a5 k3 e4 c192, \
     mqa k3 h8 v2 d48 c192, uir a5 k3 e4 c192, mqa k3 h8 v2 d48 c192, uir a5 k3 e4 c192, \
     mqa k3 h8 v2 d48 c192, uir a5 k3 e4 c192, mqa k3 h8 v2 d48 c192, uir a3 k0 e4 c192",
    "uir x4 a5 k5 s2 e4 c512, uir a5 k0 e4 c512, uir a5 k3 e4 c512, uir x2 a5 k0 e4 c512, uir a5 k3 e4 c512, \
     uir a5 k5 e4 c512, mqa k3 h8 d64 c512, uir a5 k0 e4 c512, mqa k3 h8 d64 c512, uir a5 k0 e4 c512, \
     mqa k3 h8 d64 c512, uir a5 k0 e4 c512, mqa k3 h8 d64 c512, uir a5 k0 e4 c512",
    "cn k1 c960",
];

impl Config {
    /// MobileNetV1.
    pub fn mobilenet_v1() -> Self {
        Self { head: Head::None, features: 1024, ..Self::new(&V1) }
    }

    /// MobileNetV1 as published, with ReLU: α is `width`, ρ is `image_size` over 224.
    pub fn mobilenet_v1_paper() -> Self {
        Self { activation: Activation::Relu, ..Self::mobilenet_v1() }
    }

    /// Without the five middle layers of 14×14×512 (Table 5).
    pub fn mobilenet_v1_shallow() -> Self {
        let mut config = Self::mobilenet_v1_paper();
        config.stages[3] = "dsa k3 s2 c512".into();
        config
    }

    /// Of full convolutions in place of depthwise separable ones (Table 4).
    pub fn mobilenet_v1_conv() -> Self {
        Self { stages: V1_CONV.map(Into::into).into(), ..Self::mobilenet_v1_paper() }
    }

    /// MobileNetV1 with squeeze-excitation (SENet's Table 3).
    pub fn se_mobilenet_v1() -> Self {
        Self { stages: V1_SE.map(Into::into).into(), ..Self::mobilenet_v1_paper() }
    }

    /// MobileNetV2.
    pub fn mobilenet_v2() -> Self {
        Self::new(&V2)
    }

    /// V3's rules around these stages; below three quarters of the width the stem keeps its own.
    fn v3(stages: &[&str], features: i64, width: f64) -> Self {
        Self {
            stem: 16,
            fix_stem: width < 0.75,
            head: Head::AfterPool,
            features,
            head_width: HeadWidth::Fixed,
            width,
            activation: Activation::HardSwish,
            squeeze: Squeeze::ExpandedDivisible,
            ..Self::new(stages)
        }
    }

    /// MobileNetV3-Large.
    pub fn mobilenet_v3_large(width: f64) -> Self {
        Self::v3(&V3_LARGE, 1280, width)
    }

    /// MobileNetV3-Large minimalistic: ReLU in place of hard swish, no squeeze-excitation, no kernel of 5.
    pub fn mobilenet_v3_large_minimal() -> Self {
        Self { activation: Activation::Relu, ..Self::v3(&V3_LARGE_MINIMAL, 1280, 1.0) }
    }

    /// MobileNetV3-Small.
    pub fn mobilenet_v3_small(width: f64) -> Self {
        Self::v3(&V3_SMALL, 1024, width)
    }

    /// MobileNetV3-Small minimalistic.
    pub fn mobilenet_v3_small_minimal() -> Self {
        Self { activation: Activation::Relu, ..Self::v3(&V3_SMALL_MINIMAL, 1024, 1.0) }
    }

    /// MobileNetV3-Large as first ported, with squeeze-excitation of its own and another head.
    pub fn mobilenet_v3_rw() -> Self {
        let mut stages = V3_LARGE;
        stages[0] = "ds k3 c16 relu noskip";
        let (head, squeeze) = (Head::AfterPoolNoBias, Squeeze::Expanded);
        Self { head, squeeze, bn_eps: 1e-3, ..Self::v3(&stages, 1280, 1.0) }
    }

    /// V4's rules around these stages; a narrower net keeps its stem.
    fn v4(stages: &[&str], stem: i64, width: f64) -> Self {
        Self {
            stem,
            fix_stem: width < 1.0,
            head: Head::AfterPoolNorm,
            head_width: HeadWidth::Fixed,
            width,
            activation: Activation::Relu,
            ..Self::new(stages)
        }
    }

    /// MobileNetV4-Conv-S.
    pub fn mobilenet_v4_conv_small(width: f64) -> Self {
        Self::v4(&V4_SMALL, 32, width)
    }

    /// MobileNetV4-Conv-M.
    pub fn mobilenet_v4_conv_medium() -> Self {
        Self { image_size: 256, ..Self::v4(&V4_MEDIUM, 32, 1.0) }
    }

    /// MobileNetV4-Conv-L.
    pub fn mobilenet_v4_conv_large() -> Self {
        Self { image_size: 384, ..Self::v4(&V4_LARGE, 24, 1.0) }
    }

    /// MobileNetV4-Hybrid-M.
    pub fn mobilenet_v4_hybrid_medium(width: f64) -> Self {
        let image_size = if width < 1.0 { 224 } else { 256 };
        Self { image_size, layer_scale: Some(1e-5), ..Self::v4(&V4_HYBRID_MEDIUM, 32, width) }
    }

    /// MobileNetV4-Hybrid-L.
    pub fn mobilenet_v4_hybrid_large(width: f64) -> Self {
        let (activation, layer_scale) = (Activation::Gelu, Some(1e-5));
        let image_size = if width < 1.0 { 256 } else { 384 };
        Self { image_size, activation, layer_scale, ..Self::v4(&V4_HYBRID_LARGE, 24, width) }
    }
}

/// timm's names, those with `tf_` for TensorFlow's weights, and the papers'.
pub(super) fn entries() -> Vec<Entry> {
    let paper = [
        ("paper/mobilenet_v1", Config::mobilenet_v1_paper()),
        ("paper/mobilenet_v1_shallow", Config::mobilenet_v1_shallow()),
        ("paper/mobilenet_v1_conv", Config::mobilenet_v1_conv()),
        ("paper/se_mobilenet_v1", Config::se_mobilenet_v1()),
    ];
    let mut entries: Vec<Entry> =
        paper.map(|(name, config)| Entry::new(name.into(), "MobileNet", config)).into();
    let mut add = |name: &str, config: Config| {
        entries.push(Entry::new(format!("timm/{name}"), "MobileNet", config));
    };
    let (v1, v2) = (Config::mobilenet_v1(), Config::mobilenet_v2());
    add("mobilenetv1_100", v1.clone());
    add("mobilenetv1_100h", Config { head: Head::BeforePool, ..v1.clone() });
    add("mobilenetv1_125", Config { width: 1.25, ..v1 });
    for (name, width) in [("035", 0.35), ("050", 0.5), ("075", 0.75), ("100", 1.0), ("140", 1.4)] {
        add(&format!("mobilenetv2_{name}"), Config { width, ..v2.clone() });
    }
    // Deepened nets keep stem, last convolution and the depth of the ends.
    let deep = Config { fix_stem: true, fix_ends: true, head_width: HeadWidth::Fixed, ..v2 };
    add("mobilenetv2_110d", Config { width: 1.1, depth: 1.2, ..deep.clone() });
    add("mobilenetv2_120d", Config { width: 1.2, depth: 1.4, ..deep });

    let (large, small) = (Config::mobilenet_v3_large, Config::mobilenet_v3_small);
    for (name, config) in [
        ("mobilenetv3_large_075", large(0.75)),
        ("mobilenetv3_large_100", large(1.0)),
        ("mobilenetv3_small_075", small(0.75)),
        ("mobilenetv3_small_100", small(1.0)),
    ] {
        add(name, config.clone());
        add(&format!("tf_{name}"), config.tf());
    }
    add("mobilenetv3_large_150d", Config { depth: 1.2, image_size: 256, ..large(1.5) });
    add("mobilenetv3_small_050", small(0.5));
    add("mobilenetv3_rw", Config::mobilenet_v3_rw());
    add("tf_mobilenetv3_large_minimal_100", Config::mobilenet_v3_large_minimal().tf());
    add("tf_mobilenetv3_small_minimal_100", Config::mobilenet_v3_small_minimal().tf());

    let (medium, large) = (Config::mobilenet_v4_conv_medium(), Config::mobilenet_v4_conv_large());
    let (average, blur) = (Some(AntiAlias::Average), Some(AntiAlias::Blur));
    add("mobilenetv4_conv_small_035", Config::mobilenet_v4_conv_small(0.35));
    add("mobilenetv4_conv_small_050", Config::mobilenet_v4_conv_small(0.5));
    add("mobilenetv4_conv_small", Config::mobilenet_v4_conv_small(1.0));
    add("mobilenetv4_conv_medium", medium.clone());
    add("mobilenetv4_conv_large", large.clone());
    add("mobilenetv4_conv_aa_medium", Config { anti_alias: average, ..medium.clone() });
    add("mobilenetv4_conv_blur_medium", Config { anti_alias: blur, image_size: 224, ..medium });
    add("mobilenetv4_conv_aa_large", Config { anti_alias: average, image_size: 448, ..large });
    add("mobilenetv4_hybrid_medium_075", Config::mobilenet_v4_hybrid_medium(0.75));
    add("mobilenetv4_hybrid_medium", Config::mobilenet_v4_hybrid_medium(1.0));
    add("mobilenetv4_hybrid_large_075", Config::mobilenet_v4_hybrid_large(0.75));
    add("mobilenetv4_hybrid_large", Config::mobilenet_v4_hybrid_large(1.0));
    entries
}
