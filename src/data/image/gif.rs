//! GIF: the first frame. As in Pillow, what stands before it and is no block is passed over.

use super::rgb::{MAX_PIXELS, RgbImage, bounded_by};
use anyhow::{Context, Result, ensure};
use gif::{ColorOutput, DecodeOptions, MemoryLimit};
use std::num::NonZeroU64;

pub fn decode(bytes: &[u8], most: u64) -> Result<RgbImage> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Bytes(NonZeroU64::new(MAX_PIXELS).context("no limit")?));
    let clean = first_frame(bytes).context("it has no frame")?;
    let mut file = options.read_info(&clean[..])?;
    let screen = [file.width(), file.height()].map(usize::from);
    let frame = file.next_frame_info()?.context("it has no frame")?;
    let [left, top, wide, high] = [frame.left, frame.top, frame.width, frame.height].map(usize::from);
    let background = frame.transparent.unwrap_or(0);
    let (width, height) = (screen[0].max(left + wide), screen[1].max(top + high));
    bounded_by(width, height, most)?;
    let mut indices = vec![0; wide * high];
    ensure!(file.buffer_size() == indices.len(), "the first frame does not have the size that it states");
    file.read_into_buffer(&mut indices)?;

    let palette = file.palette().unwrap_or_default();
    let color = |index: u8| match palette.chunks_exact(3).nth(usize::from(index)) {
        Some(color) => [color[0], color[1], color[2]],
        None => [0; 3],
    };
    let colors: Vec<[u8; 3]> = (0..=255).map(color).collect();
    let mut image = RgbImage::filled(width, height, colors[usize::from(background)])?;
    let pixels = indices.into_iter().flat_map(|index| colors[usize::from(index)]).collect();
    image.paste(&RgbImage { width: wide, height: high, pixels }, left, top);
    Ok(image)
}

/// The header, the transparent colour and the first frame with what follows it.
fn first_frame(bytes: &[u8]) -> Option<Vec<u8>> {
    /// The marks of blocks, and the label of a graphic control extension.
    const EXTENSION: u8 = b'!';
    const FRAME: u8 = b',';
    const END: u8 = b';';
    const GRAPHIC_CONTROL: u8 = 249;
    let flags = *bytes.get(10)?;
    let mut at = 13 + if flags & 0x80 == 0 { 0 } else { 6 << (flags & 7) };
    let mut clean = bytes.get(..at)?.to_vec();
    let mut transparent = None;
    loop {
        let mark = *bytes.get(at)?;
        at += 1;
        match mark {
            FRAME => break,
            END => return None,
            EXTENSION => {
                let label = *bytes.get(at)?;
                at += 1;
                let block = sub_block(bytes, &mut at);
                if let Some([flags, rest @ ..]) = block.filter(|_| label == GRAPHIC_CONTROL)
                    && flags & 1 == 1
                {
                    transparent = Some(*rest.get(2)?);
                }
                while sub_block(bytes, &mut at).is_some() {}
            }
            _ => {}
        }
    }
    if let Some(index) = transparent {
        clean.extend([EXTENSION, GRAPHIC_CONTROL, 4, 1, 0, 0, index, 0]);
    }
    let (descriptor, data) = bytes[at..].split_first_chunk::<9>()?;
    let [.., own] = *descriptor;
    clean.push(FRAME);
    clean.extend(descriptor);
    if (flags | own) & 0x80 == 0 {
        // Without a palette an index is a grey value.
        *clean.last_mut()? |= 0x87;
        clean.extend((0..=255).flat_map(|value| [value; 3]));
    }
    clean.extend(data);
    Some(clean)
}

/// The next block of data, unless that ends a list of blocks.
fn sub_block<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let size = usize::from(bytes.get(*at).copied().unwrap_or_default());
    *at += 1;
    let block = bytes.get(*at..bytes.len().min(*at + size))?;
    *at += size;
    Some(block).filter(|block| !block.is_empty())
}
