//! Windows and OS/2 BMP: 1 to 32 bits per pixel, palettes, colour masks and run-length encoding.

use super::rgb::{RgbImage, bounded_by};
use anyhow::{Context, Result, bail, ensure};

/// Values of the header's `compression` field: `BI_RGB`, `BI_RLE8`, `BI_RLE4` and `BI_BITFIELDS`.
const PLAIN: u32 = 0;
const RLE8: u32 = 1;
const RLE4: u32 = 2;
const MASKS: u32 = 3;

pub fn decode(bytes: &[u8], most: u64) -> Result<RgbImage> {
    let header = Header::read(bytes)?;
    let count = bounded_by(header.width, header.height, most)?;
    let data = bytes.get(header.data..).unwrap_or_default();
    let row_bytes = (header.width * header.bits).div_ceil(8);
    let stride = row_bytes.next_multiple_of(4);
    let mut pixels = Vec::new();
    if header.compression == PLAIN || header.compression == MASKS {
        // The last row needs no padding.
        ensure!(data.len() >= stride * (header.height - 1) + row_bytes, "the file is truncated");
        pixels.reserve_exact(count * 3);
    }
    // Rows in file order, usually bottom-up.
    match (header.compression, header.bits) {
        (PLAIN, 1 | 4 | 8) => {
            let palette = header.palette(bytes);
            let per_byte = 8 / header.bits;
            for row in data.chunks(stride).take(header.height) {
                for x in 0..header.width {
                    let shift = 8 - header.bits * (x % per_byte + 1);
                    let index = (row[x / per_byte] >> shift) & (0xff >> (8 - header.bits));
                    pixels.extend(palette[usize::from(index)]);
                }
            }
        }
        (PLAIN | MASKS, 16 | 24 | 32) => {
            let channels = header.masks(bytes)?.map(Channel::new);
            let step = header.bits / 8;
            for row in data.chunks(stride).take(header.height) {
                for pixel in row[..row_bytes].chunks_exact(step) {
                    let value = pixel.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte));
                    pixels.extend(channels.map(|channel| channel.of(value)));
                }
            }
        }
        (RLE8, 8) | (RLE4, 4) => {
            let palette = header.palette(bytes);
            let indices = expand_runs(data, &header)?;
            pixels = indices.into_iter().flat_map(|index| palette[usize::from(index)]).collect();
        }
        (compression, bits) => {
            bail!("{bits} bits per pixel with compression {compression} is not supported; save it as 24 bits")
        }
    }
    let mut image = RgbImage { width: header.width, height: header.height, pixels };
    if !header.top_down {
        image.flip();
    }
    Ok(image)
}

/// The fields of the headers.
struct Header {
    width: usize,
    height: usize,
    top_down: bool,
    bits: usize,
    compression: u32,
    /// Entries of the palette; 0 means 2^bits.
    colors: usize,
    /// Bytes per entry.
    entry: usize,
    /// Offset of the end of the second header.
    end: usize,
    /// Offset of the pixels.
    data: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self> {
        let (data, size) = (u32_at(bytes, 10)? as usize, u32_at(bytes, 14)?);
        let end = 14 + size as usize;
        if size == 12 {
            return Ok(Self {
                width: u16_at(bytes, 18)?.into(),
                height: u16_at(bytes, 20)?.into(),
                top_down: false,
                bits: u16_at(bytes, 24)?.into(),
                compression: PLAIN,
                colors: 0,
                entry: 3,
                end,
                data,
            }
            .with_data());
        }
        ensure!([40, 52, 56, 64, 108, 124].contains(&size), "a header of {size} bytes is not supported");
        let [width, height] = [u32_at(bytes, 18)?, u32_at(bytes, 22)?].map(|side| side as i32);
        ensure!(width > 0, "it has no pixels: {width}×{height}");
        Ok(Self {
            width: width as usize,
            height: height.unsigned_abs() as usize,
            top_down: height < 0,
            bits: u16_at(bytes, 28)?.into(),
            compression: u32_at(bytes, 30)?,
            colors: u32_at(bytes, 46)? as usize,
            entry: 4,
            end,
            data,
        }
        .with_data())
    }

    /// Pixels without an offset follow the palette.
    fn with_data(mut self) -> Self {
        if self.data == 0 {
            let colors = if self.bits > 8 { 0 } else { self.palette_size() };
            self.data = self.end.saturating_add(colors.saturating_mul(self.entry));
        }
        self
    }

    fn palette_size(&self) -> usize {
        if self.colors == 0 && self.bits <= 8 { 1 << self.bits } else { self.colors }
    }

    /// The colour of each index; black if the file's palette is shorter.
    fn palette(&self, bytes: &[u8]) -> [[u8; 3]; 256] {
        let mut palette = [[0; 3]; 256];
        let entries = bytes.get(self.end..).unwrap_or_default().chunks_exact(self.entry);
        for (color, entry) in palette.iter_mut().zip(entries.take(self.palette_size())) {
            *color = [entry[2], entry[1], entry[0]];
        }
        palette
    }

    /// The bit masks of red, green and blue.
    fn masks(&self, bytes: &[u8]) -> Result<[u32; 3]> {
        if self.compression == MASKS {
            // Within a longer header or after the short one: the offset is the same.
            return Ok([u32_at(bytes, 54)?, u32_at(bytes, 58)?, u32_at(bytes, 62)?]);
        }
        Ok(match self.bits {
            16 => [0x7c00, 0x03e0, 0x001f],
            _ => [0xff_0000, 0xff00, 0xff],
        })
    }
}

/// The bits of one channel in a pixel.
#[derive(Clone, Copy)]
struct Channel {
    mask: u32,
    shift: u32,
    white: u64,
}

impl Channel {
    fn new(mask: u32) -> Self {
        let shift = if mask == 0 { 0 } else { mask.trailing_zeros() };
        Self { mask, shift, white: u64::from(mask >> shift).max(1) }
    }

    fn of(self, pixel: u32) -> u8 {
        (u64::from((pixel & self.mask) >> self.shift) * 255 / self.white) as u8
    }
}

/// Decodes the palette indices of a run-length encoded image, rows in file order, as Pillow does: one line after another,
/// runs of codes clipped at the end of theirs.
fn expand_runs(data: &[u8], header: &Header) -> Result<Vec<u8>> {
    let (width, count) = (header.width, header.width * header.height);
    let is_nibbles = header.compression == RLE4;
    let nibbles = |byte: u8| if is_nibbles { [byte >> 4, byte & 0x0f] } else { [byte; 2] };
    let mut indices = Vec::with_capacity(count);
    let (mut x, mut rest) = (0, data);
    while let [run, code, after @ ..] = rest
        && indices.len() < count
    {
        rest = after;
        match (*run, *code) {
            (0, 0) => {
                indices.resize(indices.len().next_multiple_of(width), 0);
                x = 0;
            }
            (0, 1) => break,
            (0, 2) => {
                let [right, up, after @ ..] = rest else { break };
                let skipped = usize::from(*right) + usize::from(*up) * width;
                indices.resize(count.min(indices.len() + skipped), 0);
                (x, rest) = (indices.len() % width, after);
            }
            (0, length) => {
                let left = usize::from(length).min(count - indices.len());
                let bytes = if is_nibbles { left.div_ceil(2) } else { left };
                let Some((plain, after)) = rest.split_at_checked(bytes) else { break };
                match is_nibbles {
                    true => indices.extend(plain.iter().flat_map(|&byte| nibbles(byte)).take(left)),
                    false => indices.extend(plain),
                }
                x += usize::from(length);
                // Up to an even offset in the file.
                let is_odd = !(header.data + data.len() - after.len()).is_multiple_of(2);
                rest = if is_odd { after.get(1..).unwrap_or_default() } else { after };
            }
            (run, code) => {
                let run = usize::from(run).min(width.saturating_sub(x));
                indices.extend(nibbles(code).into_iter().cycle().take(run));
                x += run;
            }
        }
    }
    ensure!(indices.len() >= count, "the file is truncated");
    indices.truncate(count);
    Ok(indices)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.map(|&field| u16::from_le_bytes(field)).context("the file is truncated")
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.map(|&field| u32::from_le_bytes(field)).context("the file is truncated")
}
