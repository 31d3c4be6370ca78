//! The papers' residual nets for small images by name.

use super::Config;
use crate::models::Entry;

/// The papers' nets by name.
pub(in crate::models) fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut add = |family, name: String, config: Config| entries.push(Entry::new(name, family, config));
    for depth in [20, 32, 44, 56, 110] {
        add("ResNet", format!("paper/plain{depth}"), Config::plain(depth));
    }
    for depth in [20, 32, 44, 56, 110, 1202] {
        add("ResNet", format!("paper/resnet{depth}"), Config::resnet(depth));
    }
    for depth in [164, 1001] {
        add("ResNet", format!("paper/resnet{depth}"), Config::resnet_bottleneck(depth));
        add("ResNet", format!("paper/preact_resnet{depth}"), Config::preact_resnet_bottleneck(depth));
    }
    add("ResNet", "paper/preact_resnet110".into(), Config::preact_resnet(110));
    let wide = [(40, 1), (40, 2), (40, 4), (40, 8), (40, 10), (28, 10), (28, 12), (22, 8), (22, 10), (16, 4)];
    for (depth, width) in wide.into_iter().chain([(16, 8), (16, 10), (52, 1)]) {
        add("WRN", format!("paper/wrn_{depth}_{width}"), Config::wide_resnet(depth, width));
    }
    add("ResNeXt", "paper/resnext29".into(), Config::resnext29(8, 64));
    let groups =
        [(1, 64), (2, 64), (4, 64), (8, 64), (16, 64), (1, 96), (1, 128), (1, 192), (1, 256), (8, 16)];
    for (cardinality, width) in groups {
        let name = format!("paper/resnext29_{cardinality}x{width}d");
        add("ResNeXt", name, Config::resnext29(cardinality, width));
    }
    add("SENet", "paper/se_preact_resnet110".into(), Config::preact_resnet(110).with_se());
    add("SENet", "paper/se_preact_resnet164".into(), Config::preact_resnet_bottleneck(164).with_se());
    add("SENet", "paper/se_wrn_16_8".into(), Config::wide_resnet(16, 8).with_se());
    entries
}
