//! The residual nets by name.

use super::Config;
use crate::models::Entry;
use crate::models::residual::Shortcut;

/// The papers' nets that neither library has: plain nets, shortcuts A and C, the first strides, squeeze-excitation
/// without biases, bottlenecks without shortcuts (1611.05431, section 5.1).
fn paper_entries() -> Vec<Entry> {
    use Config as C;
    let resnext50 = || C::resnet50().groups(32, 4);
    let resnext101 = || C::resnet101().groups(32, 4);
    let nets = [
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
        ("ResNeXt", "plain50", C::resnet50().shortcut(Shortcut::None)),
        ("ResNeXt", "plain_resnext50_32x4d", resnext50().shortcut(Shortcut::None)),
        ("SENet", "se_resnet50", C::resnet50().v1().with_papers_se()),
        ("SENet", "se_resnet101", C::resnet101().v1().with_papers_se()),
        ("SENet", "se_resnet152", C::resnet152().v1().with_papers_se()),
        ("SENet", "se_resnext50_32x4d", resnext50().with_papers_se()),
        ("SENet", "se_resnext101_32x4d", resnext101().with_papers_se()),
    ];
    let entry = |(family, name, config)| Entry::new(format!("paper/{name}"), family, config);
    nets.map(entry).into()
}

/// Both libraries' nets by name, and the papers'; timm's start the last norm of each branch at 0.
pub(in crate::models) fn entries() -> Vec<Entry> {
    use Config as C;
    let torchvision = [
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
    ];
    let timm = [
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
    ];
    let timm = torchvision.iter().chain(&timm).map(|(family, name, config)| {
        Entry::new(format!("timm/{name}"), family, C { zero_init_last: true, ..config.clone() })
    });
    let torchvision = torchvision.iter();
    torchvision
        .map(|(family, name, config)| Entry::new(format!("torchvision/{name}"), family, config.clone()))
        .chain(timm)
        .chain(paper_entries())
        .collect()
}
