//! GIF: the first frame.

use super::rgb::{MAX_PIXELS, RgbImage, bounded};
use anyhow::{Context, Result, ensure};
use gif::{ColorOutput, DecodeOptions, MemoryLimit};
use std::num::NonZeroU64;

pub fn decode(bytes: &[u8]) -> Result<RgbImage> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Bytes(NonZeroU64::new(MAX_PIXELS).context("no limit")?));
    let mut file = options.read_info(bytes)?;
    let screen = [file.width(), file.height()].map(usize::from);
    let frame = file.next_frame_info()?.context("it has no frame")?;
    let [left, top, wide, high] = [frame.left, frame.top, frame.width, frame.height].map(usize::from);
    let background = frame.transparent.unwrap_or(0);
    let (width, height) = (screen[0].max(left + wide), screen[1].max(top + high));
    bounded(width, height)?;
    let mut indices = vec![0; wide * high];
    ensure!(file.buffer_size() == indices.len(), "the first frame does not have the size that it states");
    file.read_into_buffer(&mut indices)?;

    // Without a palette an index is a grey value.
    let palette = file.palette().unwrap_or_default();
    let color = |index: u8| match palette.chunks_exact(3).nth(usize::from(index)) {
        Some(color) => [color[0], color[1], color[2]],
        None if palette.is_empty() => [index; 3],
        None => [0; 3],
    };
    let colors: Vec<[u8; 3]> = (0..=255).map(color).collect();
    let mut image = RgbImage::filled(width, height, colors[usize::from(background)])?;
    let pixels = indices.into_iter().flat_map(|index| colors[usize::from(index)]).collect();
    image.paste(&RgbImage { width: wide, height: high, pixels }, left, top);
    Ok(image)
}
