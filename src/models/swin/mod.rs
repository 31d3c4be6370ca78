//! Swin Transformers for images: hierarchies of blocks that attend within windows (2103.14030, 2111.09883).
//!
//! One network whose [`Config`] spells both versions. Keys, tables of indices and initial values as torchvision's
//! `swin_transformer.py` or timm's `swin_transformer.py` and `swin_transformer_v2.py` have them; the stages are the
//! embedding and the four resolutions, of shape (N, H, W, channels).

mod attention;
mod block;
mod names;
mod windows;

pub(super) use names::entries;

use super::{Library, Model};
use crate::nn::{Conv, Dropout, Init, Layer, LayerNorm, Linear, PatchEmbed, Path, Store};
use anyhow::{Result, ensure};
use block::Stage;
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Which paper's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    /// Norms before attention and MLP, a table of biases for relative positions.
    V1,
    /// Norms after them, cosine attention, biases from a small network over the logarithm of relative positions.
    V2,
}

/// What the attention knows of places (the first paper's Table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    None,
    /// A vector for each patch, added once after the embedding.
    Absolute,
    /// A bias in every attention for each pair of places in a window.
    Relative,
    AbsoluteAndRelative,
}

/// A Swin Transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// 0 is no classifier: the mean of the last features is the output.
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated; absolute positions and, in timm's keys, windows are
    /// for this size.
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
    /// Sides of the windows of a pretraining in which the second version's relative positions are measured, one a
    /// stage; none is the stage's own window.
    pub pretrained_windows: Vec<i64>,
    /// Hidden values of a block's MLP per channel.
    pub mlp_ratio: f64,
    /// Windows shifted by half in every second block.
    pub shift: bool,
    pub position: Position,
    /// Dropout after the embedding and after every linear layer of a block but queries, keys and values.
    pub block_dropout: f64,
    /// Stochastic depth of the last block; it grows linearly from 0.
    pub drop_path: f64,
    /// Whose keys, initial values, and rules for windows that do not fit.
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

    /// The second version at 256 pixels.
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

    /// Fine-tuned from windows of 12 at 192 pixels.
    pub fn from_window12(self) -> Self {
        Self { pretrained_windows: vec![12, 12, 12, 6], ..self }
    }

    /// Channels of a stage.
    fn channels(&self, stage: usize) -> i64 {
        self.embed_dim << stage
    }

    /// Patches along one side of the stated image in a stage.
    fn grid(&self, stage: usize) -> i64 {
        let patches = self.image_size / self.patch_size;
        (0..stage).fold(patches, |side, _| (side + 1) / 2)
    }

    /// Side of a stage's windows: timm makes them no larger than what they divide.
    fn stage_window(&self, stage: usize) -> i64 {
        match self.keys {
            Library::Torchvision => self.window,
            Library::Timm => self.window.min(self.grid(stage)),
        }
    }

    fn has_relative_position(&self) -> bool {
        matches!(self.position, Position::Relative | Position::AbsoluteAndRelative)
    }

    fn validate(&self) -> Result<()> {
        let stages = self.depths.len();
        ensure!(self.num_classes >= 0, "`num_classes` {} must not be negative", self.num_classes);
        ensure!(
            self.patch_size > 0 && self.image_size >= self.patch_size,
            "`patch_size` {} does not fit `image_size` {}",
            self.patch_size,
            self.image_size
        );
        ensure!((1..16).contains(&stages), "`depths` {:?} must be of 1 to 15 stages", self.depths);
        ensure!(self.depths.iter().all(|&n| n > 0), "`depths` {:?} must be positive", self.depths);
        ensure!(
            self.heads.len() == stages,
            "`heads` {:?} must be one number a stage, as `depths` {:?}",
            self.heads,
            self.depths
        );
        ensure!(
            self.pretrained_windows.is_empty() || self.pretrained_windows.len() == stages,
            "`pretrained_windows` {:?} must be one number a stage, or none",
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

    fn names(&self) -> &'static Keys {
        match self.keys {
            Library::Torchvision => &TORCHVISION,
            Library::Timm => &TIMM,
        }
    }

    /// Where a stage's blocks are.
    fn stage_name(&self, stage: usize) -> String {
        match self.keys {
            Library::Torchvision => format!("features.{}", 2 * stage + 1),
            Library::Timm => format!("layers.{stage}"),
        }
    }
}

/// Where the libraries have the tensors that both have.
struct Keys {
    embedding: &'static str,
    projection: &'static str,
    embedding_norm: &'static str,
    fc1: &'static str,
    fc2: &'static str,
    head: &'static str,
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

impl super::Config for Config {
    fn renamed() -> &'static [(&'static str, &'static str)] {
        &[("width", "embed_dim"), ("dropout", "block_dropout")]
    }

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
}

/// Patches with their norm and, if asked for, their absolute positions: (N, C, H, W) to (N, H/patch, W/patch, channels).
struct Embedding {
    position: Option<Tensor>,
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
                Some(table.f_view([1, grid, grid, width])?)
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
                "{}×{} patches, but the table of positions is for {}×{}: set `image_size` to the image's",
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

/// Norm, mean over all places, classifier: (N, H, W, channels) to (N, classes).
struct Head {
    norm: LayerNorm,
    head: Option<Linear>,
}

impl Head {
    fn new(root: &Path, config: &Config) -> Result<Self> {
        let channels = config.channels(config.depths.len() - 1);
        let norm = LayerNorm::new(&(root / "norm"), channels)?;
        let head = match config.num_classes {
            0 => None,
            classes => Some(Linear::transformer(&(root / config.names().head), channels, classes, true)?),
        };
        Ok(Self { norm, head })
    }
}

impl Layer for Head {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.norm.forward(x, train)?.f_mean_dim([1, 2].as_slice(), false, None)?;
        match &self.head {
            Some(head) => head.forward(&x, train),
            None => Ok(x),
        }
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

    fn head(&self) -> &dyn Layer {
        &self.head
    }
}
