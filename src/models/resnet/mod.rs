//! Residual nets: ResNet and its plain twin (1512.03385), pre-activation ResNet (1603.05027), Wide ResNet (1605.07146),
//! ResNeXt (1611.05431), SENet (1709.01507), ECA-Net (1910.03151), BiT (1912.11370), and the stems and shortcuts of the
//! "bag of tricks" (1812.01187), for ImageNet and for CIFAR, as torchvision and timm have them and as the papers do.
//!
//! The libraries stride in a bottleneck's 3×3 convolution, the first paper and timm's `legacy_` nets in the 1×1 before
//! it.

mod block;
mod config;
mod keys;
mod names;
mod stem;

pub use config::{AttentionKind, AttentionPlace, BlockKind, Config, Shortcut, StemKind, StemPool};
pub use keys::Keys;
pub(super) use names::entries;

use super::Model;
use super::net::Net;
use crate::nn::{
    self, Classifier, Conv, Conv2d, Dropout, Init, Layer, Linear, Outputs, Path, Sequence, Store,
};
use anyhow::{Result, ensure};
use block::{Block, Place};
use tch::Tensor;

impl super::Config for Config {
    fn renamed() -> &'static [(&'static str, &'static str)] {
        &[
            ("depth", "num_layers"),
            ("stem", "stem_width"),
            ("deep_stem", "stem"),
            ("channels", "planes"),
            ("dropout", "block_dropout"),
        ]
    }

    /// The nets on CIFAR had it by the planes of the first stage.
    fn renamed_note(&self) -> Option<&'static str> {
        let had = self.num_layers.is_some() && self.block == BlockKind::Bottleneck;
        had.then_some("`base_width` now counts the channels of a group per 64 planes")
    }

    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        ensure!(!self.planes.is_empty(), "`planes` must have a value a stage");
        Ok(Box::new(network(&store.root(), self)?))
    }
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let Trunk { stages, channels } = trunk(path, config)?;
    Ok(Net::new(stages, head(path, config, channels)?))
}

/// A net without its head.
pub(super) struct Trunk {
    pub stages: Vec<(String, Box<dyn Layer>)>,
    /// Channels that the last stage puts out.
    pub channels: i64,
}

/// All stages; without `planes` the stem with its pooling.
pub(super) fn trunk(path: &Path, config: &Config) -> Result<Trunk> {
    config.validate()?;
    let (names, blocks) = (config.keys.names(), config.blocks()?);
    let mut stages: Vec<(String, Box<dyn Layer>)> =
        vec![(names.stem.into(), Box::new(stem::convolutions(path, config)?))];
    stages.extend(config.stem_pool.layer(config.tf_same).map(|pool| (names.pool.to_owned(), pool)));
    let mut in_channels = config.stem_channels();
    let last_block = (blocks.iter().sum::<i64>() - 1).max(1) as f64;
    let mut block_index = 0;
    for (stage, &count) in blocks.iter().enumerate() {
        let mut layers: Vec<Box<dyn Layer>> = Vec::new();
        for i in 0..count {
            let stride = if i == 0 && stage > 0 { 2 } else { 1 };
            let normed = config.norm_before_pool && block_index == 0;
            let drop_path = config.drop_path * f64::from(block_index) / last_block;
            let place = Place { stage, in_channels, stride, first: i == 0, normed, drop_path };
            layers.push(Box::new(Block::new(&(path / names.block(stage, i)), config, &place)?));
            in_channels = config.out_channels(stage);
            block_index += 1;
        }
        stages.push((names.stage(stage), Box::new(Sequence(layers))));
    }
    if config.pre_activation {
        stages.push(("norm".into(), Box::new(config.norm_act(&(path / "norm"), in_channels)?)));
    }
    Ok(Trunk { stages, channels: in_channels })
}

fn head(path: &Path, config: &Config, channels: i64) -> Result<Box<dyn nn::Head>> {
    let (path, dropout) = (path / config.keys.names().classifier, config.dropout.unwrap_or(0.0));
    Ok(match (config.num_classes, config.keys) {
        (classes @ 1.., Keys::Resnetv2) => {
            let fc = Conv::new(channels, classes, 1).zero_bias().init(Init::Normal(0.01));
            Box::new(Head { dropout: Dropout::new(dropout)?, fc: Conv2d::new(&path, fc)? })
        }
        (classes, _) => {
            Box::new(Classifier::new(classes, dropout, || Linear::new(&path, channels, classes))?)
        }
    })
}

/// Global average, dropout and the 1×1 convolution that classifies.
struct Head {
    dropout: Dropout,
    fc: Conv2d,
}

impl nn::Head for Head {
    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs> {
        let mean = x.f_adaptive_avg_pool2d([1, 1])?;
        let logits = self.fc.forward(&self.dropout.forward(&mean, train)?, train)?.f_flatten(1, -1)?;
        Ok(Outputs { pooled: mean.f_flatten(1, -1)?, logits })
    }
}
