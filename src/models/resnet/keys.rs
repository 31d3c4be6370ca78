//! The keys of residual nets as different libraries name them.

use serde::{Deserialize, Serialize};

/// Whose keys and initial values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    /// ResNet in torchvision and timm.
    Resnet,
    /// The same for the papers' nets on CIFAR, whose squeeze-excitation starts as `torch.nn`'s convolutions do.
    Cifar,
    /// timm's pre-activation nets; shortcuts come before their blocks' branches, the classifier is a 1×1 convolution.
    Resnetv2,
    /// timm's `legacy_` SENets, after their authors' models.
    Senet,
}

/// A convolution and its norm.
type Pair = [&'static str; 2];

/// What the parts of a net are called.
pub(super) struct Names {
    /// The stages before the blocks.
    pub stem: &'static str,
    pub pool: &'static str,
    /// A stem's one convolution, or its three.
    pub single: [Pair; 1],
    pub deep: [Pair; 3],
    /// A stage: what stands before its number, the number of the first, and what stands before a block's.
    stage: (&'static str, usize, &'static str),
    /// A block's norms, before their numbers.
    pub norm: &'static str,
    /// The projection of a shortcut, and after an average.
    pub projection: Pair,
    pub averaged_projection: Pair,
    pub attention: &'static str,
    pub classifier: &'static str,
}

const RESNET: Names = Names {
    stem: "conv1",
    pool: "maxpool",
    single: [["conv1", "bn1"]],
    deep: [["conv1.0", "conv1.1"], ["conv1.3", "conv1.4"], ["conv1.6", "bn1"]],
    stage: ("layer", 1, ""),
    norm: "bn",
    projection: ["downsample.0", "downsample.1"],
    averaged_projection: ["downsample.1", "downsample.2"],
    attention: "se",
    classifier: "fc",
};

const CIFAR: Names = Names { stem: "stem", ..RESNET };

const RESNETV2: Names = Names {
    stem: "stem",
    pool: "stem.pool",
    single: [["stem.conv", "stem.norm"]],
    deep: [["stem.conv1", "stem.norm1"], ["stem.conv2", "stem.norm2"], ["stem.conv3", "stem.norm"]],
    stage: ("stages.", 0, "blocks."),
    norm: "norm",
    projection: ["downsample.conv", "downsample.norm"],
    averaged_projection: ["downsample.conv", "downsample.norm"],
    classifier: "head.fc",
    ..RESNET
};

const SENET: Names = Names {
    stem: "layer0",
    pool: "pool0",
    single: [["layer0.conv1", "layer0.bn1"]],
    deep: [["layer0.conv1", "layer0.bn1"], ["layer0.conv2", "layer0.bn2"], ["layer0.conv3", "layer0.bn3"]],
    attention: "se_module",
    classifier: "last_linear",
    ..RESNET
};

impl Keys {
    pub(super) fn names(self) -> &'static Names {
        match self {
            Keys::Resnet => &RESNET,
            Keys::Cifar => &CIFAR,
            Keys::Resnetv2 => &RESNETV2,
            Keys::Senet => &SENET,
        }
    }
}

impl Names {
    /// The stage of this index.
    pub fn stage(&self, stage: usize) -> String {
        let (before, first, _) = self.stage;
        format!("{before}{}", first + stage)
    }

    /// A block of that stage.
    pub fn block(&self, stage: usize, block: i64) -> String {
        let (.., blocks) = self.stage;
        format!("{}.{blocks}{block}", self.stage(stage))
    }
}
