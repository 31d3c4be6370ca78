//! torchvision's names of the networks that timm has, too, and older versions of both.

use super::super::rule::{NAMING, Naming, Rule, position_index, rename, unflatten, without};

pub(super) const NAMINGS: &[Naming] = &[
    Naming {
        models: &[
            "torchvision/resnet",
            "torchvision/resnext",
            "torchvision/wide_resnet",
            "torchvision/densenet",
            "timm/resnet18",
            "timm/resnet34",
            "timm/resnet50",
            "timm/resnet101",
            "timm/resnet152",
            "timm/resnext50_32x4d",
            "timm/resnext101_32x8d",
            "timm/resnext101_64x4d",
            "timm/wide_resnet50_2",
            "timm/wide_resnet101_2",
            "timm/densenet121",
            "timm/densenet161",
            "timm/densenet169",
            "timm/densenet201",
        ],
        from: "torchvision",
        to: "timm",
        rules: &[],
        ..NAMING
    },
    Naming {
        models: &["torchvision/densenet", "timm/densenet"],
        from: "torchvision 0.1",
        to: "torchvision",
        rules: &[OLD_DENSENET],
        ..NAMING
    },
    Naming {
        models: &["torchvision/vgg", "timm/vgg"],
        from: "torchvision",
        to: "timm",
        rules: &[VGG],
        ..NAMING
    },
    // The paper's and torchvision's networks, with either head.
    Naming { models: &["paper/vgg"], from: "fully connected", to: "paper", rules: &[VGG], ..NAMING },
    Naming { models: &["paper/vgg"], from: "paper", to: "fully convolutional", rules: &[VGG], ..NAMING },
    Naming {
        models: &["torchvision/vgg"],
        from: "fully connected",
        to: "torchvision",
        rules: &[VGG],
        ..NAMING
    },
    Naming {
        models: &["torchvision/googlenet", "torchvision/inception_v3", "timm/inception_v3"],
        from: "torchvision with auxiliary heads",
        to: "torchvision",
        rules: &[AUXILIARY],
        ..NAMING
    },
    Naming {
        models: &["torchvision/inception_v3", "timm/inception_v3"],
        from: "torchvision",
        to: "timm",
        rules: &[],
        ..NAMING
    },
    Naming {
        models: &["torchvision/efficientnet_b", "timm/efficientnet_b", "timm/tf_efficientnet_b"],
        from: "torchvision",
        to: "timm",
        rules: &[MOBILE_STEM, EFFICIENTNET_FIRST, MB_CONV, HEAD_8],
        ..NAMING
    },
    Naming {
        models: &["torchvision/efficientnet_v2_s", "timm/efficientnetv2_s", "timm/tf_efficientnetv2_s"],
        from: "torchvision",
        to: "timm",
        rules: &[MOBILE_STEM, EFFICIENTNET_V2_FUSED, MB_CONV, HEAD_7],
        ..NAMING
    },
    Naming {
        models: &[
            "torchvision/efficientnet_v2_m",
            "torchvision/efficientnet_v2_l",
            "timm/efficientnetv2_m",
            "timm/efficientnetv2_l",
            "timm/tf_efficientnetv2_m",
            "timm/tf_efficientnetv2_l",
        ],
        from: "torchvision",
        to: "timm",
        rules: &[MOBILE_STEM, EFFICIENTNET_V2_FUSED, MB_CONV, HEAD_8],
        ..NAMING
    },
    Naming {
        models: &["torchvision/mobilenet_v2", "timm/mobilenetv2_100"],
        from: "torchvision",
        to: "timm",
        rules: MOBILENET_V2,
        ..NAMING
    },
    Naming {
        models: &[
            "torchvision/mobilenet_v3_large",
            "timm/mobilenetv3_large_100",
            "timm/tf_mobilenetv3_large_100",
        ],
        from: "torchvision",
        to: "timm",
        rules: MOBILENET_V3_LARGE,
        ..NAMING
    },
    Naming {
        models: &[
            "torchvision/mobilenet_v3_small",
            "timm/mobilenetv3_small_100",
            "timm/tf_mobilenetv3_small_100",
        ],
        from: "torchvision",
        to: "timm",
        rules: MOBILENET_V3_SMALL,
        ..NAMING
    },
    Naming { models: VIT_MODELS, from: "torchvision", to: "timm", rules: &[VIT], ..NAMING },
    Naming { models: VIT_MODELS, from: "torchvision 0.12", to: "torchvision", rules: &[OLD_VIT], ..NAMING },
    Naming {
        models: &[
            "torchvision/swin_t",
            "torchvision/swin_s",
            "torchvision/swin_b",
            "timm/swin_tiny",
            "timm/swin_small",
            "timm/swin_base",
        ],
        from: "torchvision",
        to: "timm",
        rules: &[SWIN],
        ..NAMING
    },
];

const OLD_DENSENET: &[Rule] = &[
    rename("features.denseblock{b}.denselayer{l}.norm.{i}", "features.denseblock{b}.denselayer{l}.norm{i}"),
    rename("features.denseblock{b}.denselayer{l}.conv.{i}", "features.denseblock{b}.denselayer{l}.conv{i}"),
];

/// timm implements the first linear layers as convolutions.
const VGG: &[Rule] = &[
    unflatten("classifier.0", "pre_logits.fc1", 7),
    unflatten("classifier.3", "pre_logits.fc2", 1),
    rename("classifier.6", "head.fc"),
];

/// Auxiliary heads, used in training only.
const AUXILIARY: &[Rule] = &[without("AuxLogits"), without("aux1"), without("aux2")];

/// The stem and head of the mobile networks.
const MOBILE_STEM: &[Rule] = &[rename("features.0.0", "conv_stem"), rename("features.0.1", "bn1")];
const HEAD_7: &[Rule] = &[
    rename("features.7.0", "conv_head"),
    rename("features.7.1", "bn2"),
    rename("classifier.1", "classifier"),
];
const HEAD_8: &[Rule] = &[
    rename("features.8.0", "conv_head"),
    rename("features.8.1", "bn2"),
    rename("classifier.1", "classifier"),
];

/// The first stage has no expansion.
const EFFICIENTNET_FIRST: &[Rule] = &[
    rename("features.1.{b}.block.0.0", "blocks.0.{b}.conv_dw"),
    rename("features.1.{b}.block.0.1", "blocks.0.{b}.bn1"),
    rename("features.1.{b}.block.1.fc1", "blocks.0.{b}.se.conv_reduce"),
    rename("features.1.{b}.block.1.fc2", "blocks.0.{b}.se.conv_expand"),
    rename("features.1.{b}.block.2.0", "blocks.0.{b}.conv_pw"),
    rename("features.1.{b}.block.2.1", "blocks.0.{b}.bn2"),
];

const EFFICIENTNET_V2_FUSED: &[Rule] = &[
    rename("features.1.{b}.block.0.0", "blocks.0.{b}.conv"),
    rename("features.1.{b}.block.0.1", "blocks.0.{b}.bn1"),
    rename("features.2.{b}.block.0.0", "blocks.1.{b}.conv_exp"),
    rename("features.2.{b}.block.0.1", "blocks.1.{b}.bn1"),
    rename("features.2.{b}.block.1.0", "blocks.1.{b}.conv_pwl"),
    rename("features.2.{b}.block.1.1", "blocks.1.{b}.bn2"),
    rename("features.3.{b}.block.0.0", "blocks.2.{b}.conv_exp"),
    rename("features.3.{b}.block.0.1", "blocks.2.{b}.bn1"),
    rename("features.3.{b}.block.1.0", "blocks.2.{b}.conv_pwl"),
    rename("features.3.{b}.block.1.1", "blocks.2.{b}.bn2"),
];

/// Inverted residual blocks with squeeze-excitation, for one position in both libraries.
macro_rules! mb_conv {
    ($from:literal, $to:literal) => {
        &[
            rename(concat!($from, ".block.0.0"), concat!($to, ".conv_pw")),
            rename(concat!($from, ".block.0.1"), concat!($to, ".bn1")),
            rename(concat!($from, ".block.1.0"), concat!($to, ".conv_dw")),
            rename(concat!($from, ".block.1.1"), concat!($to, ".bn2")),
            rename(concat!($from, ".block.2.fc1"), concat!($to, ".se.conv_reduce")),
            rename(concat!($from, ".block.2.fc2"), concat!($to, ".se.conv_expand")),
            rename(concat!($from, ".block.3.0"), concat!($to, ".conv_pwl")),
            rename(concat!($from, ".block.3.1"), concat!($to, ".bn3")),
        ]
    };
}

/// The same without squeeze-excitation; `$conv` and `$norm` are torchvision's names of the last two layers.
macro_rules! inverted {
    ($from:literal, $to:literal, $conv:literal, $norm:literal) => {
        &[
            rename(concat!($from, ".0.0"), concat!($to, ".conv_pw")),
            rename(concat!($from, ".0.1"), concat!($to, ".bn1")),
            rename(concat!($from, ".1.0"), concat!($to, ".conv_dw")),
            rename(concat!($from, ".1.1"), concat!($to, ".bn2")),
            rename(concat!($from, $conv), concat!($to, ".conv_pwl")),
            rename(concat!($from, $norm), concat!($to, ".bn3")),
        ]
    };
}

const MB_CONV: &[Rule] = mb_conv!("features.{s+1}.{b}", "blocks.{s}.{b}");

/// torchvision numbers blocks across all stages, so that the rules go from the last stage to the first.
const MOBILENET_V2: &[&[Rule]] = &[
    MOBILE_STEM,
    &[
        rename("features.1.conv.0.0", "blocks.0.0.conv_dw"),
        rename("features.1.conv.0.1", "blocks.0.0.bn1"),
        rename("features.1.conv.1", "blocks.0.0.conv_pw"),
        rename("features.1.conv.2", "blocks.0.0.bn2"),
        rename("features.18.0", "conv_head"),
        rename("features.18.1", "bn2"),
        rename("classifier.1", "classifier"),
    ],
    inverted!("features.{b+17}.conv", "blocks.6.{b}", ".2", ".3"),
    inverted!("features.{b+14}.conv", "blocks.5.{b}", ".2", ".3"),
    inverted!("features.{b+11}.conv", "blocks.4.{b}", ".2", ".3"),
    inverted!("features.{b+7}.conv", "blocks.3.{b}", ".2", ".3"),
    inverted!("features.{b+4}.conv", "blocks.2.{b}", ".2", ".3"),
    inverted!("features.{b+2}.conv", "blocks.1.{b}", ".2", ".3"),
];

/// timm implements the first linear layer as a convolution.
const MOBILENET_V3_HEAD: &[Rule] =
    &[unflatten("classifier.0", "conv_head", 1), rename("classifier.3", "classifier")];

const MOBILENET_V3_LARGE: &[&[Rule]] = &[
    MOBILE_STEM,
    &[
        rename("features.1.block.0.0", "blocks.0.0.conv_dw"),
        rename("features.1.block.0.1", "blocks.0.0.bn1"),
        rename("features.1.block.1.0", "blocks.0.0.conv_pw"),
        rename("features.1.block.1.1", "blocks.0.0.bn2"),
        rename("features.16.0", "blocks.6.0.conv"),
        rename("features.16.1", "blocks.6.0.bn1"),
    ],
    mb_conv!("features.{b+13}", "blocks.5.{b}"),
    mb_conv!("features.{b+11}", "blocks.4.{b}"),
    inverted!("features.{b+7}.block", "blocks.3.{b}", ".2.0", ".2.1"),
    mb_conv!("features.{b+4}", "blocks.2.{b}"),
    inverted!("features.{b+2}.block", "blocks.1.{b}", ".2.0", ".2.1"),
    MOBILENET_V3_HEAD,
];

const MOBILENET_V3_SMALL: &[&[Rule]] = &[
    MOBILE_STEM,
    &[
        rename("features.1.block.0.0", "blocks.0.0.conv_dw"),
        rename("features.1.block.0.1", "blocks.0.0.bn1"),
        rename("features.1.block.1.fc1", "blocks.0.0.se.conv_reduce"),
        rename("features.1.block.1.fc2", "blocks.0.0.se.conv_expand"),
        rename("features.1.block.2.0", "blocks.0.0.conv_pw"),
        rename("features.1.block.2.1", "blocks.0.0.bn2"),
        rename("features.12.0", "blocks.5.0.conv"),
        rename("features.12.1", "blocks.5.0.bn1"),
    ],
    mb_conv!("features.{b+9}", "blocks.4.{b}"),
    mb_conv!("features.{b+7}", "blocks.3.{b}"),
    mb_conv!("features.{b+4}", "blocks.2.{b}"),
    inverted!("features.{b+2}.block", "blocks.1.{b}", ".2.0", ".2.1"),
    MOBILENET_V3_HEAD,
];

const VIT_MODELS: &[&str] = &[
    "torchvision/vit_",
    "timm/vit_base_patch16_224",
    "timm/vit_base_patch32_224",
    "timm/vit_large_patch16_224",
    "timm/vit_large_patch32_224",
];

const VIT: &[Rule] = &[
    rename("class_token", "cls_token"),
    rename("conv_proj", "patch_embed.proj"),
    rename("encoder.pos_embedding", "pos_embed"),
    rename("encoder.layers.encoder_layer_{i}.ln_1", "blocks.{i}.norm1"),
    rename("encoder.layers.encoder_layer_{i}.self_attention.in_proj_weight", "blocks.{i}.attn.qkv.weight"),
    rename("encoder.layers.encoder_layer_{i}.self_attention.in_proj_bias", "blocks.{i}.attn.qkv.bias"),
    rename("encoder.layers.encoder_layer_{i}.self_attention.out_proj", "blocks.{i}.attn.proj"),
    rename("encoder.layers.encoder_layer_{i}.ln_2", "blocks.{i}.norm2"),
    rename("encoder.layers.encoder_layer_{i}.mlp.0", "blocks.{i}.mlp.fc1"),
    rename("encoder.layers.encoder_layer_{i}.mlp.3", "blocks.{i}.mlp.fc2"),
    rename("encoder.ln", "norm"),
    rename("heads.head", "head"),
];

const OLD_VIT: &[Rule] = &[
    rename("encoder.layers.encoder_layer_{i}.mlp.linear_1", "encoder.layers.encoder_layer_{i}.mlp.0"),
    rename("encoder.layers.encoder_layer_{i}.mlp.linear_2", "encoder.layers.encoder_layer_{i}.mlp.3"),
];

const SWIN: &[Rule] = &[
    rename("features.0.0", "patch_embed.proj"),
    rename("features.0.2", "patch_embed.norm"),
    position_index("features.{2s+1}.{b}.attn.relative_position_index"),
    rename("features.{2s+1}.{b}.mlp.0", "layers.{s}.blocks.{b}.mlp.fc1"),
    rename("features.{2s+1}.{b}.mlp.3", "layers.{s}.blocks.{b}.mlp.fc2"),
    rename("features.{2s+1}.{b}", "layers.{s}.blocks.{b}"),
    rename("features.{2s}", "layers.{s}.downsample"),
    rename("head", "head.fc"),
];
