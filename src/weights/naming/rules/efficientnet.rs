//! Names of the ports of EfficientNet (lukemelas's efficientnet_pytorch, and rangilyu's of the lite ones).

use super::super::rule::{NAMING, Naming, READ, Rule, rename};
use super::shared::COUNTED;

const B: &[&str] =
    &["timm/tf_efficientnet_b", "timm/efficientnet_b", "timm/tf_efficientnet_lite", "timm/efficientnet_lite"];

pub(super) const NAMINGS: &[Naming] = &[
    Naming {
        models: &["timm/mobilenetv1_"],
        from: COUNTED,
        to: "timm",
        rules: &[BLOCKS],
        grid: GRID,
        ..NAMING
    },
    Naming {
        models: &[
            "timm/tf_efficientnet_b",
            "timm/efficientnet_b",
            "timm/tf_efficientnet_lite",
            "timm/efficientnet_lite",
            "timm/mobilenetv2_",
            "timm/tf_mobilenetv3",
            "timm/mobilenetv3",
            "torchvision/mobilenet_v3",
        ],
        from: COUNTED,
        to: "timm",
        rules: &[FIRST_STAGE, BLOCKS],
        grid: GRID,
        ..NAMING
    },
    Naming { models: B, from: "efficientnet_pytorch", to: COUNTED, rules: &[LUKEMELAS], ..READ },
];

const GRID: Option<&str> = Some("blocks.{s}.{b}");
const BLOCKS: &[Rule] = &[rename("blocks.{s.b}", "blocks.{s}.{b}")];

/// Blocks without expansion: timm counts their norms from the depthwise convolution on.
const FIRST_STAGE: &[Rule] = &[
    rename("blocks.{0.b}.bn2", "blocks.0.{b}.bn1"),
    rename("blocks.{0.b}.conv_pwl", "blocks.0.{b}.conv_pw"),
    rename("blocks.{0.b}.bn3", "blocks.0.{b}.bn2"),
];

const LUKEMELAS: &[Rule] = &[
    rename("_conv_stem", "conv_stem"),
    rename("_bn0", "bn1"),
    rename("_blocks.{n}._expand_conv", "blocks.{n}.conv_pw"),
    rename("_blocks.{n}._bn0", "blocks.{n}.bn1"),
    rename("_blocks.{n}._depthwise_conv", "blocks.{n}.conv_dw"),
    rename("_blocks.{n}._bn1", "blocks.{n}.bn2"),
    rename("_blocks.{n}._se_reduce", "blocks.{n}.se.conv_reduce"),
    rename("_blocks.{n}._se_expand", "blocks.{n}.se.conv_expand"),
    rename("_blocks.{n}._project_conv", "blocks.{n}.conv_pwl"),
    rename("_blocks.{n}._bn2", "blocks.{n}.bn3"),
    rename("_conv_head", "conv_head"),
    rename("_bn1", "bn2"),
    rename("_fc", "classifier"),
];
