//! From the image to the first block's tokens.

use super::{Config, Position};
use crate::models::{Library, resnet};
use crate::nn::{Conv, Dropout, Init, Layer, LayerNorm, PatchEmbed, Path, Sequence};
use crate::torch::SharedTensor;
use anyhow::{Result, ensure};
use tch::Tensor;

/// Patches with the tokens before them and their positions: (N, C, H, W) to (N, tokens, channels).
pub(super) struct Embedding {
    /// Class, distillation and register tokens, (1, n, channels) each, in the order in which they precede the patches.
    prefix: Vec<SharedTensor>,
    position: Option<SharedTensor>,
    /// Whether the position table begins with the prefix.
    prefix_has_position: bool,
    /// What the patches are cut from the features of.
    backbone: Option<Sequence>,
    patch_embed: PatchEmbed,
    grid: i64,
    dropout: Dropout,
    norm_pre: Option<LayerNorm>,
}

impl Embedding {
    pub(super) fn new(root: &Path, config: &Config) -> Result<Self> {
        let Config { embed_dim: width, patch_size, keys, .. } = *config;
        let names = config.names();
        let mut prefix = Vec::new();
        let mut token = |name: &str, count: i64, init: Init| -> Result<()> {
            if count > 0 {
                prefix.push(root.parameter(name, &[1, count, width], init)?);
            }
            Ok(())
        };
        let near_zero = match keys {
            Library::Torchvision => Init::ZEROS,
            Library::Timm => Init::Normal(1e-6),
        };
        token(names.class_token, i64::from(config.class_token), near_zero)?;
        token("dist_token", i64::from(config.distillation), Init::TRANSFORMER)?;
        token("reg_token", config.registers, near_zero)?;

        let grid = config.grid();
        let rows = match config.position {
            Position::None => 0,
            Position::Patches => grid * grid,
            Position::All => config.prefix() + grid * grid,
        };
        let table = match keys {
            Library::Torchvision => Init::Normal(0.02),
            Library::Timm => Init::TRANSFORMER,
        };
        let position = match rows {
            0 => None,
            rows => Some(root.parameter(names.position, &[1, rows, width], table)?),
        };
        let (backbone, channels) = match config.residual() {
            None => (None, config.in_chans),
            Some(net) => {
                let net = resnet::trunk(&(root / "patch_embed" / "backbone"), &net)?;
                (Some(Sequence(net.stages.into_iter().map(|(_, stage)| stage).collect())), net.channels)
            }
        };
        let conv = Conv::new(channels, width, patch_size);
        let conv = match keys {
            Library::Torchvision => {
                let fan_in = (channels * patch_size * patch_size) as f64;
                conv.init(Init::TruncatedNormal(1.0 / fan_in.sqrt())).zero_bias()
            }
            Library::Timm => conv,
        };
        let conv = if config.patch_bias { conv } else { conv.no_bias() };
        let norm_pre = if config.pre_norm {
            Some(LayerNorm::new(&(root / "norm_pre"), width)?.eps(config.eps))
        } else {
            None
        };
        Ok(Self {
            prefix,
            position,
            prefix_has_position: config.position == Position::All,
            backbone,
            patch_embed: PatchEmbed::new(&(root / names.patch_embed), conv)?,
            grid,
            dropout: Dropout::new(config.block_dropout)?,
            norm_pre,
        })
    }

    /// Puts the prefix before the patches.
    fn prepend(&self, patches: Tensor) -> Result<Tensor> {
        if self.prefix.is_empty() {
            return Ok(patches);
        }
        let n = patches.size()[0];
        let mut tokens = Vec::new();
        for token in &self.prefix {
            tokens.push(token.f_expand([n, -1, -1], false)?);
        }
        tokens.push(patches);
        Ok(Tensor::f_cat(&tokens, 1)?)
    }
}

impl Layer for Embedding {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let features = self.backbone.as_ref().map(|net| net.forward(x, train)).transpose()?;
        let patches = self.patch_embed.forward(features.as_ref().unwrap_or(x), train)?;
        let (_, h, w, _) = patches.size4()?;
        ensure!(
            self.position.is_none() || (h, w) == (self.grid, self.grid),
            "{h}×{w} patches, but the position table is for {g}×{g}: set `image_size` to the size of the images",
            g = self.grid
        );
        let patches = patches.f_flatten(1, 2)?;
        let x = match &self.position {
            None => self.prepend(patches)?,
            Some(position) if self.prefix_has_position => self.prepend(patches)?.f_add(position)?,
            Some(position) => self.prepend(patches.f_add(position)?)?,
        };
        let x = self.dropout.forward(&x, train)?;
        match &self.norm_pre {
            Some(norm) => norm.forward(&x, train),
            None => Ok(x),
        }
    }
}
