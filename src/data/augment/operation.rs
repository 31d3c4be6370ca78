//! Operations on the pixels of one image, with all random numbers already drawn; bit-exact with Pillow.

use super::affine::{Affine, Filling};
use super::{box_blur, tone};
use crate::data::image::RgbImage;

/// An operation with its parameters. Factors are those of Pillow's `ImageEnhance`: 1 changes nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    Flip,
    VerticalFlip,
    AutoContrast,
    Equalize,
    Invert,
    /// Keeps this many bits per channel.
    Posterize(u32),
    /// Inverts values not below this threshold.
    Solarize(u32),
    /// Adds to values below 128.
    SolarizeAdd(u32),
    Brightness(f64),
    Contrast(f64),
    /// Saturation.
    Color(f64),
    Sharpness(f64),
    /// A shift as a fraction of the colour circle, in [-0.5, 0.5] (torchvision's `adjust_hue`).
    Hue(f64),
    Warp(Warp, Filling),
    /// To three equal channels.
    Gray,
    /// With this standard deviation in pixels (Pillow's `GaussianBlur`).
    Blur(f64),
}

/// A geometric transform.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Warp {
    /// Counter-clockwise in degrees, about the centre.
    Rotate(f64),
    ShearX(f64),
    ShearY(f64),
    /// In pixels.
    TranslateX(f64),
    TranslateY(f64),
}

impl Operation {
    pub fn apply(self, image: &mut RgbImage) {
        match self {
            Self::Flip => flip(image),
            Self::VerticalFlip => {
                let rows = image.pixels.chunks_exact(3 * image.width).rev();
                image.pixels = rows.flatten().copied().collect();
            }
            Self::AutoContrast => tone::auto_contrast(image),
            Self::Equalize => tone::equalize(image),
            Self::Invert => tone::map(image, |value| 255 - value),
            Self::Posterize(bits) => tone::map(image, |value| value & !(0xff_u32 >> bits.min(8)) as u8),
            Self::Solarize(from) => {
                tone::map(image, |value| if u32::from(value) < from { value } else { 255 - value });
            }
            Self::SolarizeAdd(add) => tone::map(image, |value| match value {
                0..128 => (u32::from(value) + add).min(255) as u8,
                _ => value,
            }),
            Self::Brightness(factor) => tone::brightness(image, factor),
            Self::Contrast(factor) => tone::contrast(image, factor),
            Self::Color(factor) => tone::color(image, factor),
            Self::Sharpness(factor) => tone::sharpness(image, factor),
            Self::Hue(shift) => tone::hue(image, shift),
            Self::Warp(warp, filling) => warp.apply(image, filling),
            Self::Gray => tone::gray(image),
            Self::Blur(radius) => box_blur::gaussian(image, radius),
        }
    }
}

impl Warp {
    fn apply(self, image: &mut RgbImage, filling: Filling) {
        let matrix = match self {
            // A rotation by 0 leaves the image unchanged.
            Self::Rotate(degrees) if image.width == image.height && degrees.rem_euclid(180.0) == 90.0 => {
                return quarter_turn(image, degrees.rem_euclid(360.0) == 90.0);
            }
            Self::Rotate(degrees) if degrees.rem_euclid(360.0) == 0.0 => return,
            Self::Rotate(degrees) => Affine::rotation(degrees, image.width, image.height),
            Self::ShearX(factor) => Affine([1.0, factor, 0.0, 0.0, 1.0, 0.0]),
            Self::ShearY(factor) => Affine([1.0, 0.0, 0.0, factor, 1.0, 0.0]),
            Self::TranslateX(pixels) => Affine([1.0, 0.0, pixels, 0.0, 1.0, 0.0]),
            Self::TranslateY(pixels) => Affine([1.0, 0.0, 0.0, 0.0, 1.0, pixels]),
        };
        matrix.apply(image, filling);
    }
}

/// Turns a square image by 90 degrees, as Pillow does without interpolation.
fn quarter_turn(image: &mut RgbImage, counter_clockwise: bool) {
    let (old, side) = (image.clone(), image.width);
    for (i, pixel) in image.pixels.chunks_exact_mut(3).enumerate() {
        let (x, y) = (i % side, i / side);
        let (from_x, from_y) = if counter_clockwise { (side - 1 - y, x) } else { (y, side - 1 - x) };
        pixel.copy_from_slice(&old.pixels[3 * (from_y * side + from_x)..][..3]);
    }
}

/// Flips an image horizontally.
fn flip(image: &mut RgbImage) {
    for row in image.pixels.chunks_exact_mut(3 * image.width) {
        row.reverse();
        // This reversed the channels of each pixel as well.
        row.chunks_exact_mut(3).for_each(|pixel| pixel.swap(0, 2));
    }
}
