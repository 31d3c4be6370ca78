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
use scan::Wanted;
use std::ops::Range;

/// A part of the picture, not empty and within it: the pixels that the whole has there.
///
/// # Errors
/// As [`super::decode`]; damage below the part may go unnoticed.
pub fn part(bytes: &[u8], frame: &Frame, columns: Range<usize>, rows: Range<usize>) -> Result<RgbImage> {
    let wanted = Wanted { shrink: 1, columns: columns.clone(), rows: rows.clone() };
    match scan::decode(bytes, frame, &wanted) {
        Some(planes) => Ok(color::convert(frame, &planes, wanted)),
        // What can be saved of damaged files, libjpeg knows.
        None => libjpeg::decode(bytes)?.crop(columns, rows),
    }
}

/// The same part of a picture that is `shrink` times smaller (2, 4 or 8), and a little more where it does not begin or end
/// between that one's pixels. `None` for damage.
pub fn smaller_part(
    bytes: &[u8],
    frame: &Frame,
    shrink: usize,
    columns: &Range<usize>,
    rows: &Range<usize>,
) -> Option<RgbImage> {
    let smaller = |range: &Range<usize>| range.start / shrink..range.end.div_ceil(shrink);
    let wanted = Wanted { shrink, columns: smaller(columns), rows: smaller(rows) };
    let planes = scan::decode(bytes, frame, &wanted)?;
    Some(color::convert(frame, &planes, wanted))
}
