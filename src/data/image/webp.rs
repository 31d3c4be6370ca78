//! WebP, lossy and lossless; the first frame of an animation.

use super::rgb::{RgbImage, bounded_by};
use anyhow::Result;
use image_webp::WebPDecoder;
use std::io::Cursor;

pub fn decode(bytes: &[u8], most: u64) -> Result<RgbImage> {
    let mut file = WebPDecoder::new(Cursor::new(bytes))?;
    let (width, height) = file.dimensions();
    let (width, height) = (width as usize, height as usize);
    let channels = if file.has_alpha() { 4 } else { 3 };
    let mut samples = vec![0; bounded_by(width, height, most)? * channels];
    if file.is_animated() {
        file.read_frame(&mut samples)?;
    } else {
        file.read_image(&mut samples)?;
    }
    RgbImage::from_samples(width, height, channels, samples)
}
