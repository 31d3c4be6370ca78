//! Where the tensors are: timm's names, and the numbers of torchvision's files.

use super::table::Kind;
use crate::nn::Path;
use serde::{Deserialize, Serialize};

/// A file of torchvision; each numbers its layers in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `features.0.0`, `features.1.0.block.0.0`, …: stages, then blocks.
    Efficientnet,
    /// `features.0.0`, `features.1.conv.0.0`, …: blocks through all stages.
    MobilenetV2,
    /// `features.0.0`, `features.1.block.0.0`, …: the same.
    MobilenetV3,
    /// `layers.0`, `layers.1`, `layers.3`, …, `layers.8.0.layers.0`, …: single layers, then stages.
    Mnasnet,
}

use Layout::{Efficientnet, Mnasnet, MobilenetV2, MobilenetV3};

/// Gives the parts of a net, or of one of its blocks, their places in the order of the pass.
#[derive(Clone)]
pub(super) struct Names {
    /// torchvision's; none is timm's.
    layout: Option<Layout>,
    path: Path,
    /// The next number.
    next: usize,
    /// That of the stage whose blocks these are.
    stage: Option<usize>,
}

impl Names {
    /// Those of the whole net.
    pub fn new(root: &Path, layout: Option<Layout>) -> Self {
        let path = match layout {
            None => root.clone(),
            Some(Mnasnet) => root / "layers",
            Some(_) => root / "features",
        };
        Self { layout, path, next: 0, stage: None }
    }

    pub fn are_timms(&self) -> bool {
        self.layout.is_none()
    }

    /// What timm alone has.
    pub fn timm(&self, name: &str) -> Path {
        &self.path / name
    }

    /// A convolution with norm and activation.
    pub fn conv(&mut self, timm: [&str; 2]) -> [Path; 2] {
        match self.layout {
            None => timm.map(|name| &self.path / name),
            // The activation has a number too.
            Some(Mnasnet) => self.pair(3),
            Some(_) => {
                let n = self.take(1);
                [&self.path / n / 0, &self.path / n / 1]
            }
        }
    }

    /// The convolution with norm at the end of a block.
    pub fn project(&mut self, timm: [&str; 2]) -> [Path; 2] {
        match self.layout {
            Some(MobilenetV2 | Mnasnet) => self.pair(2),
            _ => self.conv(timm),
        }
    }

    /// Squeeze-excitation, and its two convolutions.
    pub fn squeeze_excite(&mut self) -> (Path, [&'static str; 2]) {
        match self.layout {
            None => (&self.path / "se", ["conv_reduce", "conv_expand"]),
            Some(_) => {
                let n = self.take(1);
                (&self.path / n, ["fc1", "fc2"])
            }
        }
    }

    /// A convolution that is a stage of the net by itself, and the stage's name.
    pub fn stage(&mut self, timm: [&str; 2]) -> (String, [Path; 2]) {
        let name = if self.are_timms() { timm[0].to_owned() } else { self.name(self.next) };
        (name, self.conv(timm))
    }

    /// The parts of the block of this index in the table's stage, and the name of the net's stage that it belongs to.
    pub fn block(&mut self, index: usize, kind: Kind) -> (String, Names) {
        // Some are no block in torchvision, but layers beside the blocks.
        let layers = match (self.layout, kind) {
            (Some(MobilenetV2 | MobilenetV3), Kind::Conv) => 1,
            (Some(Mnasnet), Kind::Separable) => 5,
            _ => 0,
        };
        if layers > 0 {
            let next = self.take(layers);
            self.stage = None;
            return (self.name(next), Self { next, ..self.clone() });
        }
        let alone = index == 0 || matches!(self.layout, Some(MobilenetV2 | MobilenetV3));
        let stage = self.stage.filter(|_| !alone).unwrap_or_else(|| self.take(1));
        self.stage = Some(stage);
        let path = match self.layout {
            None => &self.path / "blocks" / stage / index,
            Some(Efficientnet) => &self.path / stage / index / "block",
            Some(MobilenetV2) => &self.path / stage / "conv",
            Some(MobilenetV3) => &self.path / stage / "block",
            Some(Mnasnet) => &self.path / stage / index / "layers",
        };
        (self.name(stage), Self { path, next: 0, ..self.clone() })
    }

    /// The layer after the pooling, and the classifier, which torchvision has with dropout in one row.
    pub fn head(&self, hidden: bool) -> [&'static str; 2] {
        match (self.layout, hidden) {
            (None, _) => ["conv_head", "classifier"],
            (Some(_), true) => ["classifier.0", "classifier.3"],
            (Some(_), false) => ["classifier.0", "classifier.1"],
        }
    }

    /// A stage of the net.
    fn name(&self, number: usize) -> String {
        let features = match self.layout {
            None => "blocks",
            Some(Mnasnet) => "layers",
            Some(_) => "features",
        };
        format!("{features}.{number}")
    }

    /// Takes so many numbers; the first of them.
    fn take(&mut self, numbers: usize) -> usize {
        self.next += numbers;
        self.next - numbers
    }

    /// A convolution and its norm under the first two of so many numbers.
    fn pair(&mut self, numbers: usize) -> [Path; 2] {
        let conv = self.take(numbers);
        [&self.path / conv, &self.path / (conv + 1)]
    }
}
