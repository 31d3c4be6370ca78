//! Naming rules for the `.npz` files of Google's releases; see [`super::super`]. They correspond to timm's
//! loaders (`_load_weights` in `vision_transformer.py` and `resnetv2.py`).

use super::super::rule::{NAMING, Naming, Rule, flatten, join, rename, transpose, unstack, without};

pub(super) const NAMINGS: &[Naming] = &[
    Naming { models: VITS, from: "google", to: "timm", rules: VIT, ..NAMING },
    Naming { models: VITS, from: "google, blocks stacked", to: "google", rules: STACKED_VIT, ..NAMING },
    Naming { models: &["timm/resnetv2_"], from: "google", to: "timm", rules: BIT, ..NAMING },
];

const VITS: &[&str] = &["timm/vit_", "torchvision/vit_"];

macro_rules! block {
    ($attention:literal, $norm:literal, $mlp:literal) => {
        &[
            rename("Transformer/encoderblock_{i}/LayerNorm_0/scale", "blocks.{i}.norm1.weight"),
            rename("Transformer/encoderblock_{i}/LayerNorm_0/bias", "blocks.{i}.norm1.bias"),
            join(in_block!($attention, "/query/kernel"), "blocks.{i}.attn.qkv.weight", 0),
            join(in_block!($attention, "/query/bias"), "blocks.{i}.attn.qkv.bias", 0),
            join(in_block!($attention, "/key/kernel"), "blocks.{i}.attn.qkv.weight", 1),
            join(in_block!($attention, "/key/bias"), "blocks.{i}.attn.qkv.bias", 1),
            join(in_block!($attention, "/value/kernel"), "blocks.{i}.attn.qkv.weight", 2),
            join(in_block!($attention, "/value/bias"), "blocks.{i}.attn.qkv.bias", 2),
            transpose(in_block!($attention, "/out/kernel"), "blocks.{i}.attn.proj.weight"),
            rename(in_block!($attention, "/out/bias"), "blocks.{i}.attn.proj.bias"),
            rename(in_block!($norm, "/scale"), "blocks.{i}.norm2.weight"),
            rename(in_block!($norm, "/bias"), "blocks.{i}.norm2.bias"),
            transpose(in_block!($mlp, "/Dense_{n}/kernel"), "blocks.{i}.mlp.fc{n+1}.weight"),
            rename(in_block!($mlp, "/Dense_{n}/bias"), "blocks.{i}.mlp.fc{n+1}.bias"),
        ]
    };
}

macro_rules! in_block {
    ($layer:literal, $tensor:literal) => {
        concat!("Transformer/encoderblock_{i}/", $layer, $tensor)
    };
}

macro_rules! in_unit {
    ($tensor:literal) => {
        concat!("block{s+1}/unit{b+1}/", $tensor)
    };
}

macro_rules! in_stage {
    ($tensor:literal) => {
        concat!("patch_embed.backbone.stages.{s}.blocks.{b}.", $tensor)
    };
}

/// A convolution and the norm before it.
macro_rules! unit {
    ($letter:literal, $number:literal) => {
        &[
            transpose(
                concat!("resnet/block{s+1}/unit{b+1}/", $letter, "/standardized_conv2d/kernel"),
                concat!("stages.{s}.blocks.{b}.conv", $number, ".weight"),
            ),
            rename(
                concat!("resnet/block{s+1}/unit{b+1}/", $letter, "/group_norm/gamma"),
                concat!("stages.{s}.blocks.{b}.norm", $number, ".weight"),
            ),
            rename(
                concat!("resnet/block{s+1}/unit{b+1}/", $letter, "/group_norm/beta"),
                concat!("stages.{s}.blocks.{b}.norm", $number, ".bias"),
            ),
        ]
    };
}

/// Flax's names, as saved by vision_transformer and big_vision.
const VIT: &[&[Rule]] = &[
    EMBEDDING,
    // One numbers the layers of a block consecutively, the other separately for each type.
    block!("MultiHeadDotProductAttention_1", "LayerNorm_2", "MlpBlock_3"),
    block!("MultiHeadDotProductAttention_0", "LayerNorm_1", "MlpBlock_0"),
    POOL,
    HEAD,
    BACKBONE,
];

/// big_vision may stack each tensor over all blocks.
const STACKED_VIT: &[&[Rule]] = &[&[unstack("Transformer/encoderblock", "Transformer/encoderblock_{i}")]];

const EMBEDDING: &[Rule] = &[
    rename("cls", "cls_token"),
    transpose("embedding/kernel", "patch_embed.proj.weight"),
    rename("embedding/bias", "patch_embed.proj.bias"),
    rename("Transformer/posembed_input/pos_embedding", "pos_embed"),
    rename("pos_embedding", "pos_embed"),
];

/// SigLIP's attention pooling.
const POOL: &[Rule] = &[
    rename("MAPHead_0/probe", "attn_pool.latent"),
    join("MAPHead_0/MultiHeadDotProductAttention_0/query/kernel", "attn_pool.q.weight", 0),
    join("MAPHead_0/MultiHeadDotProductAttention_0/query/bias", "attn_pool.q.bias", 0),
    join("MAPHead_0/MultiHeadDotProductAttention_0/key/kernel", "attn_pool.kv.weight", 0),
    join("MAPHead_0/MultiHeadDotProductAttention_0/key/bias", "attn_pool.kv.bias", 0),
    join("MAPHead_0/MultiHeadDotProductAttention_0/value/kernel", "attn_pool.kv.weight", 1),
    join("MAPHead_0/MultiHeadDotProductAttention_0/value/bias", "attn_pool.kv.bias", 1),
    transpose("MAPHead_0/MultiHeadDotProductAttention_0/out/kernel", "attn_pool.proj.weight"),
    rename("MAPHead_0/MultiHeadDotProductAttention_0/out/bias", "attn_pool.proj.bias"),
    rename("MAPHead_0/LayerNorm_0/scale", "attn_pool.norm.weight"),
    rename("MAPHead_0/LayerNorm_0/bias", "attn_pool.norm.bias"),
    transpose("MAPHead_0/MlpBlock_0/Dense_{n}/kernel", "attn_pool.mlp.fc{n+1}.weight"),
    rename("MAPHead_0/MlpBlock_0/Dense_{n}/bias", "attn_pool.mlp.fc{n+1}.bias"),
];

/// The residual net of a hybrid.
const BACKBONE: &[Rule] = &[
    transpose("conv_root/kernel", "patch_embed.backbone.stem.conv.weight"),
    flatten("gn_root/scale", "patch_embed.backbone.stem.norm.weight"),
    flatten("gn_root/bias", "patch_embed.backbone.stem.norm.bias"),
    transpose(in_unit!("conv{n}/kernel"), in_stage!("conv{n}.weight")),
    flatten(in_unit!("gn{n}/scale"), in_stage!("norm{n}.weight")),
    flatten(in_unit!("gn{n}/bias"), in_stage!("norm{n}.bias")),
    transpose(in_unit!("conv_proj/kernel"), in_stage!("downsample.conv.weight")),
    flatten(in_unit!("gn_proj/scale"), in_stage!("downsample.norm.weight")),
    flatten(in_unit!("gn_proj/bias"), in_stage!("downsample.norm.bias")),
];

const HEAD: &[Rule] = &[
    rename("Transformer/encoder_norm/scale", "norm.weight"),
    rename("Transformer/encoder_norm/bias", "norm.bias"),
    // The hidden layer of the first releases' pretraining head, unused after fine-tuning; timm drops it, too.
    without("pre_logits"),
    transpose("head/kernel", "head.weight"),
    rename("head/bias", "head.bias"),
];

/// BiT's names.
const BIT: &[&[Rule]] = &[
    &[
        transpose("resnet/root_block/standardized_conv2d/kernel", "stem.conv.weight"),
        rename("resnet/group_norm/gamma", "norm.weight"),
        rename("resnet/group_norm/beta", "norm.bias"),
        transpose("resnet/head/conv2d/kernel", "head.fc.weight"),
        rename("resnet/head/conv2d/bias", "head.fc.bias"),
    ],
    unit!("a", "1"),
    unit!("b", "2"),
    unit!("c", "3"),
    &[transpose(
        "resnet/block{s+1}/unit{b+1}/a/proj/standardized_conv2d/kernel",
        "stages.{s}.blocks.{b}.downsample.conv.weight",
    )],
];
