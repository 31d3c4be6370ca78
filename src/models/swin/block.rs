//! The blocks of one resolution, and the patch merging before them.

use super::attention::WindowAttention;
use super::windows::Windows;
use super::{Config, Version};
use crate::models::Library;
use crate::nn::{DropPath, Dropout, FeedForward, Layer, LayerNorm, Linear, Mlp, Path};
use anyhow::Result;
use tch::Tensor;

/// Attention within windows, then an MLP: (N, H, W, channels) to the same shape.
struct Block {
    version: Version,
    norm1: LayerNorm,
    attention: WindowAttention,
    norm2: LayerNorm,
    mlp: FeedForward,
    dropout: Dropout,
    drop_path: DropPath,
}

impl Block {
    /// `number` is the block's index among those of all stages.
    fn new(path: &Path, config: &Config, stage: usize, number: i64) -> Result<Self> {
        let (names, channels) = (config.names(), config.channels(stage));
        let norm = |name| match (config.version, config.keys) {
            (Version::V2, Library::Timm) => LayerNorm::zero(&(path / name), channels),
            _ => LayerNorm::new(&(path / name), channels),
        };
        let hidden = (channels as f64 * config.mlp_ratio) as i64;
        let mlp = Mlp::new(channels, hidden).dropout(config.block_dropout);
        let last = (config.depths.iter().sum::<i64>() - 1).max(1) as f64;
        Ok(Self {
            version: config.version,
            norm1: norm("norm1")?,
            attention: WindowAttention::new(&(path / "attn"), config, stage)?,
            norm2: norm("norm2")?,
            mlp: FeedForward::new(&(path / names.fc1), &(path / names.fc2), mlp)?,
            dropout: Dropout::new(config.block_dropout)?,
            drop_path: DropPath::new(config.drop_path * number as f64 / last)?,
        })
    }

    fn attend(&self, x: &Tensor, windows: &Windows, mask: Option<&Tensor>, train: bool) -> Result<Tensor> {
        let y = self.attention.forward(&windows.partition(x)?, mask, train)?;
        windows.merge(&self.dropout.forward(&y, train)?)
    }

    fn forward(&self, x: &Tensor, windows: &Windows, mask: Option<&Tensor>, train: bool) -> Result<Tensor> {
        let y = match self.version {
            Version::V1 => self.attend(&self.norm1.forward(x, train)?, windows, mask, train)?,
            Version::V2 => self.norm1.forward(&self.attend(x, windows, mask, train)?, train)?,
        };
        let x = x.f_add(&self.drop_path.forward(&y, train)?)?;
        let y = match self.version {
            Version::V1 => self.mlp.forward(&self.norm2.forward(&x, train)?, train)?,
            Version::V2 => self.norm2.forward(&self.mlp.forward(&x, train)?, train)?,
        };
        Ok(x.f_add(&self.drop_path.forward(&y, train)?)?)
    }
}

/// Merges four neighbours into one patch of twice the channels: (N, H, W, C) to (N, ⌈H/2⌉, ⌈W/2⌉, 2C).
struct PatchMerging {
    version: Version,
    reduction: Linear,
    norm: LayerNorm,
}

impl PatchMerging {
    fn new(path: &Path, config: &Config, channels: i64) -> Result<Self> {
        let normed = match config.version {
            Version::V1 => 4 * channels,
            Version::V2 => 2 * channels,
        };
        Ok(Self {
            version: config.version,
            reduction: Linear::transformer(&(path / "reduction"), 4 * channels, 2 * channels, false)?,
            norm: LayerNorm::new(&(path / "norm"), normed)?,
        })
    }
}

impl Layer for PatchMerging {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let (n, h, w, c) = x.size4()?;
        let x = match (h % 2, w % 2) {
            (0, 0) => x.shallow_clone(),
            (down, right) => x.f_constant_pad_nd([0, 0, 0, right, 0, down])?,
        };
        // Column by column: the upper left, the lower left, the upper right, the lower right neighbour.
        let pairs = [n, (h + 1) / 2, 2, (w + 1) / 2, 2, c];
        let x = x.f_reshape(pairs)?.f_permute([0, 1, 3, 4, 2, 5])?.f_flatten(3, -1)?;
        match self.version {
            Version::V1 => self.reduction.forward(&self.norm.forward(&x, train)?, train),
            Version::V2 => self.norm.forward(&self.reduction.forward(&x, train)?, train),
        }
    }
}

/// Patch merging (in all stages but the first) and the blocks of one resolution.
pub(super) struct Stage {
    config: Config,
    window: i64,
    downsample: Option<PatchMerging>,
    blocks: Vec<Block>,
}

impl Stage {
    pub(super) fn new(root: &Path, config: &Config, stage: usize) -> Result<Self> {
        let path = root / config.stage_name(stage);
        let (downsample, blocks) = match config.keys {
            Library::Torchvision => (root / format!("features.{}", 2 * stage), path),
            Library::Timm => (&path / "downsample", &path / "blocks"),
        };
        let downsample = match stage {
            0 => None,
            _ => Some(PatchMerging::new(&downsample, config, config.channels(stage - 1))?),
        };
        let before: i64 = config.depths[..stage].iter().sum();
        let block = |i| Block::new(&(&blocks / i), config, stage, before + i);
        let blocks = (0..config.depths[stage]).map(block).collect::<Result<_>>()?;
        Ok(Self { config: config.clone(), window: config.stage_window(stage), downsample, blocks })
    }
}

impl Layer for Stage {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut x = match &self.downsample {
            Some(downsample) => downsample.forward(x, train)?,
            None => x.shallow_clone(),
        };
        let (_, h, w, _) = x.size4()?;
        let plain = Windows::new(&self.config, self.window, [h, w], false);
        let shifted = Windows::new(&self.config, self.window, [h, w], self.config.shift);
        let mask = shifted.mask(&x)?;
        for (i, block) in self.blocks.iter().enumerate() {
            x = match i % 2 {
                0 => block.forward(&x, &plain, None, train)?,
                _ => block.forward(&x, &shifted, mask.as_ref(), train)?,
            };
        }
        Ok(x)
    }
}
