//! JPEG decoding with the same pixels as libjpeg's. Baseline files, which nearly all photographs are, have a
//! decoder here, which is fast without assembly and decodes only the part that is needed; libjpeg decodes all
//! others.

mod color;
mod frame;
mod huffman;
mod idct;
mod libjpeg;
mod scan;

pub use frame::Frame;
pub use libjpeg::decode;

use super::{MAX_PIXELS, RgbImage};
use anyhow::Result;
use scan::Wanted;
use std::ops::Range;

/// A non-empty part within the image, with the same pixels as in the whole image.
///
/// # Errors
/// Same as [`super::decode`]; damage below the part may go unnoticed.
pub fn part(bytes: &[u8], frame: &Frame, columns: Range<usize>, rows: Range<usize>) -> Result<RgbImage> {
    let wanted = Wanted { shrink: 1, columns: columns.clone(), rows: rows.clone() };
    match scan::decode(bytes, frame, &wanted) {
        Some(planes) => Ok(color::convert(frame, &planes, wanted)),
        // libjpeg decides which damaged files can still be decoded.
        None => libjpeg::decode(bytes, MAX_PIXELS)?.crop(columns, rows),
    }
}

/// The part of the image reduced by `shrink` (2, 4 or 8), extended to whole pixels of the reduced image.
/// `None` if the data is damaged.
pub fn reduced_part(
    bytes: &[u8],
    frame: &Frame,
    shrink: usize,
    columns: &Range<usize>,
    rows: &Range<usize>,
) -> Option<RgbImage> {
    let reduced = |range: &Range<usize>| range.start / shrink..range.end.div_ceil(shrink);
    let wanted = Wanted { shrink, columns: reduced(columns), rows: reduced(rows) };
    let planes = scan::decode(bytes, frame, &wanted)?;
    Some(color::convert(frame, &planes, wanted))
}
