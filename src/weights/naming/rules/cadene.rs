//! Names of Cadene's pretrainedmodels, where they are not timm's legacy ones.

use super::super::rule::{Change, Naming, READ, Rule, change, rename};

const FROM: &str = "pretrainedmodels";

pub(super) const NAMINGS: &[Naming] = &[
    Naming {
        models: &["timm/legacy_xception"],
        from: FROM,
        to: "timm",
        rules: &[&[rename("last_linear", "fc")]],
        ..READ
    },
    Naming {
        models: &["torchvision/densenet"],
        from: FROM,
        to: "torchvision",
        rules: &[&[rename("last_linear", "classifier")]],
        ..READ
    },
    Naming {
        models: &["timm/inception_resnet_v2"],
        from: FROM,
        to: "timm",
        rules: &[&[change("last_linear", "classif", Change::Background)]],
        ..READ
    },
    Naming {
        models: &["timm/resnext101_", "timm/resnext50_"],
        from: FROM,
        to: "timm",
        rules: &[RESNEXT],
        ..READ
    },
];

/// Converted from Torch, where a block is a sequence of parallel ones.
const RESNEXT: &[Rule] = &[
    rename("features.0", "conv1"),
    rename("features.1", "bn1"),
    rename("features.{s+3}.{b}.0.0.0.0", "layer{s}.{b}.conv1"),
    rename("features.{s+3}.{b}.0.0.0.1", "layer{s}.{b}.bn1"),
    rename("features.{s+3}.{b}.0.0.0.3", "layer{s}.{b}.conv2"),
    rename("features.{s+3}.{b}.0.0.0.4", "layer{s}.{b}.bn2"),
    rename("features.{s+3}.{b}.0.0.1", "layer{s}.{b}.conv3"),
    rename("features.{s+3}.{b}.0.0.2", "layer{s}.{b}.bn3"),
    rename("features.{s+3}.{b}.0.1", "layer{s}.{b}.downsample"),
    rename("last_linear", "fc"),
];
