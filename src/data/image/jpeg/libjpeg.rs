//! JPEG decoding by libjpeg, with the options that Pillow uses.

use crate::data::image::rgb::{RgbImage, bounded, cmyk_to_rgb};
use anyhow::{Result, bail};
use mozjpeg::{ColorSpace, Decompress};
use std::io::{self, BufRead, Read};

/// The whole image.
///
/// # Errors
/// Same as [`crate::data::image::decode`].
pub fn decode(bytes: &[u8]) -> Result<RgbImage> {
    let file = Decompress::builder().from_reader(Whole(bytes))?;
    let (width, height) = file.size();
    bounded(width, height)?;
    let pixels = match file.color_space() {
        ColorSpace::JCS_GRAYSCALE | ColorSpace::JCS_YCbCr | ColorSpace::JCS_RGB => {
            let mut rows = file.rgb()?;
            let pixels = rows.read_scanlines::<u8>()?;
            rows.finish()?;
            pixels
        }
        ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK => {
            let mut rows = file.to_colorspace(ColorSpace::JCS_CMYK)?;
            let inks = rows.read_scanlines::<[u8; 4]>()?;
            rows.finish()?;
            inks.into_iter().flat_map(cmyk_to_rgb).collect()
        }
        other => bail!("colour space {other:?} is not supported; save it as RGB"),
    };
    RgbImage::from_samples(width, height, 3, pixels)
}

/// A file in memory; reading past its end is an error, whereas libjpeg would fill the image with grey.
struct Whole<'a>(&'a [u8]);

impl Read for Whole<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl BufRead for Whole<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.0 {
            [] => Err(io::Error::new(io::ErrorKind::InvalidData, "the file is truncated")),
            rest => Ok(rest),
        }
    }

    fn consume(&mut self, count: usize) {
        self.0 = &self.0[count..];
    }
}
