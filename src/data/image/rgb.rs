//! An image in memory.

use anyhow::{Context, Result, bail, ensure};
use std::ops::Range;

/// Upper bound on the pixels of an image: Pillow's limit for decompression bombs.
pub const MAX_PIXELS: u64 = 2 * (1 << 30) / 4 / 3;

/// An RGB image in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    pub width: usize,
    pub height: usize,
    /// (height, width, 3), RGB, contiguous.
    pub pixels: Vec<u8>,
}

impl RgbImage {
    /// From `pixels` (height, width, 3), RGB, contiguous.
    ///
    /// # Errors
    /// Too few or too many bytes, and a size without pixels or with more than [`MAX_PIXELS`].
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self> {
        let wanted = bounded(width, height)? * 3;
        ensure!(
            pixels.len() == wanted,
            "{} bytes for {width}×{height} RGB pixels, which take {wanted}",
            pixels.len()
        );
        Ok(Self { width, height, pixels })
    }

    /// From 8-bit samples, `channels` per pixel: grey, grey and alpha, RGB or RGBA. Alpha is dropped.
    pub(super) fn from_samples(
        width: usize,
        height: usize,
        channels: usize,
        samples: Vec<u8>,
    ) -> Result<Self> {
        let count = bounded(width, height)?;
        ensure!(samples.len() == count * channels, "{} samples for {width}×{height} pixels", samples.len());
        let pixels = match channels {
            1 | 2 => samples.chunks_exact(channels).flat_map(|pixel| [pixel[0]; 3]).collect(),
            3 => samples,
            4 => samples.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
            _ => bail!("{channels} channels are not supported"),
        };
        Ok(Self { width, height, pixels })
    }

    /// From 8-bit planes (channels, height, width), grey or RGB.
    ///
    /// # Errors
    /// Another number of channels, or a size without pixels.
    pub fn from_planes(width: usize, height: usize, planes: &[u8]) -> Result<Self> {
        let count = bounded(width, height)?;
        let channels = planes.len() / count;
        ensure!(
            matches!(channels, 1 | 3),
            "images of {channels} channels are no pictures, which have 1 or 3"
        );
        let samples = (0..count).flat_map(|i| planes.iter().skip(i).step_by(count).copied()).collect();
        Self::from_samples(width, height, channels, samples)
    }

    /// An image of one colour.
    ///
    /// # Errors
    /// A size without pixels or with more than [`MAX_PIXELS`].
    pub fn filled(width: usize, height: usize, color: [u8; 3]) -> Result<Self> {
        Ok(Self { width, height, pixels: color.repeat(bounded(width, height)?) })
    }

    /// Pastes an image at this position; parts that do not fit are clipped.
    pub fn paste(&mut self, image: &RgbImage, left: usize, top: usize) {
        let left = left.min(self.width);
        let width = image.width.min(self.width - left) * 3;
        let rows = image.pixels.chunks_exact(image.width * 3);
        for (from, to) in rows.zip(self.pixels.chunks_exact_mut(self.width * 3).skip(top)) {
            to[left * 3..][..width].copy_from_slice(&from[..width]);
        }
    }

    /// The image flipped horizontally.
    pub fn mirror(&self) -> Self {
        let rows = self.pixels.chunks_exact(self.width * 3);
        let pixels = rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect();
        Self { width: self.width, height: self.height, pixels }
    }

    /// The image turned and mirrored as an orientation of EXIF or TIFF says.
    pub(super) fn oriented(self, orientation: u16) -> Self {
        let (w, h) = (self.width, self.height);
        // Where the pixel of a column and row comes from.
        let from: fn([usize; 2], [usize; 2]) -> [usize; 2] = match orientation {
            2 => |[x, y], [w, _]| [w - 1 - x, y],
            3 => |[x, y], [w, h]| [w - 1 - x, h - 1 - y],
            4 => |[x, y], [_, h]| [x, h - 1 - y],
            5 => |[x, y], _| [y, x],
            6 => |[x, y], [_, h]| [y, h - 1 - x],
            7 => |[x, y], [w, h]| [w - 1 - y, h - 1 - x],
            8 => |[x, y], [w, _]| [w - 1 - y, x],
            _ => return self,
        };
        let (width, height) = if orientation < 5 { (w, h) } else { (h, w) };
        let places = (0..height).flat_map(|y| (0..width).map(move |x| from([x, y], [w, h])));
        let pixels = places.flat_map(|[x, y]| self.pixels[(y * w + x) * 3..][..3].to_vec()).collect();
        Self { width, height, pixels }
    }

    /// Flips the image vertically, in place.
    pub(super) fn flip(&mut self) {
        let (row, height) = (self.width * 3, self.height);
        for y in 0..height / 2 {
            let (top, rest) = self.pixels[y * row..].split_at_mut(row);
            top.swap_with_slice(&mut rest[(height - 2 - 2 * y) * row..][..row]);
        }
    }
}

/// The luma of an RGB pixel by ITU-R 601, rounded as in Pillow's `convert("L")`: grey keeps its value.
pub(crate) fn luma(pixel: &[u8]) -> u8 {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
    ((19_595 * r + 38_470 * g + 7_471 * b + 0x8000) >> 16) as u8
}

/// Pillow's conversion from inks that are stored inverted, as Adobe's programs do.
pub(super) fn cmyk_to_rgb([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    // k and the inks are inverted: 255 is no ink.
    [c, m, y].map(|ink| {
        let product = u32::from(255 - ink) * u32::from(k) + 128;
        k.saturating_sub(((product + (product >> 8)) >> 8) as u8)
    })
}

/// The number of pixels of a size stated by a file, checked against [`MAX_PIXELS`].
pub(super) fn bounded(width: usize, height: usize) -> Result<usize> {
    bounded_by(width, height, MAX_PIXELS)
}

/// The same, checked against `most` pixels.
pub(super) fn bounded_by(width: usize, height: usize, most: u64) -> Result<usize> {
    ensure!(width > 0 && height > 0, "it has no pixels: {width}×{height}");
    let count = width.checked_mul(height).filter(|&count| count as u64 <= most);
    count.with_context(|| format!("{width}×{height} pixels are more than {most}; make it smaller"))
}

/// Checks that columns and rows are not empty and lie within an image of this size.
pub(super) fn within(
    (width, height): (usize, usize),
    columns: &Range<usize>,
    rows: &Range<usize>,
) -> Result<()> {
    let within = |range: &Range<usize>, side| range.start < range.end && range.end <= side;
    ensure!(
        within(columns, width) && within(rows, height),
        "columns {columns:?} and rows {rows:?} are not within {width}×{height} pixels"
    );
    Ok(())
}
