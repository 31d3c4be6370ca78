//! Affine transforms, with the arithmetic of Pillow's `Geometry.c`.

use crate::data::Stream;
use crate::data::image::RgbImage;

/// The pixels from which one of a warped image is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    Nearest,
    Bilinear,
    Bicubic,
}

/// How the pixels of a warped image are computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Filling {
    pub sampling: Sampling,
    /// The colour outside the image.
    pub color: [u8; 3],
}

impl Filling {
    /// With a random one of the two interpolations, as timm has it.
    pub(super) fn drawn(color: [u8; 3], stream: &mut Stream) -> Self {
        let sampling = if stream.below(2) == 0 { Sampling::Bicubic } else { Sampling::Bilinear };
        Self { sampling, color }
    }
}

/// Maps output coordinates to input coordinates: x' = a x + b y + c, y' = d x + e y + f.
pub(super) struct Affine(pub [f64; 6]);

impl Affine {
    /// Counter-clockwise about the centre, like Pillow's `Image.rotate`.
    pub fn rotation(degrees: f64, width: usize, height: usize) -> Self {
        let angle = -degrees.rem_euclid(360.0).to_radians();
        let round = |value: f64| (value * 1e15).round_ties_even() / 1e15;
        let (cos, sin) = (round(angle.cos()), round(angle.sin()));
        let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
        let c = cos * -x + sin * -y + 0.0 + x;
        let f = round(-angle.sin()) * -x + cos * -y + 0.0 + y;
        Self([cos, sin, c, round(-angle.sin()), cos, f])
    }

    pub fn apply(&self, image: &mut RgbImage, filling: Filling) {
        if filling.sampling == Sampling::Nearest {
            return self.nearest(image, filling.color);
        }
        let old = image.clone();
        let [a, b, c, d, e, f] = self.0;
        let (width, height) = (old.width as f64, old.height as f64);
        for (row, y) in image.pixels.chunks_exact_mut(3 * old.width).zip(0u32..) {
            for (pixel, x) in row.chunks_exact_mut(3).zip(0u32..) {
                let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
                let (from_x, from_y) = (a * x + b * y + c, d * x + e * y + f);
                let inside = (0.0..width).contains(&from_x) && (0.0..height).contains(&from_y);
                let color = match (inside, filling.sampling) {
                    (false, _) => filling.color,
                    (true, Sampling::Bicubic) => bicubic(&old, from_x - 0.5, from_y - 0.5),
                    (true, _) => bilinear(&old, from_x - 0.5, from_y - 0.5),
                };
                pixel.copy_from_slice(&color);
            }
        }
    }

    /// In steps of 1/65536 of a pixel, as Pillow has it.
    fn nearest(&self, image: &mut RgbImage, color: [u8; 3]) {
        let old = image.clone();
        let fixed = |value: f64| (value * 65536.0 + 0.5).floor() as i64;
        let [a, b, c, d, e, f] = self.0;
        let (start_x, start_y) = (fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5));
        let [a, b, d, e] = [a, b, d, e].map(fixed);
        let within = |at: i64, side: usize| usize::try_from(at >> 16).ok().filter(|&at| at < side);
        for (row, y) in image.pixels.chunks_exact_mut(3 * old.width).zip(0i64..) {
            for (pixel, x) in row.chunks_exact_mut(3).zip(0i64..) {
                let (from_x, from_y) = (start_x + a * x + b * y, start_y + d * x + e * y);
                let from = within(from_x, old.width).zip(within(from_y, old.height));
                let color = from.map_or(&color[..], |(x, y)| &old.pixels[3 * (y * old.width + x)..][..3]);
                pixel.copy_from_slice(color);
            }
        }
    }
}

/// The offset of a column in a row; columns beyond the edge repeat it.
fn column(image: &RgbImage, x: isize) -> usize {
    3 * x.clamp(0, image.width as isize - 1) as usize
}

/// The pixels of a row, if it is within the image.
fn row(image: &RgbImage, y: isize) -> Option<&[u8]> {
    let y = usize::try_from(y).ok().filter(|&y| y < image.height)?;
    Some(&image.pixels[3 * y * image.width..][..3 * image.width])
}

/// The row, clamped to the image.
fn clamped_row(image: &RgbImage, y: isize) -> &[u8] {
    row(image, y.clamp(0, image.height as isize - 1)).unwrap_or_default()
}

fn bilinear(image: &RgbImage, x: f64, y: f64) -> [u8; 3] {
    let (left, top) = (x.floor(), y.floor());
    let (dx, dy) = (x - left, y - top);
    let columns = [0, 1].map(|i| column(image, left as isize + i));
    let upper = clamped_row(image, top as isize);
    let lower = row(image, top as isize + 1).unwrap_or(upper);
    std::array::from_fn(|channel| {
        let mix = |a: f64, b: f64, at: f64| a + (b - a) * at;
        let across = |row: &[u8]| {
            let [a, b] = columns.map(|column| f64::from(row[column + channel]));
            mix(a, b, dx)
        };
        mix(across(upper), across(lower), dy) as u8
    })
}

fn bicubic(image: &RgbImage, x: f64, y: f64) -> [u8; 3] {
    let (left, top) = (x.floor(), y.floor());
    let (dx, dy) = (x - left, y - top);
    let columns = [-1, 0, 1, 2].map(|i| column(image, left as isize + i));
    let mut rows = [clamped_row(image, top as isize - 1); 4];
    for i in 1..4 {
        // A row beyond the edge repeats the one before it.
        rows[i] = row(image, top as isize - 1 + i as isize).unwrap_or(rows[i - 1]);
    }
    std::array::from_fn(|channel| {
        let across = |row: &[u8]| cubic(columns.map(|column| f64::from(row[column + channel])), dx);
        cubic(rows.map(across), dy) as u8
    })
}

/// Cubic interpolation between the middle two of four values, `at` in [0, 1).
fn cubic([v1, v2, v3, v4]: [f64; 4], at: f64) -> f64 {
    let p2 = -v1 + v3;
    let p3 = 2.0 * (v1 - v2) + v3 - v4;
    let p4 = -v1 + v2 - v3 + v4;
    v2 + at * (p2 + at * (p3 + at * p4))
}
