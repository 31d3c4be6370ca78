//! Decodes compressed data to planes of samples.

use super::frame::Frame;
use super::huffman::{Bits, PADDING};
use super::idct::{self, BLOCK};
use memchr::memchr;
use std::ops::Range;

/// The part of an image to decode.
pub struct Wanted {
    /// The factor by which the image is reduced: 1, 2, 4 or 8.
    pub shrink: usize,
    /// Columns and rows of the reduced image.
    pub columns: Range<usize>,
    pub rows: Range<usize>,
}

/// A part of the samples of one component.
pub struct Plane {
    /// Column and row of its first sample.
    origin: [usize; 2],
    width: usize,
    samples: Vec<u8>,
}

impl Plane {
    /// Samples of a row; row and columns are those of the whole component.
    pub fn row(&self, y: usize, columns: Range<usize>) -> &[u8] {
        let row = &self.samples[(y - self.origin[1]) * self.width..][..self.width];
        &row[columns.start - self.origin[0]..columns.end - self.origin[0]]
    }
}

/// The planes of all components, as far as the wanted pixels need them. `None` if the data is damaged.
pub fn decode(bytes: &[u8], frame: &Frame, wanted: &Wanted) -> Option<Vec<Plane>> {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("bmi2") {
        /// BMI2's variable shifts neither need CL nor change the flags, which speeds up the bit reader.
        #[target_feature(enable = "bmi2")]
        fn with_bmi2(bytes: &[u8], frame: &Frame, wanted: &Wanted) -> Option<Vec<Plane>> {
            planes(bytes, frame, wanted)
        }
        // SAFETY: the processor has BMI2.
        return unsafe { with_bmi2(bytes, frame, wanted) };
    }
    planes(bytes, frame, wanted)
}

#[inline(always)]
fn planes(bytes: &[u8], frame: &Frame, wanted: &Wanted) -> Option<Vec<Plane>> {
    let side = BLOCK / wanted.shrink;
    let [across, down] = frame.mcus();
    let columns = mcus(&wanted.columns, frame.chroma[0], side, across);
    let rows = mcus(&wanted.rows, frame.chroma[1], side, down);
    let plane = |blocks: [usize; 2]| {
        let [width, height] = blocks.map(|blocks| blocks * side);
        let samples = vec![0; columns.len() * width * rows.len() * height];
        Plane { origin: [columns.start * width, rows.start * height], width: columns.len() * width, samples }
    };
    let mut planes: Vec<Plane> = frame.components.iter().map(|component| plane(component.blocks)).collect();
    // The coefficients of one row of MCUs.
    let mut coefficients: Vec<Vec<[i16; BLOCK * BLOCK]>> = (frame.components.iter())
        .map(|component| vec![[0; _]; columns.len() * component.blocks.iter().product::<usize>()])
        .collect();

    let data = Data::of(bytes.get(frame.data..)?)?;
    let mut segments = data.segments();
    let mut bits = segments.next()?;
    let mut dc = vec![0; frame.components.len()];
    let mut until_restart = frame.restart;
    for row in 0..rows.end {
        let is_wanted = rows.contains(&row);
        if is_wanted {
            coefficients.iter_mut().for_each(|blocks| blocks.as_flattened_mut().fill(0));
        }
        for column in 0..across {
            if frame.restart > 0 {
                if until_restart == 0 {
                    if !bits.is_valid() {
                        return None;
                    }
                    bits = segments.next()?;
                    dc.fill(0);
                    until_restart = frame.restart;
                }
                until_restart -= 1;
            }
            let offset = column.wrapping_sub(columns.start);
            let is_wanted = is_wanted && offset < columns.len();
            for ((component, dc), blocks) in frame.components.iter().zip(&mut dc).zip(&mut coefficients) {
                let codes = (&component.dc, &component.ac);
                let [wide, high] = component.blocks;
                for y in 0..high {
                    for x in 0..wide {
                        if is_wanted {
                            let block = &mut blocks[(y * columns.len() + offset) * wide + x];
                            bits.block(codes, &component.quantization, dc, block)?;
                        } else {
                            bits.skip(codes, dc)?;
                        }
                    }
                }
            }
        }
        if is_wanted {
            for (blocks, plane) in coefficients.iter().zip(&mut planes) {
                let size = blocks.len() * side * side;
                let samples = &mut plane.samples[(row - rows.start) * size..][..size];
                idct::rows(blocks, samples, plane.width, side);
            }
        }
    }
    bits.is_valid().then_some(planes)
}

/// The MCUs (blocks have `side` samples) that these pixels need; chroma interpolation needs neighbours, too.
fn mcus(pixels: &Range<usize>, luma: usize, side: usize, count: usize) -> Range<usize> {
    let context = if luma > 1 { luma } else { 0 };
    let side = side * luma;
    pixels.start.saturating_sub(context) / side..(pixels.end + context).div_ceil(side).min(count)
}

/// The compressed data of a scan without stuffed bytes, split at restart markers.
struct Data {
    /// The segments, each followed by [`PADDING`] zeros.
    bytes: Vec<u8>,
    /// The end of each segment, including its zeros.
    ends: Vec<usize>,
}

impl Data {
    /// `None` if the end-of-image marker is missing or restart markers are out of order.
    fn of(mut rest: &[u8]) -> Option<Self> {
        let (mut bytes, mut ends) = (Vec::with_capacity(rest.len() + PADDING), Vec::new());
        loop {
            let (plain, marker) = rest.split_at(memchr(0xff, rest)?);
            bytes.extend_from_slice(plain);
            let (marker, after) = (*marker.get(1)?, marker.get(2..)?);
            let restart = 0xd0 | (ends.len() % 8) as u8;
            rest = after;
            match marker {
                0 => bytes.push(0xff),
                0xd9 => break,
                marker if marker == restart => {
                    bytes.extend([0; PADDING]);
                    ends.push(bytes.len());
                }
                _ => return None,
            }
        }
        bytes.extend([0; PADDING]);
        ends.push(bytes.len());
        Some(Self { bytes, ends })
    }

    fn segments(&self) -> impl Iterator<Item = Bits<'_>> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(&start, &end)| Bits::new(&self.bytes[start..end]))
    }
}
