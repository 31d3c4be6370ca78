//! What several sources have in common.

use crate::weights::TensorView;
use anyhow::{Context, Result};

/// torchvision's VGGs with batch norms.
pub(super) const VGG_BN: &[&str] =
    &["torchvision/vgg11_bn", "torchvision/vgg13_bn", "torchvision/vgg16_bn", "torchvision/vgg19_bn"];

/// timm's names of mobile networks, with blocks counted through all stages and named alike.
pub(super) const COUNTED: &str = "timm, blocks counted through";

/// The layers of a transformer's block, in the order of timm's: norm1, q, k, v; proj, norm2, fc1, fc2.
macro_rules! vit_block {
    ($block:literal, [$norm1:literal, $q:literal, $k:literal, $v:literal], [$proj:literal, $norm2:literal, $fc1:literal, $fc2:literal]) => {
        &[
            rename(concat!($block, ".", $norm1), "blocks.{i}.norm1"),
            concatenated(concat!($block, ".", $q, ".weight"), "blocks.{i}.attn.qkv.weight", 0),
            concatenated(concat!($block, ".", $k, ".weight"), "blocks.{i}.attn.qkv.weight", 1),
            concatenated(concat!($block, ".", $v, ".weight"), "blocks.{i}.attn.qkv.weight", 2),
            concatenated(concat!($block, ".", $q, ".bias"), "blocks.{i}.attn.qkv.bias", 0),
            concatenated(concat!($block, ".", $k, ".bias"), "blocks.{i}.attn.qkv.bias", 1),
            concatenated(concat!($block, ".", $v, ".bias"), "blocks.{i}.attn.qkv.bias", 2),
            rename(concat!($block, ".", $proj), "blocks.{i}.attn.proj"),
            rename(concat!($block, ".", $norm2), "blocks.{i}.norm2"),
            rename(concat!($block, ".", $fc1), "blocks.{i}.mlp.fc1"),
            rename(concat!($block, ".", $fc2), "blocks.{i}.mlp.fc2"),
        ]
    };
}
pub(super) use vit_block;

/// Without registers, the class token has a position; with them, timm has it in the token itself.
pub(super) fn registers(mut tensors: Vec<(String, TensorView)>) -> Result<Vec<(String, TensorView)>> {
    let at = |name: &str| tensors.iter().position(|(known, _)| known == name);
    let (Some(_), Some(class), Some(positions)) = (at("reg_token"), at("cls_token"), at("pos_embed")) else {
        return Ok(tensors);
    };
    let table = &tensors[positions].1;
    let length = *table.size().get(1).context("a table of positions of one dimension")?;
    let (first, rest) = (table.f_narrow(1, 0, 1)?, table.f_narrow(1, 1, length - 1)?);
    tensors[class].1 = tensors[class].1.f_add(&first)?.into();
    tensors[positions].1 = rest.into();
    Ok(tensors)
}
