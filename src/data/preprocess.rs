//! From an image to the input of a network, like the evaluation transforms of torchvision and timm.

use super::image::{Interpolation, Resize, RgbImage};
use super::{Statistics, normalise};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// Resize, centre crop, scale to [0, 1], subtract `mean`, divide by `std`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Channels, height, width.
    pub input: [i64; 3],
    /// The side in pixels to which the image is resized before the crop; `crop_mode` decides which side.
    pub resize: i64,
    pub interpolation: Interpolation,
    pub crop_mode: CropMode,
    /// The fraction of the resized side that the crop keeps.
    pub crop_pct: f64,
    /// Per channel, for pixels in [0, 1].
    pub mean: [f64; 3],
    /// As `mean`.
    pub std: [f64; 3],
}

/// How an image that is not square is resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CropMode {
    /// The short side is resized; the crop keeps the centre.
    Center,
    /// The image is resized to the input's ratio of width and height, mostly a square.
    Squash,
    /// The long side is resized; the rest is filled with the mean colour.
    Border,
}

impl Preprocess {
    /// The default of torchvision's transforms, for which most ImageNet networks were trained: 7/8 of the
    /// short side, bilinear, ImageNet's mean and std.
    pub fn imagenet(side: i64) -> Self {
        Self {
            input: [3, side, side],
            resize: side * 8 / 7,
            interpolation: Interpolation::Bilinear,
            crop_mode: CropMode::Center,
            crop_pct: 0.875,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }

    /// The image at the input's size, with 8 bits per channel.
    ///
    /// # Errors
    /// An input without pixels or with more than [`super::image::MAX_PIXELS`].
    pub fn crop(&self, image: &RgbImage) -> Result<RgbImage> {
        let [_, height, width] = self.input.map(|side| usize::try_from(side).unwrap_or(0));
        let (resized_width, resized_height) = self.resized(image)?;
        let columns = Centered::new(resized_width, width);
        let rows = Centered::new(resized_height, height);
        let to = Resize {
            window: Some((columns.window.clone(), rows.window.clone())),
            ..Resize::to(resized_width, resized_height, self.interpolation)
        };
        let middle = image.resize(&to)?;
        if (middle.width, middle.height) == (width, height) {
            return Ok(middle);
        }
        let mut canvas = RgbImage::filled(width, height, self.fill())?;
        canvas.paste(&middle, columns.margin, rows.margin);
        Ok(canvas)
    }

    /// The whole image as [`Self::crop`] resizes it, not cropped.
    ///
    /// # Errors
    /// A result with more than [`super::image::MAX_PIXELS`].
    pub fn resize(&self, image: &RgbImage) -> Result<RgbImage> {
        let (width, height) = self.resized(image)?;
        image.resize(&Resize::to(width, height, self.interpolation))
    }

    /// The input (N, 3, H, W) in float32 for images of one size.
    ///
    /// # Errors
    /// No images, or images of different sizes.
    pub fn input<'a>(
        &self,
        images: impl IntoIterator<Item = &'a RgbImage>,
        device: Device,
    ) -> Result<Tensor> {
        normalise(&stacked(images)?, &self.statistics(), device)
    }

    /// The same share of the image at another size.
    pub fn at(self, side: i64) -> Self {
        let resize = (side as f64 / self.crop_pct).floor() as i64;
        Self { input: [3, side, side], resize, ..self }
    }

    /// Mean and std as [`normalise`] takes them.
    pub fn statistics(&self) -> Statistics {
        let floats = |values: [f64; 3]| values.map(|value| value as f32).to_vec();
        Statistics { mean: floats(self.mean), std: floats(self.std) }
    }

    /// Width and height after resizing.
    fn resized(&self, &RgbImage { width, height, .. }: &RgbImage) -> Result<(usize, usize)> {
        let side = usize::try_from(self.resize).context("`resize` is negative")?;
        let (w, h, to) = (width as f64, height as f64, self.resize as f64);
        Ok(match self.crop_mode {
            CropMode::Center if width <= height => (side, (to * h / w) as usize),
            CropMode::Center => ((to * w / h) as usize, side),
            // The sides of the input, in proportion.
            CropMode::Squash => {
                let [_, height, width] = self.input.map(|side| side.max(1) as f64);
                ((to * width / height) as usize, side)
            }
            CropMode::Border => {
                let ratio = (h / to).max(w / to);
                let scaled = |side: f64| ((side / ratio).round_ties_even() as usize).max(1);
                (scaled(w), scaled(h))
            }
        })
    }

    /// The colour of the border around the image.
    fn fill(&self) -> [u8; 3] {
        match self.crop_mode {
            CropMode::Center | CropMode::Squash => [0; 3],
            CropMode::Border => self.mean.map(|value| (255.0 * value).round_ties_even() as u8),
        }
    }
}

/// Images of one size as one uint8 tensor (N, 3, H, W).
///
/// # Errors
/// No images, or images of several sizes.
pub(crate) fn stacked<'a>(images: impl IntoIterator<Item = &'a RgbImage>) -> Result<Tensor> {
    let images: Vec<&RgbImage> = images.into_iter().collect();
    let first = images.first().context("no images")?;
    let mut pixels = Vec::with_capacity(images.len() * first.pixels.len());
    for image in &images {
        let size = |image: &RgbImage| (image.width, image.height);
        ensure!(
            size(image) == size(first),
            "images of {:?} and {:?} pixels in one batch",
            size(first),
            size(image)
        );
        pixels.extend_from_slice(&image.pixels);
    }
    let size = [images.len(), first.height, first.width, 3].map(|n| n as i64);
    Ok(Tensor::f_from_data_size(&pixels, &size, Kind::Uint8)?.f_permute([0, 3, 1, 2])?)
}

/// The centre crop along one side.
struct Centered {
    window: Range<usize>,
    /// Border pixels before the image if it is smaller than the crop.
    margin: usize,
}

impl Centered {
    fn new(side: usize, crop: usize) -> Self {
        match side.checked_sub(crop) {
            // Half to even, as Python rounds.
            Some(rest) => {
                let start = (rest as f64 / 2.0).round_ties_even() as usize;
                Self { window: start..start + crop, margin: 0 }
            }
            None => Self { window: 0..side, margin: (crop - side) / 2 },
        }
    }
}
