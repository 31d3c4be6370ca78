//! Names of osmr's pytorchcv, which names the units of all its networks alike.

use super::super::rule::{Change, Naming, READ, Rule, change, rename, zero};
use super::shared::{COUNTED, VGG_BN};

const FROM: &str = "pytorchcv";
const UNIT: &str = "features.stage{s+1}.unit{b+1}";

pub(super) const NAMINGS: &[Naming] = &[
    Naming {
        models: &["torchvision/resnet", "torchvision/resnext"],
        from: FROM,
        to: "torchvision",
        rules: &[RESNET],
        ..READ
    },
    Naming { models: &["timm/resnet", "timm/seresnet"], from: FROM, to: "timm", rules: &[RESNET], ..READ },
    Naming {
        models: &["paper/resnet", "paper/se_resnet", "paper/preact_resnet", "paper/wrn_", "paper/resnext"],
        from: FROM,
        to: "paper",
        rules: &[RESNET],
        ..READ
    },
    Naming { models: &["torchvision/regnet"], from: FROM, to: "torchvision", rules: &[REGNET], ..READ },
    Naming { models: &["torchvision/densenet"], from: FROM, to: "torchvision", rules: &[DENSENET], ..READ },
    Naming { models: &["paper/densenet"], from: FROM, to: "paper", rules: &[DENSENET], ..READ },
    Naming {
        models: &[
            "timm/efficientnet_b",
            "timm/tf_efficientnet_b",
            "timm/mobilenetv2_",
            "timm/mobilenetv3_large",
        ],
        from: FROM,
        to: COUNTED,
        rules: &[MOBILE],
        grid: Some(UNIT),
        ..READ
    },
    Naming { models: &["paper/mobilenet_v1"], from: FROM, to: "paper", rules: &[MOBILENET_V1], ..READ },
    Naming {
        models: VGG_BN,
        from: FROM,
        to: "torchvision",
        rules: &[VGG],
        grid: Some(UNIT),
        // The layers of torchvision alone.
        ranks: Some(["-", "features.{n}"]),
        ..READ
    },
];

const RESNET: &[Rule] = &[
    rename("features.init_block.conv.conv", "conv1"),
    rename("features.init_block.conv.bn", "bn1"),
    // Those for CIFAR, with norms after and before the convolutions.
    rename("features.init_block.conv", "conv1"),
    rename("features.init_block.bn", "bn1"),
    rename("features.init_block", "conv1"),
    rename("features.stage{s}.unit{b+1}.body.conv{j}.conv", "layer{s}.{b}.conv{j}"),
    rename("features.stage{s}.unit{b+1}.body.conv{j}.bn", "layer{s}.{b}.bn{j}"),
    rename("features.stage{s}.unit{b+1}.se.conv{n}", "layer{s}.{b}.se.fc{n}"),
    rename("features.stage{s}.unit{b+1}.identity_conv.conv", "layer{s}.{b}.downsample.0"),
    rename("features.stage{s}.unit{b+1}.identity_conv.bn", "layer{s}.{b}.downsample.1"),
    rename("features.stage{s}.unit{b+1}.identity_conv", "layer{s}.{b}.downsample.0"),
    rename("features.post_activ.bn", "norm"),
    rename("output", "fc"),
];

macro_rules! in_regnet {
    ($layer:literal) => {
        concat!("trunk_output.block{s+1}.block{s+1}-{b}.", $layer)
    };
}
macro_rules! in_unit {
    ($layer:literal) => {
        concat!("features.stage{s+1}.unit{b+1}.", $layer)
    };
}

const REGNET: &[Rule] = &[
    rename("features.init_block.conv", "stem.0"),
    rename("features.init_block.bn", "stem.1"),
    rename(in_unit!("body.conv1.conv"), in_regnet!("f.a.0")),
    rename(in_unit!("body.conv1.bn"), in_regnet!("f.a.1")),
    rename(in_unit!("body.conv2.conv"), in_regnet!("f.b.0")),
    rename(in_unit!("body.conv2.bn"), in_regnet!("f.b.1")),
    rename(in_unit!("body.se.conv{n}"), in_regnet!("f.se.fc{n}")),
    rename(in_unit!("body.conv3.conv"), in_regnet!("f.c.0")),
    rename(in_unit!("body.conv3.bn"), in_regnet!("f.c.1")),
    rename(in_unit!("identity_conv.conv"), in_regnet!("proj.0")),
    rename(in_unit!("identity_conv.bn"), in_regnet!("proj.1")),
    rename("output", "fc"),
];

const DENSENET: &[Rule] = &[
    rename("features.init_block.conv", "features.conv0"),
    rename("features.init_block.bn", "features.norm0"),
    rename("features.init_block", "features.conv0"),
    rename("features.stage{s}.unit{l}.conv{j}.conv", "features.denseblock{s}.denselayer{l}.conv{j}"),
    rename("features.stage{s}.unit{l}.conv{j}.bn", "features.denseblock{s}.denselayer{l}.norm{j}"),
    rename("features.stage{s+1}.trans{t}.conv.conv", "features.transition{s}.conv"),
    rename("features.stage{s+1}.trans{t}.conv.bn", "features.transition{s}.norm"),
    rename("features.post_activ.bn", "features.norm5"),
    rename("output", "classifier"),
];

/// Stages part at strides, so that they are fewer than timm's.
const MOBILE: &[Rule] = &[
    rename("features.init_block.conv.conv", "conv_stem"),
    rename("features.init_block.conv.bn", "bn1"),
    rename("features.init_block.conv", "conv_stem"),
    rename("features.init_block.bn", "bn1"),
    // Without expansion, and MobileNet v3 with it.
    rename(in_unit!("dw_conv.conv"), "blocks.{s.b}.conv_dw"),
    rename(in_unit!("dw_conv.bn"), "blocks.{s.b}.bn2"),
    rename(in_unit!("pw_conv.conv"), "blocks.{s.b}.conv_pwl"),
    rename(in_unit!("pw_conv.bn"), "blocks.{s.b}.bn3"),
    rename(in_unit!("conv1.conv"), "blocks.{s.b}.conv_pw"),
    rename(in_unit!("conv1.bn"), "blocks.{s.b}.bn1"),
    rename(in_unit!("conv2.conv"), "blocks.{s.b}.conv_dw"),
    rename(in_unit!("conv2.bn"), "blocks.{s.b}.bn2"),
    rename(in_unit!("conv3.conv"), "blocks.{s.b}.conv_pwl"),
    rename(in_unit!("conv3.bn"), "blocks.{s.b}.bn3"),
    rename(in_unit!("se.conv1"), "blocks.{s.b}.se.conv_reduce"),
    rename(in_unit!("se.conv2"), "blocks.{s.b}.se.conv_expand"),
    rename("features.final_block.conv", "conv_head"),
    rename("features.final_block.bn", "bn2"),
    rename("output.fc", "classifier"),
    change("output", "classifier", Change::Matrix),
    // A convolution without bias classifies in MobileNet v2.
    zero("classifier.bias"),
];

const MOBILENET_V1: &[Rule] = &[
    rename("features.init_block.conv", "conv_stem"),
    rename("features.init_block.bn", "bn1"),
    rename(in_unit!("dw_conv.conv"), "blocks.{s}.{b}.conv_dw"),
    rename(in_unit!("dw_conv.bn"), "blocks.{s}.{b}.bn1"),
    rename(in_unit!("pw_conv.conv"), "blocks.{s}.{b}.conv_pw"),
    rename(in_unit!("pw_conv.bn"), "blocks.{s}.{b}.bn2"),
    rename("output", "classifier"),
];

const VGG: &[Rule] = &[
    rename(in_unit!("conv"), "features.{#2s.b}"),
    rename(in_unit!("bn"), "features.{#2s.b+1}"),
    // Some have convolutions without bias.
    zero("features.{#2n}.bias"),
    rename("output.fc1.fc", "classifier.0"),
    rename("output.fc2.fc", "classifier.3"),
    rename("output.fc3", "classifier.6"),
];
