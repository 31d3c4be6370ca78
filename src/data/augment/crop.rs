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

/// Resizes the short side to a random length and takes a random square from anywhere in the image (VGG, 1409.1556,
/// section 3.1).
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

/// Resizes the short side, keeps the central square, and takes a random square of the input's size from it (AlexNet,
/// sections 2 and 4.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SquareCrop {
    /// Side of the central square.
    pub resize: u32,
    pub from: Places,
}

impl Default for SquareCrop {
    fn default() -> Self {
        Self { resize: 256, from: Places::Anywhere }
    }
}

/// Where in the central square a crop may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Places {
    Anywhere,
    /// In a corner or the centre (ZFNet, 1311.2901, section 3).
    Five,
}

impl SquareCrop {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        match (1..=MAX_SIDE).contains(&self.resize) {
            true => Ok(()),
            false => {
                Err(Invalid::value("resize", format!("{} is not between 1 and {MAX_SIDE}", self.resize)))
            }
        }
    }

    /// Draws the left and top edge of the crop within the central square.
    fn place(&self, side: usize, stream: &mut Stream) -> [usize; 2] {
        let rest = self.resize as usize - side;
        match self.from {
            Places::Anywhere => [(); 2].map(|()| stream.below(rest as u64 + 1) as usize),
            Places::Five => {
                let corner = stream.below(5) as usize;
                if corner == 4 { [rest / 2; 2] } else { [corner % 2 * rest, corner / 2 * rest] }
            }
        }
    }

    pub(super) fn apply(
        &self,
        image: &RgbImage,
        side: usize,
        interpolation: Interpolation,
        stream: &mut Stream,
    ) -> Result<RgbImage> {
        let short = self.resize as usize;
        let (width, height) = resized(image, short);
        let [left, top] = self.place(side, stream);
        let (left, top) = ((width - short) / 2 + left, (height - short) / 2 + top);
        let window = Some((left..left + side, top..top + side));
        image.resize(&Resize { window, ..Resize::to(width, height, interpolation) })
    }
}

/// Width and height of an image once its short side is this long.
fn resized(&RgbImage { width, height, .. }: &RgbImage, short: usize) -> (usize, usize) {
    if width <= height { (short, short * height / width) } else { (short * width / height, short) }
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
        (high, wide): (usize, usize),
        interpolation: Interpolation,
        stream: &mut Stream,
    ) -> Result<RgbImage> {
        let (width, height) = image.size();
        let Rectangle { left, top, width, height } = self.part(width, height, stream);
        let to = Resize::to(wide, high, interpolation);
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
        let (width, height) = resized(image, short);
        let left = stream.below((width - side + 1) as u64) as usize;
        let top = stream.below((height - side + 1) as u64) as usize;
        let window = Some((left..left + side, top..top + side));
        image.resize(&Resize { window, ..Resize::to(width, height, interpolation) })
    }
}
