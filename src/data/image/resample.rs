//! Resizing, bit-exact with Pillow: fixed-point convolution along one axis, then the other.
//!
//! The arithmetic and its order are those of Pillow 13's `Resample.c` (Jeffrey A. Clark and contributors,
//! MIT-CMU).

use super::convolve::Kernels;
use super::rgb::{RgbImage, bounded, within};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;
use std::ops::Range;

/// The interpolation filter. When shrinking, all but `Nearest` average over the pixels that become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Interpolation {
    Nearest,
    Box,
    Bilinear,
    Hamming,
    Bicubic,
    Lanczos,
}

/// A part of an image, in pixels and fractions of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    pub left: f32,
    pub top: f32,
    pub right: f32,
    pub bottom: f32,
}

/// The arguments of a resize.
#[derive(Clone, Debug, PartialEq)]
pub struct Resize {
    pub width: usize,
    pub height: usize,
    pub interpolation: Interpolation,
    /// The part of the image to resize; `None` for the whole.
    pub region: Option<Region>,
    /// The columns and rows of the result to compute; `None` for all.
    pub window: Option<(Range<usize>, Range<usize>)>,
}

impl Resize {
    /// The whole image at another size.
    pub fn to(width: usize, height: usize, interpolation: Interpolation) -> Self {
        Self { width, height, interpolation, region: None, window: None }
    }
}

impl RgbImage {
    /// Like Pillow's `image.resize((width, height), interpolation, box=region)`, cropped to the window.
    ///
    /// # Errors
    /// A region that is empty or not within the image, or a window that is empty, not within the result or of
    /// more than [`super::MAX_PIXELS`].
    pub fn resize(&self, to: &Resize) -> Result<Self> {
        let (right, bottom) = (self.width as f32, self.height as f32);
        let whole = Region { left: 0.0, top: 0.0, right, bottom };
        let region = to.region.unwrap_or(whole);
        let inside = |from: f32, to: f32, side: f32| 0.0 <= from && from < to && to <= side;
        ensure!(
            inside(region.left, region.right, right) && inside(region.top, region.bottom, bottom),
            "{region:?} is not within {}×{} pixels",
            self.width,
            self.height
        );
        let (columns, rows) = to.window.clone().unwrap_or((0..to.width, 0..to.height));
        ensure!(
            columns.end <= to.width && rows.end <= to.height,
            "columns {columns:?} and rows {rows:?} are not within {}×{} pixels",
            to.width,
            to.height
        );
        bounded(columns.len(), rows.len())?;
        let x = Axis { inputs: self.width, from: region.left, to: region.right, outputs: to.width };
        let y = Axis { inputs: self.height, from: region.top, to: region.bottom, outputs: to.height };
        let Some(filter) = Filter::of(to.interpolation) else {
            return Ok(self.pick(&x.nearest(columns), &y.nearest(rows)));
        };
        if x.is_unchanged() && y.is_unchanged() {
            return self.crop(columns, rows);
        }
        // The order affects the result, since values are rounded to 8 bits in between.
        let is_flat = y.shrinks_by() > 0 && y.shrinks_by() > 2 * x.shrinks_by();
        let (x, y) = (x.kernels(&filter, columns), y.kernels(&filter, rows));
        Ok(if is_flat {
            x.along_rows(&y.along_columns(self, 0), 0..y.outputs())
        } else {
            let used = y.inputs();
            y.along_columns(&x.along_rows(self, used.clone()), used.start)
        })
    }

    /// Copies a part of the image.
    ///
    /// # Errors
    /// A part that is empty or not within the image.
    pub fn crop(&self, columns: Range<usize>, rows: Range<usize>) -> Result<Self> {
        within((self.width, self.height), &columns, &rows)?;
        let mut pixels = Vec::with_capacity(columns.len() * rows.len() * 3);
        for row in self.pixels.chunks_exact(self.width * 3).take(rows.end).skip(rows.start) {
            pixels.extend_from_slice(&row[columns.start * 3..columns.end * 3]);
        }
        Ok(Self { width: columns.len(), height: rows.len(), pixels })
    }

    /// The pixels at these columns and rows.
    fn pick(&self, columns: &[usize], rows: &[usize]) -> Self {
        let mut pixels = Vec::with_capacity(columns.len() * rows.len() * 3);
        for y in rows {
            let row = &self.pixels[y * self.width * 3..];
            columns.iter().for_each(|x| pixels.extend_from_slice(&row[x * 3..x * 3 + 3]));
        }
        Self { width: columns.len(), height: rows.len(), pixels }
    }
}

/// One axis: the range of the inputs that is resampled, and the number of outputs.
struct Axis {
    inputs: usize,
    from: f32,
    to: f32,
    outputs: usize,
}

impl Axis {
    fn is_unchanged(&self) -> bool {
        self.outputs == self.inputs && self.from == 0.0 && self.to == self.inputs as f32
    }

    fn shrinks_by(&self) -> i64 {
        self.inputs as i64 - self.outputs as i64
    }

    /// Inputs per output.
    fn scale(&self) -> f64 {
        f64::from(self.to - self.from) / self.outputs as f64
    }

    /// The input that contains each output's centre.
    fn nearest(&self, outputs: Range<usize>) -> Vec<usize> {
        // Accumulated, not multiplied, to round as Pillow does.
        let mut center = f64::from(self.from) + self.scale() * 0.5;
        let inputs = (0..outputs.end).map(|_| {
            let input = (center as usize).min(self.inputs - 1);
            center += self.scale();
            input
        });
        inputs.skip(outputs.start).collect()
    }

    /// The weights of the inputs of each output.
    fn kernels(&self, filter: &Filter, outputs: Range<usize>) -> Kernels {
        // When shrinking, the filter is widened.
        let stretch = self.scale().max(1.0);
        let (support, shrunk) = (filter.support * stretch, 1.0 / stretch);
        let mut kernels = Kernels::default();
        for output in outputs {
            let center = f64::from(self.from) + (output as f64 + 0.5) * self.scale();
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(self.inputs);
            let offset = |input: usize| (input as f64 - center + 0.5) * shrunk;
            let weights: Vec<f64> = (first..end).map(|input| (filter.weight)(offset(input))).collect();
            kernels.push(first, &weights);
        }
        kernels
    }
}

/// The weight by the distance to the centre, in pixels of the input or the output, whichever are larger.
struct Filter {
    /// The distance beyond which the weight is zero.
    support: f64,
    weight: fn(f64) -> f64,
}

impl Filter {
    /// `None` for `Nearest`, which has no weights.
    fn of(interpolation: Interpolation) -> Option<Self> {
        let (support, weight): (f64, fn(f64) -> f64) = match interpolation {
            Interpolation::Nearest => return None,
            Interpolation::Box => (0.5, |x| if x > -0.5 && x <= 0.5 { 1.0 } else { 0.0 }),
            Interpolation::Bilinear => (1.0, |x| (1.0 - x.abs()).max(0.0)),
            Interpolation::Hamming => (1.0, hamming),
            Interpolation::Bicubic => (2.0, bicubic),
            Interpolation::Lanczos => (3.0, lanczos),
        };
        Some(Self { support, weight })
    }
}

/// One lobe of the sinc, windowed by a raised cosine.
fn hamming(x: f64) -> f64 {
    if x.abs() < 1.0 { sinc(x) * (0.54 + 0.46 * (x * PI).cos()) } else { 0.0 }
}

/// Keys' cubic with a = -1/2.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Three lobes of the sinc, windowed by a wider sinc.
fn lanczos(x: f64) -> f64 {
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}
