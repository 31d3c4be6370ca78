//! TrivialAugment (2103.10158) as torchvision's `TrivialAugmentWide`, and the three augmentations of DeiT III.

use super::Operation;
use super::torchvision::{Space, draw};
use crate::Invalid;
use crate::data::Stream;
use serde::{Deserialize, Serialize};

/// One operation of 14 for each image, at a magnitude that is drawn as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrivialAugment {
    /// Magnitudes to draw from.
    pub bins: u32,
}

impl Default for TrivialAugment {
    fn default() -> Self {
        Self { bins: 31 }
    }
}

impl TrivialAugment {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        match self.bins {
            2..=1000 => Ok(()),
            bins => Err(Invalid::value("bins", format!("{bins} is not between 2 and 1000"))),
        }
    }

    /// Draws the operation for one image, if it is not the identity.
    pub fn draw(&self, stream: &mut Stream) -> Option<Operation> {
        let magnitude = stream.below(u64::from(self.bins)) as u32;
        draw(&Space::wide(self.bins), magnitude, stream)
    }
}

/// DeiT III's (2204.07118): grey, solarised or blurred.
pub(super) fn three_augment(stream: &mut Stream) -> Operation {
    const BLUR: [f64; 2] = [0.1, 2.0];
    match stream.below(3) {
        0 => Operation::Gray,
        1 => Operation::Solarize(128),
        _ => Operation::Blur(stream.between(BLUR[0], BLUR[1])),
    }
}
