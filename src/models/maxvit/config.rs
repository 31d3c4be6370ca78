//! The fields of a MaxViT.

use crate::nn::Init;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Initialisation of all weights of convolutions and linear layers; biases are 0.
pub(super) const INIT: Init = Init::Normal(0.02);

/// Stages of layers, each with a convolution block, window attention and grid attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub num_classes: i64,
    pub in_chans: i64,
    /// Height and width of the images at which costs are stated.
    pub image_size: i64,
    /// Channels of the stem.
    pub stem_width: i64,
    /// Channels of each stage.
    pub channels: Vec<i64>,
    /// Layers of each stage.
    pub layers: Vec<i64>,
    /// Height and width of windows and of grids; must divide every stage's feature map.
    pub window: i64,
    /// Channels per attention head.
    pub head_dim: i64,
    /// Inner channels of MBConv per output channel.
    pub expansion: f64,
    /// Channels in its squeeze-excitation per output channel.
    pub se_ratio: f64,
    /// Hidden features of the MLPs per channel.
    pub mlp_ratio: i64,
    /// Stochastic depth of the last layer; it grows linearly from 0 at the first.
    pub drop_path: f64,
    pub bn_eps: f64,
    pub bn_momentum: f64,
}

impl Config {
    /// `torchvision.models.maxvit_t`.
    pub fn maxvit_t() -> Self {
        Self {
            num_classes: 1000,
            in_chans: 3,
            image_size: 224,
            stem_width: 64,
            channels: vec![64, 128, 256, 512],
            layers: vec![2, 2, 5, 2],
            window: 7,
            head_dim: 32,
            expansion: 4.0,
            se_ratio: 0.25,
            mlp_ratio: 4,
            drop_path: 0.2,
            bn_eps: 1e-3,
            bn_momentum: 0.01,
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        let Self { channels, layers, window, head_dim, .. } = self;
        ensure!(
            !channels.is_empty() && channels.len() == layers.len(),
            "`channels` {channels:?} and `layers` {layers:?} must have one number per stage"
        );
        ensure!(layers.iter().all(|&n| n > 0), "`layers` {layers:?} must be positive");
        ensure!(*window > 0, "`window` {window} must be positive");
        ensure!(
            *head_dim > 0 && channels.iter().all(|channels| channels % head_dim == 0),
            "`head_dim` {head_dim} must divide `channels` {channels:?}"
        );
        Ok(())
    }
}
