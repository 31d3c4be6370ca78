//! Names of OpenMMLab's mmpretrain 1.2 (`mmpretrain/models/backbones`) and mmcls: `backbone.`, and `head.fc`.

use super::super::rule::{Change, Naming, READ, Rule, change, rename, unflatten};
use super::shared::{COUNTED, VGG_BN};

const FROM: &str = "mmpretrain";
const BGR: Option<&str> = Some("its first convolution is turned from BGR to RGB");

pub(super) const NAMINGS: &[Naming] = &[
    Naming {
        models: &["torchvision/resnet", "torchvision/resnext", "torchvision/wide_resnet", "paper/resnet"],
        from: FROM,
        to: "torchvision",
        base: "backbone",
        rules: &[FC],
        ..READ
    },
    Naming {
        models: VGG_BN,
        from: FROM,
        to: "torchvision",
        base: "backbone",
        rules: &[&[
            rename("features.{#n}.conv", "features.{#2n}"),
            rename("features.{#n}.bn", "features.{#2n+1}"),
        ]],
        ranks: Some(["features.{n}.conv", "features.{n}"]),
        ..READ
    },
    Naming {
        models: &["torchvision/vgg11", "torchvision/vgg13", "torchvision/vgg16", "torchvision/vgg19"],
        from: "mmpretrain, without norms",
        to: "torchvision",
        base: "backbone",
        rules: &[&[rename("features.{#n}.conv", "features.{#n}")]],
        ranks: Some(["features.{n}.conv", "features.{n}"]),
        ..READ
    },
    Naming {
        models: &["timm/resnet", "timm/seresnet"],
        from: FROM,
        to: "timm",
        base: "backbone",
        rules: &[DEEP_STEM, SE, FC],
        ..READ
    },
    Naming {
        models: D,
        from: "mmpretrain's V1d",
        to: "timm",
        base: "backbone",
        rules: &[DEEP_STEM, D_SHORTCUT, SE, FC],
        ..READ
    },
    Naming {
        models: &["torchvision/regnet_x"],
        from: FROM,
        to: "torchvision",
        base: "backbone",
        rules: &[REGNET],
        note: BGR,
        ..READ
    },
    Naming {
        models: &["torchvision/mobilenet_v2"],
        from: FROM,
        to: "torchvision",
        base: "backbone",
        rules: &[MOBILENET_V2],
        grid: Some("layer{s+1}.{b}"),
        ..READ
    },
    Naming {
        models: &["torchvision/mobilenet_v3", "timm/mobilenetv3"],
        from: FROM,
        to: COUNTED,
        base: "backbone",
        rules: &[MOBILENET_V3],
        fields: &[("bn_eps", "0.001")],
        ..READ
    },
    Naming {
        models: &["timm/vit_", "timm/deit_"],
        from: FROM,
        to: "timm",
        base: "backbone",
        rules: &[VIT],
        ..READ
    },
    Naming { models: &["timm/swin_"], from: FROM, to: "timm", base: "backbone", rules: &[SWIN], ..READ },
    Naming {
        models: &["torchvision/convnext_"],
        from: FROM,
        to: "torchvision",
        base: "backbone",
        rules: &[CONVNEXT],
        ..READ
    },
    Naming {
        models: &["timm/tf_efficientnet_b", "timm/efficientnet_b"],
        from: FROM,
        to: COUNTED,
        base: "backbone",
        rules: &[EFFICIENTNET],
        grid: Some("layers.{s+1}.{b}"),
        ..READ
    },
    Naming {
        models: &["torchvision/densenet"],
        from: FROM,
        to: "torchvision",
        base: "backbone",
        rules: &[DENSENET],
        ..READ
    },
];

const FC: &[Rule] = &[rename("head.fc", "fc")];

const D: &[&str] =
    &["timm/resnet18d", "timm/resnet34d", "timm/resnet50d", "timm/resnet101d", "timm/resnet152d"];

/// The first stage has no pooling before its convolution; timm keeps the place of one.
const D_SHORTCUT: &[Rule] = &[
    rename("layer1.0.downsample.0", "layer1.0.downsample.1"),
    rename("layer1.0.downsample.1", "layer1.0.downsample.2"),
];

/// Variants C and D.
const DEEP_STEM: &[Rule] = &[
    rename("stem.0.conv", "conv1.0"),
    rename("stem.0.bn", "conv1.1"),
    rename("stem.1.conv", "conv1.3"),
    rename("stem.1.bn", "conv1.4"),
    rename("stem.2.conv", "conv1.6"),
    rename("stem.2.bn", "bn1"),
];
const SE: &[Rule] = &[
    rename("layer{s}.{b}.se_layer.conv1.conv", "layer{s}.{b}.se.fc1"),
    rename("layer{s}.{b}.se_layer.conv2.conv", "layer{s}.{b}.se.fc2"),
];

const REGNET: &[Rule] = &[
    change("conv1", "stem.0", Change::Flip),
    rename("bn1", "stem.1"),
    rename("layer{s+1}.{b}.conv1", "trunk_output.block{s+1}.block{s+1}-{b}.f.a.0"),
    rename("layer{s+1}.{b}.bn1", "trunk_output.block{s+1}.block{s+1}-{b}.f.a.1"),
    rename("layer{s+1}.{b}.conv2", "trunk_output.block{s+1}.block{s+1}-{b}.f.b.0"),
    rename("layer{s+1}.{b}.bn2", "trunk_output.block{s+1}.block{s+1}-{b}.f.b.1"),
    rename("layer{s+1}.{b}.conv3", "trunk_output.block{s+1}.block{s+1}-{b}.f.c.0"),
    rename("layer{s+1}.{b}.bn3", "trunk_output.block{s+1}.block{s+1}-{b}.f.c.1"),
    rename("layer{s+1}.{b}.downsample", "trunk_output.block{s+1}.block{s+1}-{b}.proj"),
    rename("head.fc", "fc"),
];

/// Blocks by stage; torchvision counts them through after the stem.
const MOBILENET_V2: &[Rule] = &[
    rename("conv1.conv", "features.0.0"),
    rename("conv1.bn", "features.0.1"),
    rename("layer1.0.conv.0.conv", "features.1.conv.0.0"),
    rename("layer1.0.conv.0.bn", "features.1.conv.0.1"),
    rename("layer1.0.conv.1.conv", "features.1.conv.1"),
    rename("layer1.0.conv.1.bn", "features.1.conv.2"),
    rename("layer{s+1}.{b}.conv.2.conv", "features.{s.b+1}.conv.2"),
    rename("layer{s+1}.{b}.conv.2.bn", "features.{s.b+1}.conv.3"),
    rename("layer{s+1}.{b}.conv.{n}.conv", "features.{s.b+1}.conv.{n}.0"),
    rename("layer{s+1}.{b}.conv.{n}.bn", "features.{s.b+1}.conv.{n}.1"),
    rename("conv2.conv", "features.18.0"),
    rename("conv2.bn", "features.18.1"),
    rename("head.fc", "classifier.1"),
];

const MOBILENET_V3: &[Rule] = &[
    rename("layer0.conv", "conv_stem"),
    rename("layer0.bn", "bn1"),
    rename("layer{n+1}.expand_conv.conv", "blocks.{n}.conv_pw"),
    rename("layer{n+1}.expand_conv.bn", "blocks.{n}.bn1"),
    rename("layer{n+1}.depthwise_conv.conv", "blocks.{n}.conv_dw"),
    rename("layer{n+1}.depthwise_conv.bn", "blocks.{n}.bn2"),
    rename("layer{n+1}.se.conv1.conv", "blocks.{n}.se.conv_reduce"),
    rename("layer{n+1}.se.conv2.conv", "blocks.{n}.se.conv_expand"),
    rename("layer{n+1}.linear_conv.conv", "blocks.{n}.conv_pwl"),
    rename("layer{n+1}.linear_conv.bn", "blocks.{n}.bn3"),
    // The last convolution has no parts.
    rename("layer{n+1}.conv", "blocks.{n}.conv"),
    rename("layer{n+1}.bn", "blocks.{n}.bn1"),
    unflatten("head.layers.0.fc", "conv_head", 1),
    rename("head.layers.1.fc", "classifier"),
];

/// Stages part at strides, so that they are fewer than timm's.
const EFFICIENTNET: &[Rule] = &[
    rename("layers.0.conv", "conv_stem"),
    rename("layers.0.bn", "bn1"),
    rename("layers.{s+1}.{b}.expand_conv.conv", "blocks.{s.b}.conv_pw"),
    rename("layers.{s+1}.{b}.expand_conv.bn", "blocks.{s.b}.bn1"),
    rename("layers.{s+1}.{b}.depthwise_conv.conv", "blocks.{s.b}.conv_dw"),
    rename("layers.{s+1}.{b}.depthwise_conv.bn", "blocks.{s.b}.bn2"),
    rename("layers.{s+1}.{b}.se.conv1.conv", "blocks.{s.b}.se.conv_reduce"),
    rename("layers.{s+1}.{b}.se.conv2.conv", "blocks.{s.b}.se.conv_expand"),
    rename("layers.{s+1}.{b}.linear_conv.conv", "blocks.{s.b}.conv_pwl"),
    rename("layers.{s+1}.{b}.linear_conv.bn", "blocks.{s.b}.bn3"),
    rename("layers.6.conv", "conv_head"),
    rename("layers.6.bn", "bn2"),
    rename("head.fc", "classifier"),
];

const VIT: &[Rule] = &[
    rename("patch_embed.projection", "patch_embed.proj"),
    rename("pre_norm", "norm_pre"),
    rename("layers.{i}.ln1", "blocks.{i}.norm1"),
    rename("layers.{i}.attn", "blocks.{i}.attn"),
    rename("layers.{i}.ln2", "blocks.{i}.norm2"),
    rename("layers.{i}.ffn.layers.0.0", "blocks.{i}.mlp.fc1"),
    rename("layers.{i}.ffn.layers.1", "blocks.{i}.mlp.fc2"),
    rename("ln1", "norm"),
    rename("ln2", "fc_norm"),
    rename("head.layers.head", "head"),
    rename("head.layers.head_dist", "head_dist"),
];

const SWIN: &[Rule] = &[
    rename("patch_embed.projection", "patch_embed.proj"),
    rename("stages.{s}.blocks.{b}.attn.w_msa", "layers.{s}.blocks.{b}.attn"),
    rename("stages.{s}.blocks.{b}.ffn.layers.0.0", "layers.{s}.blocks.{b}.mlp.fc1"),
    rename("stages.{s}.blocks.{b}.ffn.layers.1", "layers.{s}.blocks.{b}.mlp.fc2"),
    rename("stages.{s}.blocks.{b}", "layers.{s}.blocks.{b}"),
    change("stages.{s}.downsample", "layers.{s+1}.downsample", Change::Unfold),
    rename("norm3", "norm"),
];

const CONVNEXT: &[Rule] = &[
    rename("downsample_layers.{s}.{k}", "features.{2s}.{k}"),
    change("stages.{s}.{b}.gamma", "features.{2s+1}.{b}.layer_scale", Change::Trail(2)),
    rename("stages.{s}.{b}.depthwise_conv", "features.{2s+1}.{b}.block.0"),
    rename("stages.{s}.{b}.norm", "features.{2s+1}.{b}.block.2"),
    rename("stages.{s}.{b}.pointwise_conv1", "features.{2s+1}.{b}.block.3"),
    rename("stages.{s}.{b}.pointwise_conv2", "features.{2s+1}.{b}.block.5"),
    rename("norm3", "classifier.0"),
    rename("head.fc", "classifier.2"),
];

const DENSENET: &[Rule] = &[
    rename("stem.0", "features.conv0"),
    rename("stem.1", "features.norm0"),
    rename("stages.{s}.block.{l}", "features.denseblock{s+1}.denselayer{l+1}"),
    rename("transitions.3.0", "features.norm5"),
    rename("transitions.{s}", "features.transition{s+1}"),
    rename("head.fc", "classifier"),
];
