//! Random crops for training.

use crate::Invalid;
use crate::data::Stream;
use crate::data::image::{Encoded, Interpolation, Resize, RgbImage};
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// The longest short side of a scale jitter.
const MAX_SIDE: u32 = 1 << 14;

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectangle {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

/// A crop of random area and aspect ratio, resized (GoogLeNet, 1409.4842; torchvision's `RandomResizedCrop`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomResizedCrop {
    /// Minimum and maximum fraction of the image's area.
    pub scale: [f64; 2],
    /// Minimum and maximum aspect ratio, width over height.
    pub ratio: [f64; 2],
}

impl Default for RandomResizedCrop {
    fn default() -> Self {
        Self { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] }
    }
}

/// Resizes the short side to a random length and takes a random square crop (VGG, 1409.1556). With both
/// lengths 256 it is AlexNet's crop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScaleJitter {
    pub min: u32,
    pub max: u32,
}

impl Default for ScaleJitter {
    fn default() -> Self {
        Self { min: 256, max: 512 }
    }
}

impl RandomResizedCrop {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        for (key, [low, high], most) in [("scale", self.scale, 1.0), ("ratio", self.ratio, f64::MAX)] {
            if !(0.0 < low && low <= high && high <= most) {
                let most = if most == 1.0 { ", and up to 1" } else { "" };
                let message =
                    format!("[{low}, {high}] is not a smaller and a larger number, both above 0{most}");
                return Err(Invalid::value(key, message));
            }
        }
        Ok(())
    }

    /// Draws the crop for an image of this size.
    pub fn part(&self, width: usize, height: usize, stream: &mut Stream) -> Rectangle {
        let (w, h) = (width as f64, height as f64);
        let [min, max] = self.ratio;
        for _ in 0..10 {
            let area = w * h * stream.between(self.scale[0], self.scale[1]);
            let ratio = stream.between(min.ln(), max.ln()).exp();
            let wide = (area * ratio).sqrt().round_ties_even() as usize;
            let high = (area / ratio).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&wide) && (1..=height).contains(&high) {
                let top = stream.below((height - high + 1) as u64) as usize;
                let left = stream.below((width - wide + 1) as u64) as usize;
                return Rectangle { left, top, width: wide, height: high };
            }
        }
        // The largest centre crop with an allowed ratio.
        let (wide, high) = match w / h {
            ratio if ratio < min => (width, (w / min).round_ties_even() as usize),
            ratio if ratio > max => ((h * max).round_ties_even() as usize, height),
            _ => (width, height),
        };
        let (wide, high) = (wide.clamp(1, width), high.clamp(1, height));
        Rectangle { left: (width - wide) / 2, top: (height - high) / 2, width: wide, height: high }
    }

    pub(super) fn apply(
        &self,
        image: &Encoded,
        side: usize,
        interpolation: Interpolation,
        stream: &mut Stream,
    ) -> Result<RgbImage> {
        let (width, height) = image.size();
        let Rectangle { left, top, width, height } = self.part(width, height, stream);
        let to = Resize::to(side, side, interpolation);
        image.resized_part(left..left + width, top..top + height, &to)
    }
}

impl ScaleJitter {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        let Self { min, max } = *self;
        match (1..=max).contains(&min) && max <= MAX_SIDE {
            true => Ok(()),
            false => Err(Invalid::value("max", format!("{max} is not between `min`, {min}, and {MAX_SIDE}"))),
        }
    }

    pub(super) fn apply(
        &self,
        image: &RgbImage,
        side: usize,
        interpolation: Interpolation,
        stream: &mut Stream,
    ) -> Result<RgbImage> {
        let short = self.min as usize + stream.below(u64::from(self.max - self.min) + 1) as usize;
        let (w, h) = (image.width, image.height);
        let (width, height) = if w <= h { (short, short * h / w) } else { (short * w / h, short) };
        let left = stream.below((width - side + 1) as u64) as usize;
        let top = stream.below((height - side + 1) as u64) as usize;
        let window = Some((left..left + side, top..top + side));
        image.resize(&Resize { window, ..Resize::to(width, height, interpolation) })
    }
}
