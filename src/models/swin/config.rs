//! The fields of a Swin Transformer, and its libraries' names of the tensors that both have.

use crate::models::Library;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// The paper whose blocks are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    /// Norms before attention and MLP, a table of biases for relative positions.
    V1,
    /// Norms after them, cosine attention, biases from a small network over the logarithm of relative positions.
    V2,
}

/// The position information that attention has (the first paper's Table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    None,
    /// A vector for each patch, added once after the embedding.
    Absolute,
    /// A bias in every attention for each pair of tokens in a window.
    Relative,
    AbsoluteAndRelative,
}

/// A Swin Transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// 0 for no classifier: the output is the mean of the last features.
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated; absolute positions and, with timm's keys, windows are
    /// tied to this size.
    pub image_size: i64,
    pub patch_size: i64,
    pub version: Version,
    /// Channels of the first stage (the papers' C); every further stage has twice as many.
    pub embed_dim: i64,
    /// Blocks of each stage.
    pub depths: Vec<i64>,
    /// Heads of each stage.
    pub heads: Vec<i64>,
    /// Side of a window in patches.
    pub window: i64,
    /// Window sizes of the pretraining, one per stage, which scale the relative positions of V2; empty for the stage's
    /// own window.
    pub pretrained_windows: Vec<i64>,
    /// Hidden values of a block's MLP per channel.
    pub mlp_ratio: f64,
    /// Whether windows are shifted by half in every second block.
    pub shift: bool,
    pub position: Position,
    /// Dropout after the embedding and after every linear layer of a block except queries, keys and values.
    pub block_dropout: f64,
    /// Stochastic depth of the last block; it grows linearly from 0.
    pub drop_path: f64,
    /// The library whose keys, initial values, and rules for windows that do not fit are used.
    pub keys: Library,
}

impl Config {
    /// Swin-T.
    pub fn tiny() -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            patch_size: 4,
            version: Version::V1,
            embed_dim: 96,
            depths: vec![2, 2, 6, 2],
            heads: vec![3, 6, 12, 24],
            window: 7,
            pretrained_windows: Vec::new(),
            mlp_ratio: 4.0,
            shift: true,
            position: Position::Relative,
            block_dropout: 0.0,
            drop_path: 0.1,
            keys: Library::Timm,
        }
    }

    /// Swin-S.
    pub fn small() -> Self {
        Self { depths: vec![2, 2, 18, 2], ..Self::tiny() }
    }

    /// Swin-B.
    pub fn base() -> Self {
        Self { embed_dim: 128, heads: vec![4, 8, 16, 32], ..Self::small() }
    }

    /// Swin-L.
    pub fn large() -> Self {
        Self { embed_dim: 192, heads: vec![6, 12, 24, 48], ..Self::small() }
    }

    /// Version 2 at 256 pixels.
    pub fn v2(self) -> Self {
        Self { version: Version::V2, image_size: 256, window: 8, ..self }
    }

    pub fn image(self, image_size: i64) -> Self {
        Self { image_size, ..self }
    }

    pub fn window(self, window: i64) -> Self {
        Self { window, ..self }
    }

    /// torchvision's keys and stochastic depth.
    pub fn torchvision(self, drop_path: f64) -> Self {
        Self { keys: Library::Torchvision, drop_path, ..self }
    }

    /// Fine-tuned from a pretraining with windows of 12 at 192 pixels.
    pub fn from_window12(self) -> Self {
        Self { pretrained_windows: vec![12, 12, 12, 6], ..self }
    }

    /// Channels of a stage.
    pub(super) fn channels(&self, stage: usize) -> i64 {
        self.embed_dim << stage
    }

    /// Patches along one side of an image of `image_size` in a stage.
    pub(super) fn grid(&self, stage: usize) -> i64 {
        let patches = self.image_size / self.patch_size;
        (0..stage).fold(patches, |side, _| (side + 1) / 2)
    }

    /// Size of a stage's windows: timm makes them no larger than the map that they divide.
    pub(super) fn stage_window(&self, stage: usize) -> i64 {
        match self.keys {
            Library::Torchvision => self.window,
            Library::Timm => self.window.min(self.grid(stage)),
        }
    }

    pub(super) fn has_relative_position(&self) -> bool {
        matches!(self.position, Position::Relative | Position::AbsoluteAndRelative)
    }

    pub(super) fn validate(&self) -> Result<()> {
        let stages = self.depths.len();
        ensure!(self.num_classes >= 0, "`num_classes` {} must not be negative", self.num_classes);
        ensure!(
            self.patch_size > 0 && self.image_size >= self.patch_size,
            "`patch_size` {} does not fit `image_size` {}",
            self.patch_size,
            self.image_size
        );
        ensure!((1..16).contains(&stages), "`depths` {:?} must have 1 to 15 stages", self.depths);
        ensure!(self.depths.iter().all(|&n| n > 0), "`depths` {:?} must be positive", self.depths);
        ensure!(
            self.heads.len() == stages,
            "`heads` {:?} must have one number per stage, as `depths` {:?}",
            self.heads,
            self.depths
        );
        ensure!(
            self.pretrained_windows.is_empty() || self.pretrained_windows.len() == stages,
            "`pretrained_windows` {:?} must have one number per stage, or be empty",
            self.pretrained_windows
        );
        ensure!(self.embed_dim > 0, "`embed_dim` {} must be positive", self.embed_dim);
        ensure!(self.window > 0, "`window` {} must be positive", self.window);
        ensure!(
            self.mlp_ratio > 0.0 && self.mlp_ratio.is_finite(),
            "`mlp_ratio` {} must be positive",
            self.mlp_ratio
        );
        Ok(())
    }

    pub(super) fn names(&self) -> &'static Keys {
        match self.keys {
            Library::Torchvision => &TORCHVISION,
            Library::Timm => &TIMM,
        }
    }

    /// The key of a stage's blocks.
    pub(super) fn stage_name(&self, stage: usize) -> String {
        match self.keys {
            Library::Torchvision => format!("features.{}", 2 * stage + 1),
            Library::Timm => format!("layers.{stage}"),
        }
    }
}

/// The keys of the tensors that both libraries have.
pub(super) struct Keys {
    pub embedding: &'static str,
    pub projection: &'static str,
    pub embedding_norm: &'static str,
    pub fc1: &'static str,
    pub fc2: &'static str,
    pub head: &'static str,
}

const TIMM: Keys = Keys {
    embedding: "patch_embed",
    projection: "proj",
    embedding_norm: "norm",
    fc1: "mlp.fc1",
    fc2: "mlp.fc2",
    head: "head.fc",
};

const TORCHVISION: Keys = Keys {
    embedding: "features.0",
    projection: "0",
    embedding_norm: "2",
    fc1: "mlp.0",
    fc2: "mlp.3",
    head: "head",
};
