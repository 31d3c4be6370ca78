//! Mobile nets: MobileNet V1 (1704.04861), V2 (1801.04381), V3 (1905.02244), V4 (2404.10518), MnasNet (1807.11626),
//! EfficientNet (1905.11946) with its Lite, EdgeTPU and CondConv (1904.04971) variants, EfficientNetV2 (2104.00298).
//!
//! One network whose [`Config`] spells them: stages of blocks by a table, scaled in width, depth and resolution. Keys as
//! torchvision's files or timm's have them.

mod blocks;
mod config;
mod efficientnet;
mod head;
mod mnasnet;
mod mobilenet;
mod names;
mod table;

pub use config::{ClassifierInit, Config, ConvInit, Expansion, Head, HeadWidth, Squeeze};
pub use names::Layout;

use super::net::Net;
use super::{Entry, Model};
use crate::nn::{Conv, ConvNormAct, Layer, Path, Sequence, Store};
use anyhow::Result;
use blocks::Builder;
use head::Classifier;
use names::Names;
use std::fmt::Display;

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        let side = (self.image_size as f64 * self.gamma.powf(self.phi)).round() as i64;
        [self.in_chans, side, side]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        self.validate()?;
        Ok(Box::new(network(&store.root(), self)?))
    }

    fn renamed() -> &'static [(&'static str, &'static str)] {
        &[
            ("stem", "stem_width"),
            ("last", "head_channels"),
            ("hidden", "head_channels"),
            ("features", "head_channels"),
            ("blocks", "stages"),
            ("separable", "stages: [ds k3 c16 noskip, …]"),
        ]
    }
}

/// The whole net.
fn network(root: &Path, config: &Config) -> Result<Net> {
    let mut names = Names::new(root, config.torchvision_layout()?);
    let mut stages: Vec<(String, Vec<Box<dyn Layer>>)> = Vec::new();

    let (mut table, mut channels) = (config.stem_width, config.stem_width);
    if !config.fix_stem {
        channels = config.channels(config.stem_width);
    }
    let stem = Conv::new(config.in_chans, channels, 3).stride(2);
    let (name, paths) = names.stage(["conv_stem", "bn1"]);
    let stem = ConvNormAct::new(config.conv_norm(paths, stem)?, config.activation);
    stages.push((name, vec![Box::new(stem)]));

    let rows = config.rows()?;
    let total = rows.iter().map(Vec::len).sum::<usize>() as f64;
    let mut done = 0;
    for stage in &rows {
        for (i, row) in stage.iter().enumerate() {
            let (name, places) = names.block(i, row.kind);
            let drop_path = config.drop_path * f64::from(done) / total;
            let block = Builder { config, row, names: places, table, from: channels, drop_path };
            (table, channels, done) = (row.to(table), block.to(), done + 1);
            let block = block.build()?;
            match stages.last_mut() {
                Some((last, blocks)) if *last == name => blocks.push(block),
                _ => stages.push((name, vec![block])),
            }
        }
    }

    if config.head == Head::BeforePool {
        let conv = Conv::new(channels, config.head_channels(channels), 1);
        let (name, paths) = names.stage(["conv_head", "bn2"]);
        let conv = ConvNormAct::new(config.conv_norm(paths, conv)?, config.activation);
        stages.push((name, vec![Box::new(conv)]));
    }
    let stages = stages
        .into_iter()
        .map(|(name, layers)| -> (String, Box<dyn Layer>) { (name, Box::new(Sequence(layers))) });
    Ok(Net::new(stages.collect(), Classifier::new(root, &names, config, channels)?))
}

/// Both libraries' nets, and the papers'.
pub(super) fn entries() -> Vec<Entry> {
    fn of<N: Display>(
        source: &str,
        family: &'static str,
        nets: impl IntoIterator<Item = (N, Config)>,
    ) -> Vec<Entry> {
        let entry = |(name, config)| Entry::new(format!("{source}/{name}"), family, config);
        nets.into_iter().map(entry).collect()
    }
    let families = [
        of("torchvision", "MNASNet", mnasnet::torchvision()),
        of("torchvision", "MobileNet", mobilenet::torchvision()),
        of("torchvision", "EfficientNet", efficientnet::torchvision()),
        of("paper", "MobileNet", mobilenet::paper()),
        of("timm", "MobileNet", mobilenet::timm()),
        of("timm", "EfficientNet", efficientnet::timm()),
    ];
    families.into_iter().flatten().collect()
}
