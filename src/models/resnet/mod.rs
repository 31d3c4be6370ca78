//! Residual nets for ImageNet: ResNet (1512.03385), Wide ResNet (1605.07146), ResNeXt (1611.05431), the stems and
//! shortcuts of the "bag of tricks" (1812.01187), with squeeze-excitation (1709.01507) or efficient channel attention
//! (1910.03151), as torchvision and timm have them and as the papers do.
//!
//! Keys of both: `conv1`, `bn1`, `layer1.0.conv1`, …, `layer1.0.se.fc1`, `layer2.0.downsample.0`, …, `fc`. The
//! libraries stride in a bottleneck's 3×3 convolution, the first paper in the 1×1 before it.

pub(super) mod block;
mod config;
mod names;

pub use config::{AttentionKind, AttentionPlace, Config, StemKind};
pub(super) use names::entries;

use super::Model;
use super::net::Net;
use crate::nn::{Classifier, Conv, ConvNorm, ConvNormAct, Layer, Linear, MaxPool2d, Path, Sequence, Store};
use anyhow::Result;
use block::{Block, conv};

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        self.validate()?;
        Ok(Box::new(network(&store.root(), self)?))
    }
}

/// The stem and the channels it puts out.
fn stem(path: &Path, config: &Config) -> Result<(Sequence, i64)> {
    let (conv1, bn1) = (path / "conv1", path / "bn1");
    let relu = |conv_path: &Path, norm_path: &Path, conv: Conv| -> Result<Box<dyn Layer>> {
        Ok(Box::new(ConvNormAct::relu(ConvNorm::new(conv_path, norm_path, conv)?)))
    };
    let width = config.stem_width;
    let first = match config.stem {
        StemKind::Single => {
            let stem = relu(&conv1, &bn1, conv(config.in_chans, 64, 7).stride(2))?;
            return Ok((Sequence(vec![stem]), 64));
        }
        StemKind::Deep => width,
        StemKind::Tiered => 3 * (width / 4),
    };
    let convs = vec![
        relu(&(&conv1 / 0), &(&conv1 / 1), conv(config.in_chans, first, 3).stride(2))?,
        relu(&(&conv1 / 3), &(&conv1 / 4), conv(first, width, 3))?,
        relu(&(&conv1 / 6), &bn1, conv(width, 2 * width, 3))?,
    ];
    Ok((Sequence(convs), 2 * width))
}

/// The whole net.
fn network(path: &Path, config: &Config) -> Result<Net> {
    let (stem, mut channels) = stem(path, config)?;
    let maxpool = MaxPool2d { stride: 2, padding: 1, ..MaxPool2d::new(3) };
    let mut stages: Vec<(&str, Box<dyn Layer>)> =
        vec![("conv1", Box::new(stem)), ("maxpool", Box::new(maxpool))];
    let last_block = ((0..4).map(|stage| config.blocks(stage)).sum::<i64>() - 1).max(1);
    let mut block_index = 0;
    for (stage, name) in ["layer1", "layer2", "layer3", "layer4"].into_iter().enumerate() {
        let mut blocks: Vec<Box<dyn Layer>> = Vec::new();
        for i in 0..config.blocks(stage) {
            let stride = if i == 0 && stage > 0 { 2 } else { 1 };
            let drop_path = config.drop_path * block_index as f64 / last_block as f64;
            let block = Block::new(&(path / name / i), config, stage, channels, stride, drop_path)?;
            blocks.push(Box::new(block));
            channels = config.out_channels(stage);
            block_index += 1;
        }
        stages.push((name, Box::new(Sequence(blocks))));
    }
    let fc = match config.num_classes {
        0 => None,
        classes => Some(Linear::new(&(path / "fc"), channels, classes)?),
    };
    Ok(Net::new(stages, Classifier::new(fc, config.dropout)?))
}
