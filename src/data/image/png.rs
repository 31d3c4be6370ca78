//! PNG of all colour types and bit depths, interlaced or not.

use super::rgb::{RgbImage, bounded};
use anyhow::{Context, Result};
use png::{BitDepth, ColorType, Decoder, Transformations};
use std::io::Cursor;

pub fn decode(bytes: &[u8]) -> Result<RgbImage> {
    let mut file = Decoder::new(Cursor::new(bytes));
    file.set_ignore_text_chunk(true);
    file.set_ignore_iccp_chunk(true);
    let header = file.read_header_info()?;
    let (width, height) = (header.width as usize, header.height as usize);
    let is_gray16 = header.color_type == ColorType::Grayscale && header.bit_depth == BitDepth::Sixteen;
    bounded(width, height)?;
    // Expands palettes, and 1, 2 and 4 bits to 8; keeps the high byte of 16 bits.
    let expand = Transformations::EXPAND;
    file.set_transformations(if is_gray16 { expand } else { expand | Transformations::STRIP_16 });
    let mut rows = file.read_info()?;
    let mut samples = vec![0; rows.output_buffer_size().context("too large")?];
    let frame = rows.next_frame(&mut samples)?;
    samples.truncate(frame.buffer_size());
    if is_gray16 {
        // Pillow clips 16-bit greyscale to 255 instead of scaling it.
        let clipped = samples.chunks_exact(2).map(|s| u16::from_be_bytes([s[0], s[1]]).min(255) as u8);
        samples = clipped.collect();
    }
    RgbImage::from_samples(width, height, frame.color_type.samples(), samples)
}
