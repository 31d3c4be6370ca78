//! The fields of a Vision Transformer, and its libraries' names of the tensors that both have.

use crate::models::{Library, resnet};
use crate::nn::Activation;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Which tokens get a position embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// None: a bag of patches.
    None,
    /// Only the patches (timm's `no_embed_class`).
    Patches,
    /// The patches and the tokens before them.
    All,
}

/// How the last block's tokens are pooled for the classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// The class token.
    Token,
    /// The mean of the patches.
    Average,
    /// Attention of one learned query over the patches, as in SigLIP.
    Map,
}

/// What patches are cut from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backbone {
    /// The image.
    None,
    /// Features of a ResNet with BiT's norms and weights and SAME padding: the paper's hybrid (appendix B.1).
    Bit,
    /// Features of a ResNet-D.
    ResnetD,
}

/// A Vision Transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// 0 for no classifier: the output is the pooled features.
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images; the position table has a row for each of their patches.
    pub image_size: i64,
    /// What the patches are cut from.
    pub backbone: Backbone,
    /// Blocks of each stage of the backbone; without any it is the stem with its pooling.
    pub layers: Vec<i64>,
    /// Height and width of a patch in the image or the backbone's features.
    pub patch_size: i64,
    /// Channels of a token (the paper's D).
    pub embed_dim: i64,
    /// Blocks in all.
    pub num_blocks: i64,
    pub heads: i64,
    /// Hidden values of a block's MLP per channel.
    pub mlp_ratio: f64,
    pub activation: Activation,
    /// Halves the hidden values by a gate (SwiGLU with `activation: silu`).
    pub gated_mlp: bool,
    /// Biases of the projection to queries, keys and values; torchvision's keys always have them.
    pub qkv_bias: bool,
    pub patch_bias: bool,
    pub class_token: bool,
    /// DeiT's second token with its own head; the logits are the mean of both.
    pub distillation: bool,
    /// Register tokens.
    pub registers: i64,
    pub position: Position,
    /// A norm before the first block, as in CLIP.
    pub pre_norm: bool,
    /// Initial value of the layer scale of each residual branch; 0 for none.
    pub layer_scale: f64,
    pub pool: Pool,
    /// The last norm after pooling instead of before.
    pub norm_after_pool: bool,
    /// Eps of all norms.
    pub eps: f64,
    /// Dropout after the position embedding and after every linear layer of a block except queries, keys and values.
    pub block_dropout: f64,
    /// Stochastic depth of the last block; it grows linearly from 0.
    pub drop_path: f64,
    /// The library whose keys and initial values are used.
    pub keys: Library,
}

impl Config {
    /// timm's defaults: ViT of the paper's Table 1 with a class token and learned positions.
    pub(super) fn vit(embed_dim: i64, num_blocks: i64, heads: i64) -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            backbone: Backbone::None,
            layers: Vec::new(),
            patch_size: 16,
            embed_dim,
            num_blocks,
            heads,
            mlp_ratio: 4.0,
            activation: Activation::Gelu,
            gated_mlp: false,
            qkv_bias: true,
            patch_bias: true,
            class_token: true,
            distillation: false,
            registers: 0,
            position: Position::All,
            pre_norm: false,
            layer_scale: 0.0,
            pool: Pool::Token,
            norm_after_pool: false,
            eps: 1e-6,
            block_dropout: 0.0,
            drop_path: 0.0,
            keys: Library::Timm,
        }
    }

    /// DeiT-Ti's size.
    pub fn tiny() -> Self {
        Self::vit(192, 12, 3)
    }

    /// DeiT-S's size.
    pub fn small() -> Self {
        Self::vit(384, 12, 6)
    }

    /// DeiT III's size between small and base.
    pub fn medium() -> Self {
        Self::vit(512, 12, 8)
    }

    pub fn base() -> Self {
        Self::vit(768, 12, 12)
    }

    pub fn large() -> Self {
        Self::vit(1024, 24, 16)
    }

    pub fn huge() -> Self {
        Self::vit(1280, 32, 16)
    }

    /// ViT-g of "Scaling Vision Transformers" (2106.04560).
    pub fn giant() -> Self {
        Self { mlp_ratio: 48.0 / 11.0, ..Self::vit(1408, 40, 16) }
    }

    /// ViT-G of the same paper.
    pub fn gigantic() -> Self {
        Self { mlp_ratio: 64.0 / 13.0, ..Self::vit(1664, 48, 16) }
    }

    /// The shape-optimised SoViT-400m (2305.13035).
    pub fn so400m() -> Self {
        Self { mlp_ratio: 3.7362, ..Self::vit(1152, 27, 16) }
    }

    pub fn patch(self, patch_size: i64) -> Self {
        Self { patch_size, ..self }
    }

    pub fn image(self, image_size: i64) -> Self {
        Self { image_size, ..self }
    }

    pub fn classes(self, num_classes: i64) -> Self {
        Self { num_classes, ..self }
    }

    /// torchvision's keys and initial values.
    pub fn torchvision(self) -> Self {
        Self { keys: Library::Torchvision, ..self }
    }

    /// CLIP's image tower; the classifier is its projection.
    pub fn clip(self) -> Self {
        Self { pre_norm: true, patch_bias: false, eps: 1e-5, ..self }
    }

    /// SigLIP's image tower: no class token, pooling by attention.
    pub fn siglip(self) -> Self {
        Self { num_classes: 0, class_token: false, pool: Pool::Map, ..self }
    }

    /// DINOv2's backbone.
    pub fn dinov2(self) -> Self {
        Self { num_classes: 0, patch_size: 14, image_size: 518, layer_scale: 1e-5, ..self }
    }

    /// With register tokens; they and the class token have no position.
    pub fn with_registers(self, registers: i64) -> Self {
        Self { registers, position: Position::Patches, ..self }
    }

    /// DeiT III.
    pub fn deit3(self) -> Self {
        Self { position: Position::Patches, layer_scale: 1e-6, ..self }
    }

    /// DeiT with a distillation token.
    pub fn distilled(self) -> Self {
        Self { distillation: true, ..self }
    }

    /// A hybrid: patches are single places of the features of a residual net.
    pub fn hybrid(self, backbone: Backbone, layers: &[i64]) -> Self {
        Self { backbone, layers: layers.into(), patch_size: 1, ..self }
    }

    /// The residual net before the patches.
    pub(super) fn residual(&self) -> Option<resnet::Config> {
        let net = match self.backbone {
            Backbone::None => return None,
            Backbone::Bit => resnet::Config::resnet50().hybrid(),
            Backbone::ResnetD => resnet::Config::resnet50().d(),
        };
        Some(resnet::Config { in_chans: self.in_chans, zero_init_last: true, ..net.stages(&self.layers) })
    }

    /// Patches along one side of the image. Stem, pooling and every stage but the first halve the resolution.
    pub(super) fn grid(&self) -> i64 {
        let halvings = if self.backbone == Backbone::None { 0 } else { 1 + self.layers.len().max(1) };
        (0..halvings).fold(self.image_size, |side, _| (side + 1) / 2) / self.patch_size
    }

    /// Tokens before the patches.
    pub(super) fn prefix(&self) -> i64 {
        i64::from(self.class_token) + i64::from(self.distillation) + self.registers
    }

    pub(super) fn validate(&self) -> Result<()> {
        ensure!(self.num_classes >= 0, "`num_classes` {} must not be negative", self.num_classes);
        ensure!(self.num_blocks > 0, "`num_blocks` {} must be positive", self.num_blocks);
        ensure!(self.embed_dim > 0, "`embed_dim` {} must be positive", self.embed_dim);
        ensure!(self.registers >= 0, "`registers` {} must not be negative", self.registers);
        ensure!(
            self.backbone != Backbone::None || self.layers.is_empty(),
            "`layers` are the blocks of each stage of a `backbone`: set that, too"
        );
        ensure!(
            self.backbone == Backbone::None || self.keys == Library::Timm,
            "torchvision's keys have no place for a `backbone`: use `keys: timm`"
        );
        ensure!(
            self.patch_size > 0 && self.grid() > 0,
            "`patch_size` {} does not fit `image_size` {}",
            self.patch_size,
            self.image_size
        );
        ensure!(
            self.mlp_ratio > 0.0 && self.mlp_ratio.is_finite(),
            "`mlp_ratio` {} must be positive",
            self.mlp_ratio
        );
        ensure!(self.eps > 0.0, "`eps` {} must be positive", self.eps);
        ensure!(self.class_token || self.pool != Pool::Token, "`pool: token` needs `class_token: true`");
        ensure!(
            !self.distillation || self.class_token && self.pool == Pool::Token,
            "`distillation` needs `class_token: true` and `pool: token`"
        );
        ensure!(
            self.qkv_bias || self.keys == Library::Timm,
            "torchvision's keys have no place for `qkv_bias: false`: use `keys: timm`"
        );
        Ok(())
    }

    pub(super) fn names(&self) -> &'static Keys {
        match self.keys {
            Library::Torchvision => &TORCHVISION,
            Library::Timm => &TIMM,
        }
    }
}

/// The keys of the tensors that both libraries have.
pub(super) struct Keys {
    pub patch_embed: &'static str,
    pub class_token: &'static str,
    pub position: &'static str,
    /// The blocks' common prefix, before their number.
    pub block: &'static str,
    pub norm1: &'static str,
    pub attention: &'static str,
    pub norm2: &'static str,
    pub fc1: &'static str,
    pub fc2: &'static str,
    pub norm: &'static str,
    pub head: &'static str,
}

const TIMM: Keys = Keys {
    patch_embed: "patch_embed.proj",
    class_token: "cls_token",
    position: "pos_embed",
    block: "blocks.",
    norm1: "norm1",
    attention: "attn",
    norm2: "norm2",
    fc1: "mlp.fc1",
    fc2: "mlp.fc2",
    norm: "norm",
    head: "head",
};

const TORCHVISION: Keys = Keys {
    patch_embed: "conv_proj",
    class_token: "class_token",
    position: "encoder.pos_embedding",
    block: "encoder.layers.encoder_layer_",
    norm1: "ln_1",
    attention: "self_attention",
    norm2: "ln_2",
    fc1: "mlp.0",
    fc2: "mlp.3",
    norm: "encoder.ln",
    head: "heads.head",
};
