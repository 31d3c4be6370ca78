//! TIFF: the first page, in its orientation, as Pillow turns it.

use super::rgb::{RgbImage, bounded_by, cmyk_to_rgb};
use anyhow::{Context, Result, bail, ensure};
use std::borrow::Cow;
use std::io::Cursor;
use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::{ByteOrder, Tag};

/// Values of tags.
const WHITE_IS_ZERO: u16 = 0;
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u16 = 3;
const ASSOCIATED_ALPHA: u16 = 1;
const PLANAR: u16 = 2;
/// A picture's colours, alpha and two more.
const MAX_CHANNELS: usize = 6;

pub fn decode(bytes: &[u8], most: u64) -> Result<RgbImage> {
    let (mut bytes, mut palette) = (Cow::Borrowed(bytes), None);
    let mut file = open(&bytes)?;
    let photometric = tag(&mut file, Tag::PhotometricInterpretation, BLACK_IS_ZERO)?;
    if photometric == PALETTE {
        palette = Some(file.get_tag_u16_vec(Tag::ColorMap)?);
        // The decoder knows no palettes: it reads the indices as grey.
        let at =
            photometric_at(&bytes, file.ifd_pointer().context("no directory")?.0).context("no directory")?;
        let gray = match file.byte_order() {
            ByteOrder::LittleEndian => BLACK_IS_ZERO.to_le_bytes(),
            ByteOrder::BigEndian => BLACK_IS_ZERO.to_be_bytes(),
        };
        bytes.to_mut()[at..at + 2].copy_from_slice(&gray);
        file = open(&bytes)?;
    }
    let (width, height) = file.dimensions()?;
    let (width, height) = (width as usize, height as usize);
    let count = bounded_by(width, height, most)?;
    ensure!(tag(&mut file, Tag::FillOrder, 1)? == 1, "bits in reverse order are not supported; save it anew");
    let channels = usize::from(tag(&mut file, Tag::SamplesPerPixel, 1)?);
    ensure!((1..=MAX_CHANNELS).contains(&channels), "{channels} channels are not supported");
    let orientation = tag(&mut file, Tag::Orientation, 1)?;
    let planar = tag(&mut file, Tag::PlanarConfiguration, 1)? == PLANAR && channels > 1;
    let extra = file.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples)?.unwrap_or_default();
    let premultiplied = extra.first() == Some(&ASSOCIATED_ALPHA);
    let color = file.colortype()?;
    let bits = color.bit_depth();

    let mut limits = Limits::default();
    limits.decoding_buffer_size = count * channels * 4;
    let mut file = file.with_limits(limits);
    let mut result = DecodingResult::U8(Vec::new());
    let layout = file.read_image_to_buffer(&mut result)?;
    ensure!(result.as_buffer(0).as_bytes().len() >= layout.complete_len, "channels are missing");
    // As Pillow's modes: 16 and 32 bits of grey are clipped, those of colours lose their low bytes.
    let is_gray = channels == 1;
    let clipped = |value: i64| value.clamp(0, 255) as u8;
    let mut samples: Vec<u8> = match result {
        DecodingResult::U8(packed) if bits < 8 => unpacked(&packed, width, bits, palette.is_none())?,
        DecodingResult::U8(samples) => samples,
        DecodingResult::I8(samples) => samples.into_iter().map(i8::cast_unsigned).collect(),
        // Pillow leaves 16 bits of grey that it should invert.
        DecodingResult::U16(samples) if is_gray && photometric == WHITE_IS_ZERO => {
            samples.into_iter().map(|sample| clipped((!sample).into())).collect()
        }
        DecodingResult::U16(samples) if is_gray => {
            samples.into_iter().map(|sample| clipped(sample.into())).collect()
        }
        DecodingResult::U16(samples) => samples.into_iter().map(|sample| (sample >> 8) as u8).collect(),
        DecodingResult::I16(samples) if is_gray => {
            samples.into_iter().map(|sample| clipped(sample.into())).collect()
        }
        DecodingResult::U32(samples) if is_gray => {
            samples.into_iter().map(|sample| clipped(sample.cast_signed().into())).collect()
        }
        DecodingResult::I32(samples) if is_gray => {
            samples.into_iter().map(|sample| clipped(sample.into())).collect()
        }
        DecodingResult::F32(samples) if is_gray && photometric == BLACK_IS_ZERO => {
            samples.into_iter().map(|sample| sample as u8).collect()
        }
        _ => bail!("samples of {bits} bits in {channels} channels are not supported; save it with 8 bits"),
    };
    if planar {
        samples = (0..count).flat_map(|i| samples.iter().skip(i).step_by(count).copied()).collect();
    }
    ensure!(samples.len() == count * channels, "{} samples for {width}×{height} pixels", samples.len());
    let pixels = samples.chunks_exact(channels);
    let pixels: Vec<u8> = match (color, palette) {
        (_, Some(palette)) => {
            let size = palette.len() / 3;
            let entry = |index: u8, color: usize| {
                let value =
                    palette.get(color * size + usize::from(index)).filter(|_| usize::from(index) < size);
                (value.copied().unwrap_or(0) >> 8) as u8
            };
            pixels.flat_map(|pixel| [0, 1, 2].map(|color| entry(pixel[0], color))).collect()
        }
        (ColorType::Gray(_), _) => pixels.flat_map(|pixel| [pixel[0]; 3]).collect(),
        (ColorType::GrayA(_) | ColorType::Multiband { .. }, _)
            if photometric == BLACK_IS_ZERO && channels == 2 && !premultiplied =>
        {
            pixels.flat_map(|pixel| [pixel[0]; 3]).collect()
        }
        (ColorType::RGB(_) | ColorType::RGBA(_), _) if premultiplied && channels > 3 => {
            pixels.flat_map(|pixel| [0, 1, 2].map(|color| unmultiplied(pixel[color], pixel[3]))).collect()
        }
        (ColorType::RGB(_) | ColorType::RGBA(_), _) => {
            pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
        }
        (ColorType::CMYK(_), _) => {
            pixels.flat_map(|pixel| cmyk_to_rgb([0, 1, 2, 3].map(|ink| 255 - pixel[ink]))).collect()
        }
        (color, _) => bail!("{color:?} is not supported; save it as RGB"),
    };
    Ok(RgbImage { width, height, pixels }.oriented(orientation))
}

fn tag(file: &mut Decoder<Cursor<&[u8]>>, tag: Tag, default: u16) -> Result<u16> {
    Ok(file.find_tag_unsigned(tag)?.unwrap_or(default))
}

fn open(bytes: &[u8]) -> Result<Decoder<Cursor<&[u8]>>> {
    Ok(Decoder::new(Cursor::new(bytes))?)
}

/// Where the directory at this offset has the value of the photometric interpretation.
fn photometric_at(bytes: &[u8], directory: u64) -> Option<usize> {
    let is_little = bytes.starts_with(b"II");
    let number = |at: usize, size: usize| -> Option<usize> {
        let field = bytes.get(at..at.checked_add(size)?)?.iter();
        let join = |value: usize, byte: &u8| value << 8 | usize::from(*byte);
        Some(if is_little { field.rev().fold(0, join) } else { field.fold(0, join) })
    };
    let is_big = number(2, 2)? == 43;
    let (head, entry, value) = if is_big { (8, 20, 12) } else { (2, 12, 8) };
    let directory = usize::try_from(directory).ok()?;
    let count = number(directory, head)?.min(bytes.len() / entry);
    let mut entries = (0..count).map(|i| directory + head + i * entry);
    let at = entries.find(|&at| number(at, 2) == Some(Tag::PhotometricInterpretation.to_u16().into()))?;
    bytes.get(at + value..at + value + 2).map(|_| at + value)
}

/// Values of 1, 2 or 4 bits in rows of whole bytes, as indices or scaled to grey of 8 bits.
fn unpacked(packed: &[u8], width: usize, bits: u8, is_gray: bool) -> Result<Vec<u8>> {
    ensure!(matches!(bits, 1 | 2 | 4), "samples of {bits} bits are not supported; save it with 8 bits");
    let (bits, per_byte) = (usize::from(bits), 8 / usize::from(bits));
    let largest = (1u8 << bits) - 1;
    let scale = if is_gray { 255 / largest } else { 1 };
    let rows = packed.chunks_exact(width.div_ceil(per_byte));
    let value = |row: &[u8], x: usize| row[x / per_byte] >> (8 - bits * (x % per_byte + 1)) & largest;
    Ok(rows.flat_map(|row| (0..width).map(move |x| value(row, x) * scale)).collect())
}

/// A colour that was multiplied by alpha, as Pillow restores it.
fn unmultiplied(color: u8, alpha: u8) -> u8 {
    match alpha {
        0 => 0,
        _ => (u32::from(color) * 255 / u32::from(alpha)).min(255) as u8,
    }
}
