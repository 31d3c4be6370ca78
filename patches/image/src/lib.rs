//! What tensorboard-rs uses of image 0.23: an RGB picture, written as PNG.
//!
//! It asks for all of image's formats, of 2020: 15 crates, some of which nobody keeps up any more.

use png::{BitDepth, ColorType, Encoder, EncodingError};
use std::io::Write;
use std::ops::{Deref, DerefMut};

/// Pixels of 8 bits a channel, row by row.
pub struct RgbImage {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl RgbImage {
    /// A black picture.
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height, pixels: vec![0; 3 * width as usize * height as usize] }
    }
}

impl Deref for RgbImage {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.pixels
    }
}

impl DerefMut for RgbImage {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }
}

pub enum DynamicImage {
    ImageRgb8(RgbImage),
}

pub enum ImageOutputFormat {
    Png,
}

impl DynamicImage {
    /// Writes the picture in this format.
    ///
    /// # Errors
    /// A picture without pixels, or a writer that fails.
    pub fn write_to(&self, to: &mut impl Write, format: ImageOutputFormat) -> Result<(), EncodingError> {
        let (Self::ImageRgb8(image), ImageOutputFormat::Png) = (self, format);
        let mut encoder = Encoder::new(to, image.width, image.height);
        encoder.set_color(ColorType::Rgb);
        encoder.set_depth(BitDepth::Eight);
        encoder.write_header()?.write_image_data(image)
    }
}
