//! AutoAugment (1805.09501): learned policies with timm's operations and magnitudes.

use self::Kind::{
    AutoContrast, Color, Contrast, Equalize, Invert, Posterize, Rotate, Sharpness, ShearX, ShearY, Solarize,
    SolarizeAdd, TranslateY,
};
use super::torchvision::{self, Space};
use super::{Filling, Operation, Warp};
use crate::data::Stream;
use serde::{Deserialize, Serialize};

/// Applies one of the policy's 25 pairs of operations to each image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AutoAugment {
    pub policy: Policy,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// That of EfficientNet's released code.
    #[default]
    V0,
    /// The paper's for ImageNet, as timm has it.
    Original,
    /// The same pairs with the operations and magnitudes of torchvision.
    Torchvision,
}

#[derive(Clone, Copy)]
enum Kind {
    AutoContrast,
    Color,
    Contrast,
    Equalize,
    Invert,
    Posterize,
    Rotate,
    Sharpness,
    ShearX,
    ShearY,
    Solarize,
    SolarizeAdd,
    TranslateY,
}

impl Kind {
    fn of_torchvision(self) -> torchvision::Kind {
        match self {
            AutoContrast => torchvision::Kind::AutoContrast,
            Color => torchvision::Kind::Color,
            Contrast => torchvision::Kind::Contrast,
            Equalize => torchvision::Kind::Equalize,
            Invert => torchvision::Kind::Invert,
            Posterize => torchvision::Kind::Posterize,
            Rotate => torchvision::Kind::Rotate,
            Sharpness => torchvision::Kind::Sharpness,
            ShearX => torchvision::Kind::ShearX,
            ShearY => torchvision::Kind::ShearY,
            Solarize => torchvision::Kind::Solarize,
            // Not in the paper's policy.
            SolarizeAdd => torchvision::Kind::Identity,
            TranslateY => torchvision::Kind::TranslateY,
        }
    }
}

/// An operation, its probability and its magnitude from 0 to 10.
type Step = (Kind, f64, u8);

const V0: [[Step; 2]; 25] = [
    [(Equalize, 0.8, 1), (ShearY, 0.8, 4)],
    [(Color, 0.4, 9), (Equalize, 0.6, 3)],
    [(Color, 0.4, 1), (Rotate, 0.6, 8)],
    [(Solarize, 0.8, 3), (Equalize, 0.4, 7)],
    [(Solarize, 0.4, 2), (Solarize, 0.6, 2)],
    [(Color, 0.2, 0), (Equalize, 0.8, 8)],
    [(Equalize, 0.4, 8), (SolarizeAdd, 0.8, 3)],
    [(ShearX, 0.2, 9), (Rotate, 0.6, 8)],
    [(Color, 0.6, 1), (Equalize, 1.0, 2)],
    [(Invert, 0.4, 9), (Rotate, 0.6, 0)],
    [(Equalize, 1.0, 9), (ShearY, 0.6, 3)],
    [(Color, 0.4, 7), (Equalize, 0.6, 0)],
    [(Posterize, 0.4, 6), (AutoContrast, 0.4, 7)],
    [(Solarize, 0.6, 8), (Color, 0.6, 9)],
    [(Solarize, 0.2, 4), (Rotate, 0.8, 9)],
    [(Rotate, 1.0, 7), (TranslateY, 0.8, 9)],
    [(ShearX, 0.0, 0), (Solarize, 0.8, 4)],
    [(ShearY, 0.8, 0), (Color, 0.6, 4)],
    [(Color, 1.0, 0), (Rotate, 0.6, 2)],
    [(Equalize, 0.8, 4), (Equalize, 0.0, 8)],
    [(Equalize, 1.0, 4), (AutoContrast, 0.6, 2)],
    [(ShearY, 0.4, 7), (SolarizeAdd, 0.6, 7)],
    [(Posterize, 0.8, 2), (Solarize, 0.6, 10)],
    [(Solarize, 0.6, 8), (Equalize, 0.6, 1)],
    [(Color, 0.8, 6), (Rotate, 0.4, 5)],
];

const ORIGINAL: [[Step; 2]; 25] = [
    [(Posterize, 0.4, 8), (Rotate, 0.6, 9)],
    [(Solarize, 0.6, 5), (AutoContrast, 0.6, 5)],
    [(Equalize, 0.8, 8), (Equalize, 0.6, 3)],
    [(Posterize, 0.6, 7), (Posterize, 0.6, 6)],
    [(Equalize, 0.4, 7), (Solarize, 0.2, 4)],
    [(Equalize, 0.4, 4), (Rotate, 0.8, 8)],
    [(Solarize, 0.6, 3), (Equalize, 0.6, 7)],
    [(Posterize, 0.8, 5), (Equalize, 1.0, 2)],
    [(Rotate, 0.2, 3), (Solarize, 0.6, 8)],
    [(Equalize, 0.6, 8), (Posterize, 0.4, 6)],
    [(Rotate, 0.8, 8), (Color, 0.4, 0)],
    [(Rotate, 0.4, 9), (Equalize, 0.6, 2)],
    [(Equalize, 0.0, 7), (Equalize, 0.8, 8)],
    [(Invert, 0.6, 4), (Equalize, 1.0, 8)],
    [(Color, 0.6, 4), (Contrast, 1.0, 8)],
    [(Rotate, 0.8, 8), (Color, 1.0, 2)],
    [(Color, 0.8, 8), (Solarize, 0.8, 7)],
    [(Sharpness, 0.4, 7), (Invert, 0.6, 8)],
    [(ShearX, 0.6, 5), (Equalize, 1.0, 9)],
    [(Color, 0.4, 0), (Equalize, 0.6, 3)],
    [(Equalize, 0.4, 7), (Solarize, 0.2, 4)],
    [(Solarize, 0.6, 5), (AutoContrast, 0.6, 5)],
    [(Invert, 0.6, 4), (Equalize, 1.0, 8)],
    [(Color, 0.6, 4), (Contrast, 1.0, 8)],
    [(Equalize, 0.8, 8), (Equalize, 0.6, 3)],
];

impl AutoAugment {
    /// Draws the operations for an image of this size; warps fill pixels outside the image with `fill`.
    pub fn draw(&self, width: usize, height: usize, fill: [u8; 3], stream: &mut Stream) -> Vec<Operation> {
        if self.policy == Policy::Torchvision {
            return as_torchvision(&Space::of_policies(BINS, width, height), stream);
        }
        // The paper keeps 4 to 8 bits, EfficientNet's code 0 to 4.
        let (pairs, least_bits) = match self.policy {
            Policy::V0 => (&V0, 0),
            _ => (&ORIGINAL, 4),
        };
        let pair = pairs[stream.below(pairs.len() as u64) as usize];
        let mut operations = Vec::new();
        for (kind, probability, magnitude) in pair {
            if stream.uniform() >= probability {
                continue;
            }
            let level = f64::from(magnitude) / 10.0;
            let sign = if stream.below(2) == 0 { 1.0 } else { -1.0 };
            let filling = Filling::drawn(fill, stream);
            let warp = |warp| Operation::Warp(warp, filling);
            let factor = 1.8 * level + 0.1;
            operations.push(match kind {
                AutoContrast => Operation::AutoContrast,
                Equalize => Operation::Equalize,
                Invert => Operation::Invert,
                Posterize => Operation::Posterize((4.0 * level) as u32 + least_bits),
                Solarize => Operation::Solarize((256.0 * level) as u32),
                SolarizeAdd => Operation::SolarizeAdd((110.0 * level) as u32),
                Color => Operation::Color(factor),
                Contrast => Operation::Contrast(factor),
                Sharpness => Operation::Sharpness(factor),
                Rotate => warp(Warp::Rotate(sign * 30.0 * level)),
                ShearX => warp(Warp::ShearX(sign * 0.3 * level)),
                ShearY => warp(Warp::ShearY(sign * 0.3 * level)),
                TranslateY => warp(Warp::TranslateY(sign * 0.45 * level * height as f64)),
            });
        }
        operations
    }
}

/// Magnitudes of torchvision's AutoAugment.
const BINS: u32 = 10;

fn as_torchvision(space: &Space, stream: &mut Stream) -> Vec<Operation> {
    let pair = ORIGINAL[stream.below(ORIGINAL.len() as u64) as usize];
    let mut operations = Vec::new();
    for (kind, probability, magnitude) in pair {
        let (applied, negative) = (stream.uniform() < probability, stream.below(2) == 0);
        if applied {
            operations.extend(space.operation(kind.of_torchvision(), u32::from(magnitude), negative));
        }
    }
    operations
}
