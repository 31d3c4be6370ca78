//! Names of Hugging Face's transformers (`models/*/modeling_*.py`, 4.57), as its files have them.

use super::super::rule::{Change, NAMING, Naming, READ, Rule, change, concatenated, rename, without, zero};
use super::shared::{COUNTED, registers, vit_block};

const FROM: &str = "transformers";
/// Most of its layer norms have another epsilon than timm's 1e-6.
const LAYER_NORM: &[(&str, &str)] = &[("eps", "1e-12")];
/// Google's mobile networks came from TensorFlow, with its padding and epsilon.
const TENSORFLOW: &[(&str, &str)] = &[("tf_same", "true"), ("bn_eps", "0.001")];

pub(super) const NAMINGS: &[Naming] = &[
    Naming {
        models: &["timm/vit_"],
        from: FROM,
        to: "timm",
        base: "vit",
        rules: VIT,
        fields: LAYER_NORM,
        ..READ
    },
    Naming {
        models: &["timm/deit_"],
        from: FROM,
        to: "timm",
        base: "deit",
        rules: DEIT,
        fields: LAYER_NORM,
        ..READ
    },
    Naming {
        models: &["timm/deit_"],
        from: "transformers' ViT",
        to: "timm",
        base: "vit",
        rules: VIT,
        fields: LAYER_NORM,
        ..READ
    },
    Naming {
        models: &["timm/swin_"],
        from: FROM,
        to: "timm",
        base: "swin",
        rules: &[SWIN_BIAS, SWIN],
        ..READ
    },
    Naming {
        models: &["timm/swinv2_"],
        from: FROM,
        to: "timm",
        base: "swinv2",
        rules: &[SWIN_V2_BIAS, SWIN],
        ..READ
    },
    Naming {
        models: &["torchvision/resnet", "timm/resnet", "paper/resnet"],
        from: FROM,
        to: "torchvision",
        base: "resnet",
        rules: &[RESNET],
        ..READ
    },
    Naming { models: &["paper/resnet"], from: "torchvision", to: "paper", ..NAMING },
    Naming {
        models: &["torchvision/regnet_"],
        from: FROM,
        to: "torchvision",
        base: "regnet",
        rules: &[REGNET],
        ..READ
    },
    Naming {
        models: &["torchvision/convnext_"],
        from: FROM,
        to: "torchvision",
        base: "convnext",
        rules: &[CONVNEXT],
        ..READ
    },
    Naming {
        models: &["timm/tf_efficientnet_b", "timm/efficientnet_b"],
        from: FROM,
        to: COUNTED,
        base: "efficientnet",
        rules: &[EFFICIENTNET],
        ..READ
    },
    Naming {
        models: &["timm/mobilenetv1_"],
        from: FROM,
        to: COUNTED,
        base: "mobilenet_v1",
        rules: &[MOBILENET_V1],
        fields: TENSORFLOW,
        ..READ
    },
    Naming {
        models: &["timm/mobilenetv2_"],
        from: FROM,
        to: COUNTED,
        base: "mobilenet_v2",
        rules: &[MOBILENET_V2],
        fields: TENSORFLOW,
        ..READ
    },
    Naming {
        models: &["timm/vit_"],
        from: "transformers' DINOv2",
        to: "timm",
        base: "dinov2",
        rules: DINO_V2,
        rework: Some(registers),
        ..READ
    },
    Naming {
        models: &["timm/vit_"],
        from: "transformers' CLIP",
        to: "timm",
        base: "vision_model",
        rules: CLIP,
        ..READ
    },
];

const VIT: &[&[Rule]] = &[EMBEDDINGS, VIT_BLOCK, END];
const DEIT: &[&[Rule]] = &[
    EMBEDDINGS,
    VIT_BLOCK,
    &[
        rename("embeddings.distillation_token", "dist_token"),
        rename("cls_classifier", "head"),
        rename("distillation_classifier", "head_dist"),
    ],
    END,
];

const EMBEDDINGS: &[Rule] = &[
    rename("embeddings.cls_token", "cls_token"),
    rename("embeddings.position_embeddings", "pos_embed"),
    rename("embeddings.patch_embeddings.projection", "patch_embed.proj"),
    without("embeddings.mask_token"),
];
const VIT_BLOCK: &[Rule] = vit_block!(
    "encoder.layer.{i}",
    ["layernorm_before", "attention.attention.query", "attention.attention.key", "attention.attention.value"],
    ["attention.output.dense", "layernorm_after", "intermediate.dense", "output.dense"]
);
const END: &[Rule] = &[rename("layernorm", "norm"), rename("classifier", "head"), without("pooler")];

macro_rules! in_swin {
    ($layer:literal) => {
        concat!("encoder.layers.{s}.blocks.{b}.", $layer)
    };
}
macro_rules! in_layer {
    ($layer:literal) => {
        concat!("layers.{s}.blocks.{b}.", $layer)
    };
}

const SWIN_BIAS: &[Rule] = &[
    concatenated(in_swin!("attention.self.query.bias"), in_layer!("attn.qkv.bias"), 0),
    concatenated(in_swin!("attention.self.key.bias"), in_layer!("attn.qkv.bias"), 1),
    concatenated(in_swin!("attention.self.value.bias"), in_layer!("attn.qkv.bias"), 2),
];

const SWIN_V2_BIAS: &[Rule] = &[
    rename(in_swin!("attention.self.query.bias"), in_layer!("attn.q_bias")),
    rename(in_swin!("attention.self.value.bias"), in_layer!("attn.v_bias")),
    rename(in_swin!("attention.self.continuous_position_bias_mlp"), in_layer!("attn.cpb_mlp")),
];

const SWIN: &[Rule] = &[
    rename("embeddings.patch_embeddings.projection", "patch_embed.proj"),
    rename("embeddings.norm", "patch_embed.norm"),
    without("embeddings.mask_token"),
    concatenated(in_swin!("attention.self.query.weight"), in_layer!("attn.qkv.weight"), 0),
    concatenated(in_swin!("attention.self.key.weight"), in_layer!("attn.qkv.weight"), 1),
    concatenated(in_swin!("attention.self.value.weight"), in_layer!("attn.qkv.weight"), 2),
    // The rest of attention: scales and the table of relative positions.
    rename(in_swin!("attention.self"), in_layer!("attn")),
    rename(in_swin!("attention.output.dense"), in_layer!("attn.proj")),
    rename(in_swin!("layernorm_before"), in_layer!("norm1")),
    rename(in_swin!("layernorm_after"), in_layer!("norm2")),
    rename(in_swin!("intermediate.dense"), in_layer!("mlp.fc1")),
    rename(in_swin!("output.dense"), in_layer!("mlp.fc2")),
    // The library has a merging at the end of a stage, timm at the beginning of the next.
    rename("encoder.layers.{s}.downsample", "layers.{s+1}.downsample"),
    rename("layernorm", "norm"),
    rename("classifier", "head.fc"),
];

const RESNET: &[Rule] = &[
    rename("embedder.embedder.convolution", "conv1"),
    rename("embedder.embedder.normalization", "bn1"),
    rename("encoder.stages.{s}.layers.{b}.layer.{j}.convolution", "layer{s+1}.{b}.conv{j+1}"),
    rename("encoder.stages.{s}.layers.{b}.layer.{j}.normalization", "layer{s+1}.{b}.bn{j+1}"),
    rename("encoder.stages.{s}.layers.{b}.shortcut.convolution", "layer{s+1}.{b}.downsample.0"),
    rename("encoder.stages.{s}.layers.{b}.shortcut.normalization", "layer{s+1}.{b}.downsample.1"),
    rename("classifier.1", "fc"),
];

const REGNET: &[Rule] = &[
    rename("embedder.embedder.convolution", "stem.0"),
    rename("embedder.embedder.normalization", "stem.1"),
    rename(
        "encoder.stages.{s}.layers.{b}.layer.0.convolution",
        "trunk_output.block{s+1}.block{s+1}-{b}.f.a.0",
    ),
    rename(
        "encoder.stages.{s}.layers.{b}.layer.0.normalization",
        "trunk_output.block{s+1}.block{s+1}-{b}.f.a.1",
    ),
    rename(
        "encoder.stages.{s}.layers.{b}.layer.1.convolution",
        "trunk_output.block{s+1}.block{s+1}-{b}.f.b.0",
    ),
    rename(
        "encoder.stages.{s}.layers.{b}.layer.1.normalization",
        "trunk_output.block{s+1}.block{s+1}-{b}.f.b.1",
    ),
    rename(
        "encoder.stages.{s}.layers.{b}.layer.2.attention.0",
        "trunk_output.block{s+1}.block{s+1}-{b}.f.se.fc1",
    ),
    rename(
        "encoder.stages.{s}.layers.{b}.layer.2.attention.2",
        "trunk_output.block{s+1}.block{s+1}-{b}.f.se.fc2",
    ),
    // X's third layer, and Y's fourth.
    rename(
        "encoder.stages.{s}.layers.{b}.layer.{n}.convolution",
        "trunk_output.block{s+1}.block{s+1}-{b}.f.c.0",
    ),
    rename(
        "encoder.stages.{s}.layers.{b}.layer.{n}.normalization",
        "trunk_output.block{s+1}.block{s+1}-{b}.f.c.1",
    ),
    rename(
        "encoder.stages.{s}.layers.{b}.shortcut.convolution",
        "trunk_output.block{s+1}.block{s+1}-{b}.proj.0",
    ),
    rename(
        "encoder.stages.{s}.layers.{b}.shortcut.normalization",
        "trunk_output.block{s+1}.block{s+1}-{b}.proj.1",
    ),
    rename("classifier.1", "fc"),
];

const CONVNEXT: &[Rule] = &[
    rename("embeddings.patch_embeddings", "features.0.0"),
    rename("embeddings.layernorm", "features.0.1"),
    rename("encoder.stages.{s}.downsampling_layer.{k}", "features.{2s}.{k}"),
    rename("encoder.stages.{s}.layers.{b}.dwconv", "features.{2s+1}.{b}.block.0"),
    rename("encoder.stages.{s}.layers.{b}.layernorm", "features.{2s+1}.{b}.block.2"),
    rename("encoder.stages.{s}.layers.{b}.pwconv1", "features.{2s+1}.{b}.block.3"),
    rename("encoder.stages.{s}.layers.{b}.pwconv2", "features.{2s+1}.{b}.block.5"),
    change(
        "encoder.stages.{s}.layers.{b}.layer_scale_parameter",
        "features.{2s+1}.{b}.layer_scale",
        Change::Trail(2),
    ),
    rename("layernorm", "classifier.0"),
    rename("classifier", "classifier.2"),
];

const EFFICIENTNET: &[Rule] = &[
    rename("embeddings.convolution", "conv_stem"),
    rename("embeddings.batchnorm", "bn1"),
    rename("encoder.blocks.{n}.expansion.expand_conv", "blocks.{n}.conv_pw"),
    rename("encoder.blocks.{n}.expansion.expand_bn", "blocks.{n}.bn1"),
    rename("encoder.blocks.{n}.depthwise_conv.depthwise_conv", "blocks.{n}.conv_dw"),
    rename("encoder.blocks.{n}.depthwise_conv.depthwise_norm", "blocks.{n}.bn2"),
    rename("encoder.blocks.{n}.squeeze_excite.reduce", "blocks.{n}.se.conv_reduce"),
    rename("encoder.blocks.{n}.squeeze_excite.expand", "blocks.{n}.se.conv_expand"),
    rename("encoder.blocks.{n}.projection.project_conv", "blocks.{n}.conv_pwl"),
    rename("encoder.blocks.{n}.projection.project_bn", "blocks.{n}.bn3"),
    rename("encoder.top_conv", "conv_head"),
    rename("encoder.top_bn", "bn2"),
];

const MOBILENET_V1: &[Rule] = &[
    rename("conv_stem.convolution", "conv_stem"),
    rename("conv_stem.normalization", "bn1"),
    rename("layer.{2n}.convolution", "blocks.{n}.conv_dw"),
    rename("layer.{2n}.normalization", "blocks.{n}.bn1"),
    rename("layer.{2n+1}.convolution", "blocks.{n}.conv_pw"),
    rename("layer.{2n+1}.normalization", "blocks.{n}.bn2"),
    change("classifier", "classifier", Change::Background),
];

const MOBILENET_V2: &[Rule] = &[
    rename("conv_stem.first_conv.convolution", "conv_stem"),
    rename("conv_stem.first_conv.normalization", "bn1"),
    rename("conv_stem.conv_3x3.convolution", "blocks.0.conv_dw"),
    rename("conv_stem.conv_3x3.normalization", "blocks.0.bn2"),
    rename("conv_stem.reduce_1x1.convolution", "blocks.0.conv_pwl"),
    rename("conv_stem.reduce_1x1.normalization", "blocks.0.bn3"),
    rename("layer.{n}.expand_1x1.convolution", "blocks.{n+1}.conv_pw"),
    rename("layer.{n}.expand_1x1.normalization", "blocks.{n+1}.bn1"),
    rename("layer.{n}.conv_3x3.convolution", "blocks.{n+1}.conv_dw"),
    rename("layer.{n}.conv_3x3.normalization", "blocks.{n+1}.bn2"),
    rename("layer.{n}.reduce_1x1.convolution", "blocks.{n+1}.conv_pwl"),
    rename("layer.{n}.reduce_1x1.normalization", "blocks.{n+1}.bn3"),
    rename("conv_1x1.convolution", "conv_head"),
    rename("conv_1x1.normalization", "bn2"),
    change("classifier", "classifier", Change::Background),
];

const DINO_V2: &[&[Rule]] = &[
    EMBEDDINGS,
    vit_block!(
        "encoder.layer.{i}",
        ["norm1", "attention.attention.query", "attention.attention.key", "attention.attention.value"],
        ["attention.output.dense", "norm2", "mlp.fc1", "mlp.fc2"]
    ),
    &[
        rename("embeddings.register_tokens", "reg_token"),
        rename("encoder.layer.{i}.layer_scale{n}.lambda1", "blocks.{i}.ls{n}.gamma"),
        rename("encoder.layer.{i}.mlp.weights_in", "blocks.{i}.mlp.fc1"),
        rename("encoder.layer.{i}.mlp.weights_out", "blocks.{i}.mlp.fc2"),
    ],
    END,
];

const CLIP: &[&[Rule]] = &[
    &[
        change("embeddings.class_embedding", "cls_token", Change::Lead(2)),
        rename("embeddings.patch_embedding", "patch_embed.proj"),
        change("embeddings.position_embedding.weight", "pos_embed", Change::Lead(1)),
        rename("pre_layrnorm", "norm_pre"),
    ],
    vit_block!(
        "encoder.layers.{i}",
        ["layer_norm1", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        ["self_attn.out_proj", "layer_norm2", "mlp.fc1", "mlp.fc2"]
    ),
    &[
        rename("post_layernorm", "norm"),
        rename("visual_projection", "head"),
        zero("head.bias"),
        without("embeddings.position_ids"),
        // The tower of texts.
        without("text_model"),
        without("text_projection"),
        without("logit_scale"),
    ],
];
