//! The residual nets by name.

use super::config::{Config, Shortcut};
use crate::models::Entry;

/// Family, name and net.
type Row = (&'static str, &'static str, Config);

/// Every residual net of both libraries and of the papers; timm's start the last norm of each branch at 0.
pub(in crate::models) fn entries() -> Vec<Entry> {
    let both = both();
    let zero_init = |config: &Config| Config { zero_init_last: true, ..config.clone() };
    let timms =
        both.iter().chain(&timm()).map(|(family, name, net)| (*family, *name, zero_init(net))).collect();
    [
        named("torchvision/", both),
        named("timm/", timms),
        named("timm/legacy_", legacy()),
        named("timm/", pre_activation()),
        named("paper/", imagenet()),
        cifar(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn named(source: &str, rows: Vec<Row>) -> Vec<Entry> {
    let entry = |(family, name, net)| Entry::new(format!("{source}{name}"), family, net);
    rows.into_iter().map(entry).collect()
}

/// What torchvision and timm both have.
fn both() -> Vec<Row> {
    use Config as C;
    vec![
        ("ResNet", "resnet18", C::resnet18()),
        ("ResNet", "resnet34", C::resnet34()),
        ("ResNet", "resnet50", C::resnet50()),
        ("ResNet", "resnet101", C::resnet101()),
        ("ResNet", "resnet152", C::resnet152()),
        ("WRN", "wide_resnet50_2", C::resnet50().wide(2)),
        ("WRN", "wide_resnet101_2", C::resnet101().wide(2)),
        ("ResNeXt", "resnext50_32x4d", C::resnet50().groups(32, 4)),
        ("ResNeXt", "resnext101_32x8d", C::resnet101().groups(32, 8)),
        ("ResNeXt", "resnext101_64x4d", C::resnet101().groups(64, 4)),
    ]
}

fn timm() -> Vec<Row> {
    use Config as C;
    vec![
        ("ResNet", "resnet26", C::resnet26()),
        ("ResNet", "resnet200", C::resnet200()),
        ("ResNet", "resnet50c", C::resnet50().c()),
        ("ResNet", "resnet101c", C::resnet101().c()),
        ("ResNet", "resnet152c", C::resnet152().c()),
        ("ResNet", "resnet18d", C::resnet18().d()),
        ("ResNet", "resnet26d", C::resnet26().d()),
        ("ResNet", "resnet34d", C::resnet34().d()),
        ("ResNet", "resnet50d", C::resnet50().d()),
        ("ResNet", "resnet101d", C::resnet101().d().at(256)),
        ("ResNet", "resnet152d", C::resnet152().d().at(256)),
        ("ResNet", "resnet200d", C::resnet200().d().at(256)),
        ("ResNet", "resnet50s", C::resnet50().s()),
        ("ResNet", "resnet101s", C::resnet101().s()),
        ("ResNet", "resnet152s", C::resnet152().s()),
        ("ResNet", "resnet10t", C::resnet10().t().at(176)),
        ("ResNet", "resnet14t", C::resnet14().t().at(176)),
        ("ResNet", "resnet26t", C::resnet26().t().at(256)),
        ("ResNet", "resnet50t", C::resnet50().t()),
        ("ResNeXt", "resnext50d_32x4d", C::resnet50().groups(32, 4).d()),
        ("ResNeXt", "resnext101_32x4d", C::resnet101().groups(32, 4)),
        ("ResNeXt", "resnext101_32x16d", C::resnet101().groups(32, 16)),
        ("ResNeXt", "resnext101_32x32d", C::resnet101().groups(32, 32)),
        ("SENet", "seresnet18", C::resnet18().with_se()),
        ("SENet", "seresnet34", C::resnet34().with_se()),
        ("SENet", "seresnet50", C::resnet50().with_se()),
        ("SENet", "seresnet101", C::resnet101().with_se()),
        ("SENet", "seresnet152", C::resnet152().with_se()),
        ("SENet", "seresnet152d", C::resnet152().d().with_se().at(256)),
        ("SENet", "seresnet200d", C::resnet200().d().with_se().at(256)),
        ("SENet", "seresnet269d", C::resnet269().d().with_se().at(256)),
        ("SENet", "seresnet50t", C::resnet50().t().with_se()),
        ("SENet", "seresnext26d_32x4d", C::resnet26().groups(32, 4).d().with_se()),
        ("SENet", "seresnext26t_32x4d", C::resnet26().groups(32, 4).t().with_se()),
        ("SENet", "seresnext50_32x4d", C::resnet50().groups(32, 4).with_se()),
        ("SENet", "seresnext101_32x4d", C::resnet101().groups(32, 4).with_se()),
        ("SENet", "seresnext101_32x8d", C::resnet101().groups(32, 8).with_se()),
        ("SENet", "seresnext101_64x4d", C::resnet101().groups(64, 4).with_se()),
        ("SENet", "seresnext101d_32x8d", C::resnet101().groups(32, 8).d().with_se()),
        ("SENet", "senet154", C::senet154()),
        ("SENet", "ecaresnet50d", C::resnet50().d().with_eca()),
        ("SENet", "ecaresnet101d", C::resnet101().d().with_eca()),
        ("SENet", "ecaresnet200d", C::resnet200().d().with_eca().at(256)),
        ("SENet", "ecaresnet269d", C::resnet269().d().with_eca().at(320)),
        ("SENet", "ecaresnet26t", C::resnet26().t().with_eca().at(256)),
        ("SENet", "ecaresnet50t", C::resnet50().t().with_eca().at(256)),
        ("SENet", "ecaresnext26t_32x4d", C::resnet26().groups(32, 4).t().with_eca()),
        ("SENet", "ecaresnext50t_32x4d", C::resnet50().groups(32, 4).t().with_eca()),
    ]
}

/// SENets after their authors' models.
fn legacy() -> Vec<Row> {
    use Config as C;
    let nets = [
        ("seresnet18", C::resnet18()),
        ("seresnet34", C::resnet34()),
        ("seresnet50", C::resnet50().v1()),
        ("seresnet101", C::resnet101().v1()),
        ("seresnet152", C::resnet152().v1()),
        ("seresnext26_32x4d", C::resnet26().groups(32, 4)),
        ("seresnext50_32x4d", C::resnet50().groups(32, 4)),
        ("seresnext101_32x4d", C::resnet101().groups(32, 4)),
        ("senet154", C::senet154()),
    ];
    nets.map(|(name, net)| ("SENet", name, net.legacy())).into()
}

fn pre_activation() -> Vec<Row> {
    use Config as C;
    let nets = [
        ("resnetv2_18", C::resnet18().v2()),
        ("resnetv2_18d", C::resnet18().d().v2()),
        ("resnetv2_34", C::resnet34().v2()),
        ("resnetv2_34d", C::resnet34().d().v2()),
        ("resnetv2_50", C::resnet50().v2()),
        ("resnetv2_50d", C::resnet50().d().v2()),
        ("resnetv2_50t", C::resnet50().t().v2()),
        ("resnetv2_101", C::resnet101().v2()),
        ("resnetv2_101d", C::resnet101().d().v2()),
        ("resnetv2_152", C::resnet152().v2()),
        ("resnetv2_152d", C::resnet152().d().v2()),
        ("resnetv2_50x1_bit", C::resnet50().bit(1)),
        ("resnetv2_50x3_bit", C::resnet50().bit(3).at(448)),
        ("resnetv2_101x1_bit", C::resnet101().bit(1).at(448)),
        ("resnetv2_101x3_bit", C::resnet101().bit(3).at(448)),
        ("resnetv2_152x2_bit", C::resnet152().bit(2)),
        ("resnetv2_152x4_bit", C::resnet152().bit(4).at(480)),
    ];
    nets.map(|(name, net)| ("ResNet", name, net)).into()
}

/// The papers' nets that neither library has: plain nets, shortcuts A and C, the first strides, squeeze-excitation
/// without biases, bottlenecks without shortcuts (1611.05431, section 5.1), the first order of pre-activation.
fn imagenet() -> Vec<Row> {
    use Config as C;
    let resnext50 = || C::resnet50().groups(32, 4);
    let resnext101 = || C::resnet101().groups(32, 4);
    vec![
        ("ResNet", "plain18", C::resnet18().shortcut(Shortcut::None)),
        ("ResNet", "plain34", C::resnet34().shortcut(Shortcut::None)),
        ("ResNet", "resnet18_a", C::resnet18().shortcut(Shortcut::A)),
        ("ResNet", "resnet34_a", C::resnet34().shortcut(Shortcut::A)),
        ("ResNet", "resnet34_b", C::resnet34()),
        ("ResNet", "resnet34_c", C::resnet34().shortcut(Shortcut::C)),
        ("ResNet", "resnet50", C::resnet50().v1()),
        ("ResNet", "resnet101", C::resnet101().v1()),
        ("ResNet", "resnet152", C::resnet152().v1()),
        ("ResNet", "resnet200", C::resnet200().v1()),
        ("ResNet", "preact_resnet152", C::resnet152().v2_published()),
        ("ResNet", "preact_resnet200", C::resnet200().v2_published()),
        ("ResNeXt", "plain50", C::resnet50().shortcut(Shortcut::None)),
        ("ResNeXt", "plain_resnext50_32x4d", resnext50().shortcut(Shortcut::None)),
        ("SENet", "se_resnet50", C::resnet50().v1().with_papers_se()),
        ("SENet", "se_resnet101", C::resnet101().v1().with_papers_se()),
        ("SENet", "se_resnet152", C::resnet152().v1().with_papers_se()),
        ("SENet", "se_resnext50_32x4d", resnext50().with_papers_se()),
        ("SENet", "se_resnext101_32x4d", resnext101().with_papers_se()),
    ]
}

/// The papers' nets on CIFAR.
fn cifar() -> Vec<Entry> {
    use Config as C;
    let mut entries = Vec::new();
    let mut add =
        |family, name: String, net: Config| entries.push(Entry::new(format!("paper/{name}"), family, net));
    for layers in [20, 32, 44, 56, 110] {
        add("ResNet", format!("plain{layers}"), C::cifar(layers).shortcut(Shortcut::None));
    }
    for layers in [20, 32, 44, 56, 110, 1202] {
        add("ResNet", format!("resnet{layers}"), C::cifar(layers));
    }
    for layers in [164, 1001] {
        add("ResNet", format!("resnet{layers}"), C::cifar_bottleneck(layers));
        add("ResNet", format!("preact_resnet{layers}"), C::cifar_bottleneck(layers).preact());
    }
    add("ResNet", "preact_resnet110".into(), C::cifar(110).preact());
    let wide = [(40, 1), (40, 2), (40, 4), (40, 8), (40, 10), (28, 10), (28, 12), (22, 8), (22, 10), (16, 4)];
    for (layers, width) in wide.into_iter().chain([(16, 8), (16, 10), (52, 1)]) {
        add("WRN", format!("wrn_{layers}_{width}"), C::wide_resnet(layers, width));
    }
    add("ResNeXt", "resnext29".into(), C::resnext29(8, 64));
    let groups =
        [(1, 64), (2, 64), (4, 64), (8, 64), (16, 64), (1, 96), (1, 128), (1, 192), (1, 256), (8, 16)];
    for (cardinality, width) in groups {
        add("ResNeXt", format!("resnext29_{cardinality}x{width}d"), C::resnext29(cardinality, width));
    }
    add("SENet", "se_preact_resnet110".into(), C::cifar(110).preact().with_se());
    add("SENet", "se_preact_resnet164".into(), C::cifar_bottleneck(164).preact().with_se());
    add("SENet", "se_wrn_16_8".into(), C::wide_resnet(16, 8).with_se());
    entries
}
