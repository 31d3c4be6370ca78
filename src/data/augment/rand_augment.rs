//! RandAugment (1909.13719) with timm's operations, magnitudes and defaults, or with torchvision's.

use super::torchvision::{Space, draw};
use super::{Filling, Operation, Warp};
use crate::Invalid;
use crate::data::Stream;
use crate::models::Library;
use serde::{Deserialize, Serialize};

/// `rand_augment: {magnitude: 9, magnitude_std: 0.5, increasing: true}` is timm's `rand-m9-mstd0.5-inc1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandAugment {
    /// At most `magnitude_max`.
    pub magnitude: f64,
    /// Operations drawn per image.
    pub layers: u32,
    /// Probability that a drawn operation is applied.
    pub probability: f64,
    /// Standard deviation of the magnitude.
    pub magnitude_std: f64,
    pub magnitude_max: f64,
    /// Whether a larger magnitude means a stronger change for every operation.
    pub increasing: bool,
    /// Whose operations: `torchvision` has 14 at a `magnitude` below 31, all of which are applied.
    #[serde(skip_serializing_if = "is_timm")]
    pub style: Library,
}

fn is_timm(style: &Library) -> bool {
    *style == Library::Timm
}

/// Magnitudes of torchvision's RandAugment.
const BINS: u32 = 31;

impl Default for RandAugment {
    fn default() -> Self {
        Self {
            magnitude: 10.0,
            layers: 2,
            probability: 0.5,
            magnitude_std: 0.0,
            magnitude_max: 10.0,
            increasing: false,
            style: Library::Timm,
        }
    }
}

/// Number of operations to draw from.
const OPERATIONS: u64 = 15;

impl RandAugment {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        for (key, x, most) in [
            ("magnitude", self.magnitude, 30.0),
            ("magnitude_max", self.magnitude_max, 30.0),
            ("magnitude_std", self.magnitude_std, 100.0),
            ("probability", self.probability, 1.0),
            ("layers", f64::from(self.layers), 15.0),
        ] {
            if !(0.0..=most).contains(&x) {
                return Err(Invalid::value(key, format!("{x} is not between 0 and {most}")));
            }
        }
        if self.style == Library::Torchvision {
            let plain =
                Self { magnitude: self.magnitude, layers: self.layers, style: self.style, ..Self::default() };
            if *self != plain || self.magnitude.fract() != 0.0 {
                let message = "torchvision has whole magnitudes and no probability, deviation or direction; remove them";
                return Err(Invalid::value("style", message));
            }
        }
        Ok(())
    }

    /// Draws the operations for an image of this size; warps fill pixels outside the image with `fill`.
    pub fn draw(&self, width: usize, height: usize, fill: [u8; 3], stream: &mut Stream) -> Vec<Operation> {
        if self.style == Library::Torchvision {
            let space = Space::of_policies(BINS, width, height);
            let operations = (0..self.layers).filter_map(|_| draw(&space, self.magnitude as u32, stream));
            return operations.collect();
        }
        let mut operations = Vec::new();
        for _ in 0..self.layers {
            let which = stream.below(OPERATIONS);
            if stream.uniform() >= self.probability {
                continue;
            }
            let magnitude = self.magnitude + self.magnitude_std * stream.normal();
            let level = magnitude.clamp(0.0, self.magnitude_max) / 10.0;
            operations.push(self.operation(which, level, (width, height), fill, stream));
        }
        operations
    }

    /// An operation at this level, where 1 is a magnitude of 10, with random sign and sampling.
    pub(super) fn operation(
        &self,
        which: u64,
        level: f64,
        (width, height): (usize, usize),
        fill: [u8; 3],
        stream: &mut Stream,
    ) -> Operation {
        let sign = if stream.below(2) == 0 { 1.0 } else { -1.0 };
        let filling = Filling::drawn(fill, stream);
        let warp = |warp| Operation::Warp(warp, filling);
        match which {
            0 => Operation::AutoContrast,
            1 => Operation::Equalize,
            2 => Operation::Invert,
            3 => warp(Warp::Rotate(sign * 30.0 * level)),
            4 => Operation::Posterize(self.posterize(level)),
            5 => Operation::Solarize(self.solarize(level)),
            6 => Operation::SolarizeAdd(((level * 110.0) as u32).min(128)),
            7 => Operation::Color(self.enhance(level, sign)),
            8 => Operation::Contrast(self.enhance(level, sign)),
            9 => Operation::Brightness(self.enhance(level, sign)),
            10 => Operation::Sharpness(self.enhance(level, sign)),
            11 => warp(Warp::ShearX(sign * 0.3 * level)),
            12 => warp(Warp::ShearY(sign * 0.3 * level)),
            13 => warp(Warp::TranslateX(sign * 0.45 * level * width as f64)),
            _ => warp(Warp::TranslateY(sign * 0.45 * level * height as f64)),
        }
    }

    /// Bits to keep.
    fn posterize(&self, level: f64) -> u32 {
        let bits = (level * 4.0) as u32;
        if self.increasing { 4_u32.saturating_sub(bits) } else { bits }
    }

    /// The threshold from which on values are inverted.
    fn solarize(&self, level: f64) -> u32 {
        let value = ((level * 256.0) as u32).min(256);
        if self.increasing { 256 - value } else { value }
    }

    /// The factor of an operation of `ImageEnhance`.
    fn enhance(&self, level: f64, sign: f64) -> f64 {
        if self.increasing { (1.0 + sign * 0.9 * level).max(0.1) } else { 1.8 * level + 0.1 }
    }
}
