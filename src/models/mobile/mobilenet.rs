//! The MobileNets.

use super::{ClassifierInit, Config, Expansion, Head, HeadWidth, Layout, Squeeze};
use crate::nn::{Activation, AntiAlias};

/// MobileNetV1 (1704.04861, Table 1).
const V1: [&str; 5] =
    ["dsa k3 c64", "dsa x2 k3 s2 c128", "dsa x2 k3 s2 c256", "dsa x6 k3 s2 c512", "dsa x2 k3 s2 c1024"];

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

/// MobileNetV3-Small (Table 2).
const V3_SMALL: [&str; 6] = [
    "ds k3 s2 c16 se0.25 relu",
    "ir k3 s2 e4.5 c24 relu, ir k3 e3.67 c24 relu",
    "ir k5 s2 e4 c40 se0.25, ir x2 k5 e6 c40 se0.25",
    "ir x2 k5 e3 c48 se0.25",
    "ir x3 k5 s2 e6 c96 se0.25",
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
        Self { head: Head::None, head_channels: 1024, ..Self::new(V1) }
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
        Self { stages: V1.map(|stage| stage.replace("dsa", "cn")).into(), ..Self::mobilenet_v1_paper() }
    }

    /// MobileNetV1 with squeeze-excitation of reduction 16 (1709.01507, Table 3).
    pub fn se_mobilenet_v1() -> Self {
        Self { stages: V1.map(|stage| format!("{stage} se0.0625")).into(), ..Self::mobilenet_v1_paper() }
    }

    /// MobileNetV2.
    pub fn mobilenet_v2() -> Self {
        Self { layout: Some(Layout::MobilenetV2), ..Self::new(V2) }
    }

    /// V3's rules around these stages; below three quarters of the width the stem keeps its own.
    fn mobilenet_v3<const STAGES: usize>(stages: [&str; STAGES], head_channels: i64, width: f64) -> Self {
        Self {
            stem_width: 16,
            fix_stem: width < 0.75,
            head: Head::AfterPool,
            head_channels,
            head_width: HeadWidth::Fixed,
            width,
            activation: Activation::HardSwish,
            squeeze: Squeeze::ExpandedDivisible,
            layout: Some(Layout::MobilenetV3),
            ..Self::new(stages)
        }
    }

    /// MobileNetV3-Large.
    pub fn mobilenet_v3_large(width: f64) -> Self {
        Self::mobilenet_v3(V3_LARGE, 1280, width)
    }

    /// MobileNetV3-Small.
    pub fn mobilenet_v3_small(width: f64) -> Self {
        Self::mobilenet_v3(V3_SMALL, 1024, width)
    }

    /// Minimalistic: ReLU in place of hard swish, no squeeze-excitation, no kernel of 5.
    fn minimal(self) -> Self {
        let minimal = |stage: String| stage.replace(" relu", "").replace(" se0.25", "").replace("k5", "k3");
        let stages = self.stages.into_iter().map(minimal).collect();
        Self { activation: Activation::Relu, stages, ..self }
    }

    /// MobileNetV3-Large as first ported, with squeeze-excitation of its own and another head.
    pub fn mobilenet_v3_rw() -> Self {
        let mut config = Self::mobilenet_v3_large(1.0);
        config.stages[0] += " noskip";
        Self { head: Head::AfterPoolNoBias, squeeze: Squeeze::Expanded, bn_eps: 1e-3, ..config }
    }

    /// V4's rules around these stages; a narrower net keeps its stem.
    fn mobilenet_v4(stages: [&str; 5], stem_width: i64, width: f64) -> Self {
        Self {
            stem_width,
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
        Self::mobilenet_v4(V4_SMALL, 32, width)
    }

    /// MobileNetV4-Conv-M.
    pub fn mobilenet_v4_conv_medium() -> Self {
        Self::mobilenet_v4(V4_MEDIUM, 32, 1.0).image(256)
    }

    /// MobileNetV4-Conv-L.
    pub fn mobilenet_v4_conv_large() -> Self {
        Self::mobilenet_v4(V4_LARGE, 24, 1.0).image(384)
    }

    /// MobileNetV4-Hybrid-M.
    pub fn mobilenet_v4_hybrid_medium(width: f64) -> Self {
        let config = Self::mobilenet_v4(V4_HYBRID_MEDIUM, 32, width);
        Self { layer_scale: Some(1e-5), ..config }.image(if width < 1.0 { 224 } else { 256 })
    }

    /// MobileNetV4-Hybrid-L.
    pub fn mobilenet_v4_hybrid_large(width: f64) -> Self {
        let config = Self::mobilenet_v4(V4_HYBRID_LARGE, 24, width);
        Self { activation: Activation::Gelu, layer_scale: Some(1e-5), ..config }.image(if width < 1.0 {
            256
        } else {
            384
        })
    }
}

pub(super) fn torchvision() -> [(&'static str, Config); 3] {
    let regular = |config: Config| Config {
        dropout: 0.2,
        classifier_init: ClassifierInit::Normal,
        ..config.torchvision()
    };
    // The table has the expanded channels, and the last convolution six times its input's.
    let v3 = |mut config: Config| {
        if let Some(last) = config.stages.last_mut() {
            *last = "cn k1 e6".into();
        }
        Config {
            head_width: HeadWidth::Scaled,
            expansion_base: Expansion::Table,
            bn_eps: 1e-3,
            bn_momentum: 0.01,
            ..regular(config)
        }
    };
    [
        ("mobilenet_v2", regular(Config::mobilenet_v2())),
        ("mobilenet_v3_large", v3(Config::mobilenet_v3_large(1.0))),
        ("mobilenet_v3_small", v3(Config::mobilenet_v3_small(1.0))),
    ]
}

pub(super) fn paper() -> [(&'static str, Config); 4] {
    [
        ("mobilenet_v1", Config::mobilenet_v1_paper()),
        ("mobilenet_v1_shallow", Config::mobilenet_v1_shallow()),
        ("mobilenet_v1_conv", Config::mobilenet_v1_conv()),
        ("se_mobilenet_v1", Config::se_mobilenet_v1()),
    ]
}

/// timm's names; those with `tf_` are for TensorFlow's weights.
pub(super) fn timm() -> [(&'static str, Config); 35] {
    use Config as C;
    let (v1, v2, large, small) =
        (C::mobilenet_v1, C::mobilenet_v2, C::mobilenet_v3_large, C::mobilenet_v3_small);
    // Deepened nets keep stem, last convolution and the depth of the ends.
    let deep = || C { fix_stem: true, fix_ends: true, head_width: HeadWidth::Fixed, ..v2() };
    let filtered = |config: C, filter| C { anti_alias: Some(filter), ..config };
    [
        ("mobilenetv1_100", v1()),
        ("mobilenetv1_100h", C { head: Head::BeforePool, ..v1() }),
        ("mobilenetv1_125", v1().width(1.25)),
        ("mobilenetv2_035", v2().width(0.35)),
        ("mobilenetv2_050", v2().width(0.5)),
        ("mobilenetv2_075", v2().width(0.75)),
        ("mobilenetv2_100", v2()),
        ("mobilenetv2_140", v2().width(1.4)),
        ("mobilenetv2_110d", deep().width(1.1).depth(1.2)),
        ("mobilenetv2_120d", deep().width(1.2).depth(1.4)),
        ("mobilenetv3_large_075", large(0.75)),
        ("tf_mobilenetv3_large_075", large(0.75).tf()),
        ("mobilenetv3_large_100", large(1.0)),
        ("tf_mobilenetv3_large_100", large(1.0).tf()),
        ("mobilenetv3_small_075", small(0.75)),
        ("tf_mobilenetv3_small_075", small(0.75).tf()),
        ("mobilenetv3_small_100", small(1.0)),
        ("tf_mobilenetv3_small_100", small(1.0).tf()),
        ("mobilenetv3_large_150d", large(1.5).depth(1.2).image(256)),
        ("mobilenetv3_small_050", small(0.5)),
        ("mobilenetv3_rw", C::mobilenet_v3_rw()),
        ("tf_mobilenetv3_large_minimal_100", large(1.0).minimal().tf()),
        ("tf_mobilenetv3_small_minimal_100", small(1.0).minimal().tf()),
        ("mobilenetv4_conv_small_035", C::mobilenet_v4_conv_small(0.35)),
        ("mobilenetv4_conv_small_050", C::mobilenet_v4_conv_small(0.5)),
        ("mobilenetv4_conv_small", C::mobilenet_v4_conv_small(1.0)),
        ("mobilenetv4_conv_medium", C::mobilenet_v4_conv_medium()),
        ("mobilenetv4_conv_large", C::mobilenet_v4_conv_large()),
        ("mobilenetv4_conv_aa_medium", filtered(C::mobilenet_v4_conv_medium(), AntiAlias::Average)),
        ("mobilenetv4_conv_blur_medium", filtered(C::mobilenet_v4_conv_medium(), AntiAlias::Blur).image(224)),
        ("mobilenetv4_conv_aa_large", filtered(C::mobilenet_v4_conv_large(), AntiAlias::Average).image(448)),
        ("mobilenetv4_hybrid_medium_075", C::mobilenet_v4_hybrid_medium(0.75)),
        ("mobilenetv4_hybrid_medium", C::mobilenet_v4_hybrid_medium(1.0)),
        ("mobilenetv4_hybrid_large_075", C::mobilenet_v4_hybrid_large(0.75)),
        ("mobilenetv4_hybrid_large", C::mobilenet_v4_hybrid_large(1.0)),
    ]
}
