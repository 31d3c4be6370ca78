//! JPEG, to libjpeg's pixels: what nearly all photographs are by a decoder of our own, which needs no assembler to be fast
//! and decodes only the part that is wanted, and all else by libjpeg.

mod color;
mod frame;
mod huffman;
mod idct;
mod libjpeg;
mod scan;

pub use frame::Frame;
pub use libjpeg::decode;

use super::RgbImage;
use anyhow::Result;
use std::ops::Range;

/// A part of the picture, not empty and within it: the pixels that the whole has there.
///
/// # Errors
/// As [`super::decode`]; damage below the part may go unnoticed.
pub fn part(bytes: &[u8], frame: &Frame, columns: Range<usize>, rows: Range<usize>) -> Result<RgbImage> {
    match scan::decode(bytes, frame, &columns, &rows) {
        Some(planes) => Ok(color::convert(frame, &planes, columns, rows)),
        // What can be saved of damaged files, libjpeg knows.
        None => libjpeg::decode(bytes)?.crop(columns, rows),
    }
}
