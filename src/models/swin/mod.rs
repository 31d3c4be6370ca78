//! Swin Transformers: hierarchies of blocks with attention within windows (2103.14030, 2111.09883).
//!
//! One network whose [`Config`] covers both versions. Keys, index tables and initial values are those of torchvision's
//! `swin_transformer.py` or of timm's `swin_transformer.py` and `swin_transformer_v2.py`; the stages are the embedding
//! and the four resolutions, of shape (N, H, W, channels).

mod attention;
mod block;
mod config;
mod names;
mod windows;

pub use config::{Config, Position, Version};
pub(super) use names::entries;

use super::Model;
use crate::nn::{
    self, Conv, Dropout, Init, Layer, LayerNorm, Linear, Logits, Outputs, PatchEmbed, Path, Store,
};
use crate::torch::SharedTensor;
use anyhow::{Result, ensure};
use block::Stage;
use tch::Tensor;

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        self.validate()?;
        let root = store.root();
        let embedding = Embedding::new(&root, self)?;
        let stage = |i| Ok((self.stage_name(i), Stage::new(&root, self, i)?));
        let stages = (0..self.depths.len()).map(stage).collect::<Result<_>>()?;
        let head = Head::new(&root, self)?;
        Ok(Box::new(Swin { embedding: (self.names().embedding, embedding), stages, head }))
    }

    fn renamed() -> &'static [(&'static str, &'static str)] {
        &[("width", "embed_dim"), ("dropout", "block_dropout")]
    }
}

/// Patches with their norm and, if configured, their absolute positions: (N, C, H, W) to (N, H/patch, W/patch,
/// channels).
struct Embedding {
    position: Option<SharedTensor>,
    patch_embed: PatchEmbed,
    norm: LayerNorm,
    dropout: Dropout,
}

impl Embedding {
    fn new(root: &Path, config: &Config) -> Result<Self> {
        let (names, width, grid) = (config.names(), config.embed_dim, config.grid(0));
        let position = match config.position {
            Position::None | Position::Relative => None,
            Position::Absolute | Position::AbsoluteAndRelative => {
                let table =
                    root.parameter("absolute_pos_embed", &[1, grid * grid, width], Init::TRANSFORMER)?;
                Some(table.f_view([1, grid, grid, width])?.into())
            }
        };
        let path = root / names.embedding;
        let conv = Conv::new(config.in_chans, width, config.patch_size);
        Ok(Self {
            position,
            patch_embed: PatchEmbed::new(&(&path / names.projection), conv)?,
            norm: LayerNorm::new(&(&path / names.embedding_norm), width)?,
            dropout: Dropout::new(config.block_dropout)?,
        })
    }
}

impl Layer for Embedding {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut x = self.norm.forward(&self.patch_embed.forward(x, train)?, train)?;
        if let Some(position) = &self.position {
            let (has, wants) = (x.size(), position.size());
            ensure!(
                has[1..] == wants[1..],
                "{}×{} patches, but the position table is for {}×{}: set `image_size` to the size of the images",
                has[1],
                has[2],
                wants[1],
                wants[2]
            );
            x = x.f_add(position)?;
        }
        self.dropout.forward(&x, train)
    }
}

/// Norm, mean over all positions, classifier: (N, H, W, channels) to (N, classes).
struct Head {
    norm: LayerNorm,
    logits: Logits,
}

impl Head {
    fn new(root: &Path, config: &Config) -> Result<Self> {
        let channels = config.channels(config.depths.len() - 1);
        let norm = LayerNorm::new(&(root / "norm"), channels)?;
        let classes = config.num_classes;
        let last = || Linear::transformer(&(root / config.names().head), channels, classes, true);
        Ok(Self { norm, logits: Logits::new(classes, 0.0, last)? })
    }
}

impl nn::Head for Head {
    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs> {
        let x = self.norm.forward(x, train)?.f_mean_dim([1, 2].as_slice(), false, None)?;
        self.logits.of(x, train)
    }
}

struct Swin {
    embedding: (&'static str, Embedding),
    stages: Vec<(String, Stage)>,
    head: Head,
}

impl Model for Swin {
    fn stages(&self) -> Vec<(&str, &dyn Layer)> {
        let stages = self.stages.iter().map(|(name, stage)| (name.as_str(), stage as &dyn Layer));
        let (name, embedding) = &self.embedding;
        std::iter::once((*name, embedding as &dyn Layer)).chain(stages).collect()
    }

    fn head(&self) -> &dyn nn::Head {
        &self.head
    }
}
