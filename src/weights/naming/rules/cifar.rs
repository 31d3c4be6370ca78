//! Names in the repositories that people train on CIFAR with: akamaster's pytorch_resnet_cifar10, bearpaw's
//! pytorch-classification, xternalz's and szagoruyko's Wide ResNets, kuangliu's pytorch-cifar.

use super::super::rule::{Change, Naming, READ, Rule, change, rename};
use crate::weights::TensorView;
use anyhow::{Context, Result};
use tch::Tensor;

pub(super) const NAMINGS: &[Naming] = &[
    Naming {
        models: &[
            "paper/resnet20",
            "paper/resnet32",
            "paper/resnet44",
            "paper/resnet56",
            "paper/resnet110",
            "paper/resnet1202",
        ],
        from: "akamaster",
        to: "paper",
        rules: &[&[rename("linear", "fc")]],
        rework: Some(padded_around),
        note: Some("its channels are put in order: shortcuts pad half of the zeros before the others"),
        ..READ
    },
    Naming { models: &["paper/wrn_"], from: "xternalz", to: "paper", rules: &[XTERNALZ], ..READ },
    Naming { models: &["paper/wrn_"], from: "szagoruyko", to: "paper", rules: &[SZAGORUYKO], ..READ },
    Naming { models: &["paper/densenet"], from: "bearpaw", to: "paper", rules: &[DENSENET], ..READ },
    Naming { models: &["paper/resnext29_"], from: "bearpaw", to: "paper", rules: &[RESNEXT], ..READ },
    Naming { models: &["paper/resnext29_"], from: "kuangliu", to: "paper", rules: &[KUANGLIU], ..READ },
];

const XTERNALZ: &[Rule] = &[
    rename("block{s}.layer.{b}.convShortcut", "layer{s}.{b}.downsample.0"),
    rename("block{s}.layer.{b}", "layer{s}.{b}"),
    rename("bn1", "norm"),
];

/// Functions over a flat dict, in Python and Lua.
const SZAGORUYKO: &[Rule] = &[
    rename("conv0", "conv1.weight"),
    rename("group{g}.block{b}.convdim", "layer{g+1}.{b}.downsample.0.weight"),
    rename("group{g}.block{b}.conv{n}", "layer{g+1}.{b}.conv{n+1}.weight"),
    rename("group{g}.block{b}.bn{n}", "layer{g+1}.{b}.bn{n+1}"),
    rename("bn", "norm"),
];

const DENSENET: &[Rule] = &[
    rename("conv1", "features.conv0"),
    rename("dense{s}.{l}.bn{j}", "features.denseblock{s}.denselayer{l+1}.norm{j}"),
    rename("dense{s}.{l}.conv{j}", "features.denseblock{s}.denselayer{l+1}.conv{j}"),
    rename("trans{s}.bn1", "features.transition{s}.norm"),
    rename("trans{s}.conv1", "features.transition{s}.conv"),
    rename("bn", "features.norm5"),
    rename("fc", "classifier"),
];

const RESNEXT: &[Rule] = &[
    rename("conv_1_3x3", "conv1"),
    rename("bn_1", "bn1"),
    rename("stage_{s}.stage_{s}_bottleneck_{b}.conv_reduce", "layer{s}.{b}.conv1"),
    rename("stage_{s}.stage_{s}_bottleneck_{b}.bn_reduce", "layer{s}.{b}.bn1"),
    rename("stage_{s}.stage_{s}_bottleneck_{b}.conv_conv", "layer{s}.{b}.conv2"),
    rename("stage_{s}.stage_{s}_bottleneck_{b}.bn", "layer{s}.{b}.bn2"),
    rename("stage_{s}.stage_{s}_bottleneck_{b}.conv_expand", "layer{s}.{b}.conv3"),
    rename("stage_{s}.stage_{s}_bottleneck_{b}.bn_expand", "layer{s}.{b}.bn3"),
    rename("stage_{s}.stage_{s}_bottleneck_{b}.shortcut.shortcut_conv", "layer{s}.{b}.downsample.0"),
    rename("stage_{s}.stage_{s}_bottleneck_{b}.shortcut.shortcut_bn", "layer{s}.{b}.downsample.1"),
    rename("classifier", "fc"),
];

const KUANGLIU: &[Rule] = &[
    change("conv1", "conv1", Change::Ring),
    rename("layer{s}.{b}.shortcut", "layer{s}.{b}.downsample"),
    rename("linear", "fc"),
];

/// Where a stage has more channels than the one before, akamaster's shortcut pads half of the zeros before the others
/// and ours all of them after, as the paper's first release: the same network with its channels in another order.
fn padded_around(mut tensors: Vec<(String, TensorView)>) -> Result<Vec<(String, TensorView)>> {
    let width = |name: &str| {
        let tensor = tensors.iter().find(|(known, _)| known == name);
        tensor.and_then(|(_, tensor)| tensor.size().first().copied())
    };
    let widths = [1, 2, 3].map(|stage| width(&format!("layer{stage}.0.conv2.weight")));
    let [Some(first), Some(second), Some(third)] = widths else { return Ok(tensors) };
    // Which of its channels each of ours is.
    let mut order: Vec<i64> = (0..first).collect();
    let mut orders = vec![order.clone()];
    for (has, wants) in [(first, second), (second, third)] {
        let before = (wants - has) / 2;
        let rest = (0..wants).filter(|channel| !(before..before + has).contains(channel));
        order = order.iter().map(|channel| before + channel).chain(rest).collect();
        orders.push(order.clone());
    }
    let orders: Vec<Tensor> = orders.iter().map(|order| Tensor::from_slice(order)).collect();
    for (name, tensor) in &mut tensors {
        let in_stage = name.strip_prefix("layer").and_then(|rest| {
            let (stage, rest) = rest.split_once('.')?;
            let (block, layer) = rest.split_once('.')?;
            Some((stage.parse::<usize>().ok()?, block == "0", layer))
        });
        let changed = match in_stage {
            Some((stage @ 1..=3, _, layer)) if layer.starts_with("conv2.") || layer.starts_with("bn2.") => {
                (tensor.dim() > 0).then(|| tensor.f_index_select(0, &orders[stage - 1]))
            }
            Some((stage @ 1..=3, is_first, "conv1.weight")) => {
                let before = if is_first { stage.saturating_sub(2) } else { stage - 1 };
                Some(tensor.f_index_select(1, &orders[before]))
            }
            None if name == "fc.weight" => Some(tensor.f_index_select(1, &orders[2])),
            _ => None,
        };
        if let Some(changed) = changed {
            *tensor = changed.with_context(|| format!("`{name}`"))?.into();
        }
    }
    Ok(tensors)
}
