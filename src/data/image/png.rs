//! PNG of all colour types and bit depths, interlaced or not.
//!
//! Pillow's rules for damaged files: checksums of chunks count before the pixels, not of the pixels or behind them; unknown
//! chunks are passed over, critical ones too; and neither the end chunk nor the checksum of all pixels need be there.

use super::rgb::{RgbImage, bounded_by};
use anyhow::{Context, Result, bail, ensure};
use flate2::Crc;
use png::{BitDepth, ColorType, Decoder, DecodingError, Transformations};
use std::io::{Cursor, ErrorKind};

/// Bytes of the checksum behind the compressed pixels.
const CHECKSUM: usize = 4;

pub fn decode(bytes: &[u8], most: u64) -> Result<RgbImage> {
    let File { head, mut data } = File::read(bytes)?;
    match pixels(&head, &data, true, most) {
        Err(error) if is_cut(&error) => {
            data.extend([0; CHECKSUM]);
            pixels(&head, &data, false, most)
        }
        decoded => decoded,
    }
}

fn is_cut(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(DecodingError::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof)
}

/// The chunks that decide the pixels.
struct File {
    /// Signature, header, palette and transparency.
    head: Vec<u8>,
    /// The compressed pixels.
    data: Vec<u8>,
}

impl File {
    fn read(bytes: &[u8]) -> Result<Self> {
        let (signature, mut rest) = bytes.split_at(8);
        let (mut head, mut data) = (signature.to_vec(), Vec::new());
        loop {
            let Some((kind, body, crc)) = chunk(&mut rest) else { bail!("the file is truncated") };
            match (&kind, crc) {
                (b"IDAT", _) => {
                    data.extend_from_slice(body);
                    break;
                }
                (b"CgBI", _) => {
                    bail!("Apple's own variant of PNG is not supported; save it as a standard PNG")
                }
                (_, Some(crc)) => {
                    ensure!(crc == checksum(&kind, body), "the chunk {} is damaged", kind.escape_ascii())
                }
                (_, None) => bail!("the file is truncated"),
            }
            if matches!(&kind, b"IHDR" | b"PLTE" | b"tRNS") {
                push(&mut head, &kind, body);
            }
        }
        while let Some((_, body, _)) = chunk(&mut rest).filter(|(kind, ..)| kind == b"IDAT") {
            data.extend_from_slice(body);
        }
        Ok(Self { head, data })
    }
}

/// The next chunk: its name, as much of its body as there is, and its checksum if that is there.
fn chunk<'a>(rest: &mut &'a [u8]) -> Option<([u8; 4], &'a [u8], Option<u32>)> {
    let (length, after) = rest.split_first_chunk()?;
    let (kind, after) = after.split_first_chunk::<4>()?;
    if !kind.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
        return None;
    }
    let (body, after) = after.split_at(after.len().min(u32::from_be_bytes(*length) as usize));
    let crc = after.split_first_chunk();
    *rest = crc.map_or(&[], |(_, after)| after);
    Some((*kind, body, crc.map(|(crc, _)| u32::from_be_bytes(*crc))))
}

fn checksum(kind: &[u8; 4], body: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(body);
    crc.sum()
}

fn push(file: &mut Vec<u8>, kind: &[u8; 4], body: &[u8]) {
    file.extend((body.len() as u32).to_be_bytes());
    file.extend(kind);
    file.extend(body);
    file.extend(checksum(kind, body).to_be_bytes());
}

fn pixels(head: &[u8], data: &[u8], is_checked: bool, most: u64) -> Result<RgbImage> {
    let mut clean = head.to_vec();
    push(&mut clean, b"IDAT", data);
    push(&mut clean, b"IEND", &[]);
    let mut file = Decoder::new(Cursor::new(clean));
    file.ignore_checksums(!is_checked);
    let header = file.read_header_info()?;
    let (width, height) = (header.width as usize, header.height as usize);
    let is_gray16 = header.color_type == ColorType::Grayscale && header.bit_depth == BitDepth::Sixteen;
    bounded_by(width, height, most)?;
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
