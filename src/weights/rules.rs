//! The rules by which libraries and their older versions name the same tensors; see [`super::naming`].

use super::naming::{Naming, Rule, rename, unflatten, without};

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
    },
    Naming {
        models: &["torchvision/densenet", "timm/densenet"],
        from: "torchvision 0.1",
        to: "torchvision",
        rules: OLD_DENSENET,
    },
    Naming { models: &["torchvision/vgg", "timm/vgg"], from: "torchvision", to: "timm", rules: VGG },
    // The paper's nets, and those of torchvision, with either head.
    Naming { models: &["paper/vgg"], from: "fully connected", to: "paper", rules: VGG },
    Naming { models: &["paper/vgg"], from: "paper", to: "fully convolutional", rules: VGG },
    Naming { models: &["torchvision/vgg"], from: "fully connected", to: "torchvision", rules: VGG },
    Naming {
        models: &["torchvision/googlenet", "torchvision/inception_v3", "timm/inception_v3"],
        from: "torchvision with auxiliary heads",
        to: "torchvision",
        rules: AUXILIARY,
    },
    Naming {
        models: &["torchvision/inception_v3", "timm/inception_v3"],
        from: "torchvision",
        to: "timm",
        rules: &[],
    },
    Naming {
        models: &["torchvision/efficientnet_b", "timm/efficientnet_b", "timm/tf_efficientnet_b"],
        from: "torchvision",
        to: "timm",
        rules: EFFICIENTNET,
    },
    Naming { models: VIT_MODELS, from: "torchvision", to: "timm", rules: VIT },
    Naming { models: VIT_MODELS, from: "torchvision 0.12", to: "torchvision", rules: OLD_VIT },
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
        rules: SWIN,
    },
];

const OLD_DENSENET: &[Rule] = &[
    rename("features.denseblock{b}.denselayer{l}.norm.{i}", "features.denseblock{b}.denselayer{l}.norm{i}"),
    rename("features.denseblock{b}.denselayer{l}.conv.{i}", "features.denseblock{b}.denselayer{l}.conv{i}"),
];

/// timm has the first linear layers as convolutions.
const VGG: &[Rule] = &[
    unflatten("classifier.0", "pre_logits.fc1", 7),
    unflatten("classifier.3", "pre_logits.fc2", 1),
    rename("classifier.6", "head.fc"),
];

/// Heads of the training alone.
const AUXILIARY: &[Rule] = &[without("AuxLogits"), without("aux1"), without("aux2")];

const EFFICIENTNET: &[Rule] = &[
    rename("features.0.0", "conv_stem"),
    rename("features.0.1", "bn1"),
    // The first stage has no expansion.
    rename("features.1.{b}.block.0.0", "blocks.0.{b}.conv_dw"),
    rename("features.1.{b}.block.0.1", "blocks.0.{b}.bn1"),
    rename("features.1.{b}.block.1.fc1", "blocks.0.{b}.se.conv_reduce"),
    rename("features.1.{b}.block.1.fc2", "blocks.0.{b}.se.conv_expand"),
    rename("features.1.{b}.block.2.0", "blocks.0.{b}.conv_pw"),
    rename("features.1.{b}.block.2.1", "blocks.0.{b}.bn2"),
    rename("features.{s+1}.{b}.block.0.0", "blocks.{s}.{b}.conv_pw"),
    rename("features.{s+1}.{b}.block.0.1", "blocks.{s}.{b}.bn1"),
    rename("features.{s+1}.{b}.block.1.0", "blocks.{s}.{b}.conv_dw"),
    rename("features.{s+1}.{b}.block.1.1", "blocks.{s}.{b}.bn2"),
    rename("features.{s+1}.{b}.block.2.fc1", "blocks.{s}.{b}.se.conv_reduce"),
    rename("features.{s+1}.{b}.block.2.fc2", "blocks.{s}.{b}.se.conv_expand"),
    rename("features.{s+1}.{b}.block.3.0", "blocks.{s}.{b}.conv_pwl"),
    rename("features.{s+1}.{b}.block.3.1", "blocks.{s}.{b}.bn3"),
    rename("features.8.0", "conv_head"),
    rename("features.8.1", "bn2"),
    rename("classifier.1", "classifier"),
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
    without("features.{2s+1}.{b}.attn.relative_position_index"),
    rename("features.{2s+1}.{b}.mlp.0", "layers.{s}.blocks.{b}.mlp.fc1"),
    rename("features.{2s+1}.{b}.mlp.3", "layers.{s}.blocks.{b}.mlp.fc2"),
    rename("features.{2s+1}.{b}", "layers.{s}.blocks.{b}"),
    rename("features.{2s}", "layers.{s}.downsample"),
    rename("head", "head.fc"),
];
