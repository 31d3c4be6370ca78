//! AugMix (1912.02781) as timm's `AugMixAugment`.

use super::{Operation, RandAugment};
use crate::Invalid;
use crate::data::Stream;
use crate::data::image::RgbImage;
use serde::{Deserialize, Serialize};

/// A mixture of several chains of operations, blended with the image itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugMix {
    /// The largest magnitude, of 10; each operation draws its own.
    pub magnitude: f64,
    /// Chains.
    pub width: u32,
    /// Operations of a chain; 1 to 3 are drawn when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// Of the Dirichlet and beta distributions of the weights.
    pub alpha: f64,
}

impl Default for AugMix {
    fn default() -> Self {
        Self { magnitude: 3.0, width: 3, depth: None, alpha: 1.0 }
    }
}

/// Of RandAugment's operations: all but inverting, and adding while solarising.
const OPERATIONS: [u64; 13] = [0, 1, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14];

impl AugMix {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        for (key, x, [least, most]) in [
            ("magnitude", self.magnitude, [0.0, 10.0]),
            ("width", f64::from(self.width), [1.0, 16.0]),
            ("depth", f64::from(self.depth.unwrap_or(1)), [1.0, 16.0]),
            ("alpha", self.alpha, [1e-3, 1000.0]),
        ] {
            if !(least..=most).contains(&x) {
                return Err(Invalid::value(key, format!("{x} is not between {least} and {most}")));
            }
        }
        Ok(())
    }

    /// Draws the chains for an image of this size, the weight of each, and that of their mixture.
    pub fn draw(
        &self,
        width: usize,
        height: usize,
        fill: [u8; 3],
        stream: &mut Stream,
    ) -> (Vec<(f32, Vec<Operation>)>, f32) {
        let policy = RandAugment { increasing: true, ..RandAugment::default() };
        let weights = stream.dirichlet(self.width as usize, self.alpha);
        let share = stream.beta(self.alpha) as f32;
        let chain = |weight: f64| {
            let depth = self.depth.unwrap_or_else(|| 1 + stream.below(3) as u32);
            let operations = (0..depth).map(|_| {
                let which = OPERATIONS[stream.below(OPERATIONS.len() as u64) as usize];
                let level = self.magnitude * stream.uniform() / 10.0;
                policy.operation(which, level, (width, height), fill, stream)
            });
            (weight as f32, operations.collect())
        };
        (weights.into_iter().map(chain).collect(), share)
    }

    /// Mixes an image with what its chains make of it.
    pub(super) fn apply(&self, image: &mut RgbImage, fill: [u8; 3], stream: &mut Stream) {
        let (chains, share) = self.draw(image.width, image.height, fill, stream);
        mix(image, &chains, share);
    }
}

/// Blends an image with the weighted sum of what chains of operations make of it (float32, truncated, as NumPy and Pillow).
pub fn mix(image: &mut RgbImage, chains: &[(f32, Vec<Operation>)], share: f32) {
    let mut mixed = vec![0f32; image.pixels.len()];
    for (weight, operations) in chains {
        let mut chained = image.clone();
        operations.iter().for_each(|operation| operation.apply(&mut chained));
        mixed.iter_mut().zip(&chained.pixels).for_each(|(sum, &value)| *sum += weight * f32::from(value));
    }
    for (value, mixed) in image.pixels.iter_mut().zip(mixed) {
        let (own, mixed) = (f32::from(*value), f32::from(mixed.clamp(0.0, 255.0) as u8));
        *value = (own + share * (mixed - own)) as u8;
    }
}
