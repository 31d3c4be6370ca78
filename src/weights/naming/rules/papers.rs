//! Names in the repositories of the papers' authors, and of CLIP and SWAG.

use super::super::rule::{Change, NAMING, Naming, READ, Rule, change, rename, transpose, zero};
use super::shared::registers;

pub(super) const NAMINGS: &[Naming] = &[
    Naming {
        models: &["torchvision/convnext_"],
        from: "ConvNeXt",
        to: "torchvision",
        rules: &[CONVNEXT],
        ..NAMING
    },
    Naming { models: &["timm/swin_", "timm/swinv2_"], from: "Swin", to: "timm", rules: &[SWIN], ..READ },
    Naming { models: &["timm/deit3_"], from: "DeiT III", to: "timm", rules: &[GAMMA], ..READ },
    Naming {
        models: &["timm/vit_"],
        from: "DINOv2",
        to: "timm",
        rules: &[DINO_V2],
        rework: Some(registers),
        ..READ
    },
    Naming { models: &["timm/vit_"], from: "CLIP", to: "timm", rules: &[CLIP], ..READ },
    Naming { models: &["torchvision/vit_"], from: "SWAG", to: "torchvision", rules: &[SWAG], ..READ },
    Naming {
        models: &["torchvision/regnet_y"],
        from: "SWAG",
        to: "torchvision",
        rules: &[SWAG_REGNET],
        ..READ
    },
    Naming {
        models: &["torchvision/regnet_"],
        from: "pycls",
        to: "torchvision",
        rules: &[PYCLS],
        note: BGR,
        ..READ
    },
    Naming {
        models: &["torchvision/resnet"],
        from: "pycls",
        to: "torchvision",
        rules: &[PYCLS_RESNET],
        note: BGR,
        ..READ
    },
    Naming {
        models: &["timm/efficientnet_b"],
        from: "pycls",
        to: "timm",
        rules: &[PYCLS_EFFICIENTNET],
        note: BGR,
        ..READ
    },
    Naming { models: &["timm/resnetv2_"], from: "BiT", to: "timm", rules: &[BIT], ..READ },
    Naming {
        models: &["torchvision/mobilenet_v2"],
        from: "tonylins",
        to: "torchvision",
        rules: &[TONYLINS],
        ..READ
    },
    Naming {
        models: &["torchvision/mobilenet_v2"],
        from: "d-li14",
        to: "tonylins",
        rules: &[D_LI14],
        ..READ
    },
];

const BGR: Option<&str> = Some("its first convolution is turned from BGR to RGB");

const CONVNEXT: &[Rule] = &[
    rename("downsample_layers.{s}.{k}", "features.{2s}.{k}"),
    change("stages.{s}.{b}.gamma", "features.{2s+1}.{b}.layer_scale", Change::Trail(2)),
    rename("stages.{s}.{b}.dwconv", "features.{2s+1}.{b}.block.0"),
    rename("stages.{s}.{b}.norm", "features.{2s+1}.{b}.block.2"),
    rename("stages.{s}.{b}.pwconv1", "features.{2s+1}.{b}.block.3"),
    rename("stages.{s}.{b}.pwconv2", "features.{2s+1}.{b}.block.5"),
    rename("norm", "classifier.0"),
    rename("head", "classifier.2"),
];

/// The repository merges patches at the end of a stage, timm at the beginning of the next.
const SWIN: &[Rule] =
    &[rename("layers.{s}.downsample", "layers.{s+1}.downsample"), rename("head", "head.fc")];

const GAMMA: &[Rule] = &[rename("blocks.{i}.gamma_{n}", "blocks.{i}.ls{n}.gamma")];

/// Training has blocks in chunks.
const DINO_V2: &[Rule] = &[
    rename("register_tokens", "reg_token"),
    rename("blocks.{i}.mlp.w12", "blocks.{i}.mlp.fc1"),
    rename("blocks.{i}.mlp.w3", "blocks.{i}.mlp.fc2"),
    rename("blocks.{c}.{i}.mlp.w12", "blocks.{i}.mlp.fc1"),
    rename("blocks.{c}.{i}.mlp.w3", "blocks.{i}.mlp.fc2"),
    rename("blocks.{c}.{i}", "blocks.{i}"),
];

const CLIP: &[Rule] = &[
    change("class_embedding", "cls_token", Change::Lead(2)),
    change("positional_embedding", "pos_embed", Change::Lead(1)),
    rename("conv1", "patch_embed.proj"),
    rename("ln_pre", "norm_pre"),
    rename("transformer.resblocks.{i}.ln_1", "blocks.{i}.norm1"),
    rename("transformer.resblocks.{i}.attn.in_proj_weight", "blocks.{i}.attn.qkv.weight"),
    rename("transformer.resblocks.{i}.attn.in_proj_bias", "blocks.{i}.attn.qkv.bias"),
    rename("transformer.resblocks.{i}.attn.out_proj", "blocks.{i}.attn.proj"),
    rename("transformer.resblocks.{i}.ln_2", "blocks.{i}.norm2"),
    rename("transformer.resblocks.{i}.mlp.c_fc", "blocks.{i}.mlp.fc1"),
    rename("transformer.resblocks.{i}.mlp.c_proj", "blocks.{i}.mlp.fc2"),
    rename("ln_post", "norm"),
    transpose("proj", "head.weight"),
    zero("head.bias"),
];

const SWAG: &[Rule] = &[
    change("encoder.pos_embedding", "encoder.pos_embedding", Change::Exchange),
    rename("encoder.layers.layer_{i}.mlp.linear_1", "encoder.layers.encoder_layer_{i}.mlp.0"),
    rename("encoder.layers.layer_{i}.mlp.linear_2", "encoder.layers.encoder_layer_{i}.mlp.3"),
    rename("encoder.layers.layer_{i}", "encoder.layers.encoder_layer_{i}"),
    rename("head.layers.head", "heads.head"),
];

macro_rules! block {
    ($layer:literal) => {
        concat!("trunk_output.block{s+1}.block{s+1}-{b}.", $layer)
    };
}

const SWAG_REGNET: &[Rule] = &[
    rename("stem.stem.{k}", "stem.{k}"),
    rename("trunk_output.block{s+1}.block{s+1}-{b}.proj", block!("proj.0")),
    rename("trunk_output.block{s+1}.block{s+1}-{b}.bn", block!("proj.1")),
    rename("trunk_output.block{s+1}.block{s+1}-{b}.f.c", block!("f.c.0")),
    rename("trunk_output.block{s+1}.block{s+1}-{b}.f.final_bn", block!("f.c.1")),
    rename("trunk_output.block{s+1}.block{s+1}-{b}.f.se.excitation.0", block!("f.se.fc1")),
    rename("trunk_output.block{s+1}.block{s+1}-{b}.f.se.excitation.2", block!("f.se.fc2")),
    rename("head.fc", "fc"),
];

const PYCLS: &[Rule] = &[
    change("stem.conv", "stem.0", Change::Flip),
    rename("stem.bn", "stem.1"),
    rename("s{s+1}.b{b+1}.proj", block!("proj.0")),
    rename("s{s+1}.b{b+1}.bn", block!("proj.1")),
    rename("s{s+1}.b{b+1}.f.a", block!("f.a.0")),
    rename("s{s+1}.b{b+1}.f.a_bn", block!("f.a.1")),
    rename("s{s+1}.b{b+1}.f.b", block!("f.b.0")),
    rename("s{s+1}.b{b+1}.f.b_bn", block!("f.b.1")),
    rename("s{s+1}.b{b+1}.f.c", block!("f.c.0")),
    rename("s{s+1}.b{b+1}.f.c_bn", block!("f.c.1")),
    rename("s{s+1}.b{b+1}.f.se.f_ex.0", block!("f.se.fc1")),
    rename("s{s+1}.b{b+1}.f.se.f_ex.2", block!("f.se.fc2")),
    rename("head.fc", "fc"),
];

const PYCLS_RESNET: &[Rule] = &[
    change("stem.conv", "conv1", Change::Flip),
    rename("stem.bn", "bn1"),
    rename("s{s}.b{b+1}.proj", "layer{s}.{b}.downsample.0"),
    rename("s{s}.b{b+1}.bn", "layer{s}.{b}.downsample.1"),
    rename("s{s}.b{b+1}.f.a", "layer{s}.{b}.conv1"),
    rename("s{s}.b{b+1}.f.a_bn", "layer{s}.{b}.bn1"),
    rename("s{s}.b{b+1}.f.b", "layer{s}.{b}.conv2"),
    rename("s{s}.b{b+1}.f.b_bn", "layer{s}.{b}.bn2"),
    rename("s{s}.b{b+1}.f.c", "layer{s}.{b}.conv3"),
    rename("s{s}.b{b+1}.f.c_bn", "layer{s}.{b}.bn3"),
    rename("head.fc", "fc"),
];

/// The blocks of the first stage do not expand.
const PYCLS_EFFICIENTNET: &[Rule] = &[
    change("stem.conv", "conv_stem", Change::Flip),
    rename("stem.bn", "bn1"),
    rename("s1.b{b+1}.dwise", "blocks.0.{b}.conv_dw"),
    rename("s1.b{b+1}.dwise_bn", "blocks.0.{b}.bn1"),
    rename("s1.b{b+1}.lin_proj", "blocks.0.{b}.conv_pw"),
    rename("s1.b{b+1}.lin_proj_bn", "blocks.0.{b}.bn2"),
    rename("s{s+1}.b{b+1}.exp", "blocks.{s}.{b}.conv_pw"),
    rename("s{s+1}.b{b+1}.exp_bn", "blocks.{s}.{b}.bn1"),
    rename("s{s+1}.b{b+1}.dwise", "blocks.{s}.{b}.conv_dw"),
    rename("s{s+1}.b{b+1}.dwise_bn", "blocks.{s}.{b}.bn2"),
    rename("s{s+1}.b{b+1}.lin_proj", "blocks.{s}.{b}.conv_pwl"),
    rename("s{s+1}.b{b+1}.lin_proj_bn", "blocks.{s}.{b}.bn3"),
    rename("s{s+1}.b{b+1}.se.f_ex.0", "blocks.{s}.{b}.se.conv_reduce"),
    rename("s{s+1}.b{b+1}.se.f_ex.2", "blocks.{s}.{b}.se.conv_expand"),
    rename("head.conv", "conv_head"),
    rename("head.conv_bn", "bn2"),
    rename("head.fc", "classifier"),
];

const BIT: &[Rule] = &[
    rename("root.conv", "stem.conv"),
    rename("body.block{s+1}.unit{u+1}.gn{j}", "stages.{s}.blocks.{u}.norm{j}"),
    rename("body.block{s+1}.unit{u+1}.conv{j}", "stages.{s}.blocks.{u}.conv{j}"),
    rename("body.block{s+1}.unit{u+1}.downsample", "stages.{s}.blocks.{u}.downsample.conv"),
    rename("head.gn", "norm"),
    rename("head.conv", "head.fc"),
];

/// Convolution and norm are not nested as torchvision's.
const TONYLINS: &[Rule] = &[
    rename("features.1.conv.0", "features.1.conv.0.0"),
    rename("features.1.conv.1", "features.1.conv.0.1"),
    rename("features.1.conv.3", "features.1.conv.1"),
    rename("features.1.conv.4", "features.1.conv.2"),
    rename("features.{i}.conv.0", "features.{i}.conv.0.0"),
    rename("features.{i}.conv.1", "features.{i}.conv.0.1"),
    rename("features.{i}.conv.3", "features.{i}.conv.1.0"),
    rename("features.{i}.conv.4", "features.{i}.conv.1.1"),
    rename("features.{i}.conv.6", "features.{i}.conv.2"),
    rename("features.{i}.conv.7", "features.{i}.conv.3"),
    rename("classifier", "classifier.1"),
];

/// The last convolution stands outside the features.
const D_LI14: &[Rule] = &[rename("conv.0", "features.18.0"), rename("conv.1", "features.18.1")];
