//! Operations on values and colours, with the arithmetic of Pillow's `ImageOps`, `ImageEnhance` and
//! `Convert.c`.

use crate::data::image::{RgbImage, luma};

type Histogram = [u32; 256];

/// Applies a function to every value.
pub(super) fn map(image: &mut RgbImage, new: impl Fn(u8) -> u8) {
    let mut table = [0; 256];
    table.iter_mut().zip(0..=255).for_each(|(out, value)| *out = new(value));
    image.pixels.iter_mut().for_each(|value| *value = table[usize::from(*value)]);
}

/// Maps each channel through a lookup table computed from its histogram.
fn by_histogram(image: &mut RgbImage, table: impl Fn(&Histogram) -> [u8; 256]) {
    let mut histograms = [[0; 256]; 3];
    for pixel in image.pixels.chunks_exact(3) {
        histograms.iter_mut().zip(pixel).for_each(|(histogram, &value)| histogram[usize::from(value)] += 1);
    }
    let tables = histograms.map(|histogram| table(&histogram));
    for pixel in image.pixels.chunks_exact_mut(3) {
        pixel.iter_mut().zip(&tables).for_each(|(value, table)| *value = table[usize::from(*value)]);
    }
}

fn identity() -> [u8; 256] {
    std::array::from_fn(|value| value as u8)
}

/// Stretches each channel so that its darkest value becomes 0 and its lightest 255.
pub(super) fn auto_contrast(image: &mut RgbImage) {
    by_histogram(image, |histogram| {
        let low = histogram.iter().position(|&count| count > 0).unwrap_or(0);
        let high = histogram.iter().rposition(|&count| count > 0).unwrap_or(0);
        if high <= low {
            return identity();
        }
        let scale = 255.0 / (high - low) as f64;
        let offset = -(low as f64) * scale;
        std::array::from_fn(|value| (value as f64 * scale + offset) as u8)
    });
}

/// Equalises the histogram of each channel.
pub(super) fn equalize(image: &mut RgbImage) {
    by_histogram(image, |histogram| {
        let last = histogram.iter().rfind(|&&count| count > 0).copied().unwrap_or(0);
        let step = (histogram.iter().sum::<u32>() - last) / 255;
        if step == 0 {
            return identity();
        }
        let mut sum = step / 2;
        std::array::from_fn(|value| {
            let level = sum / step;
            sum += histogram[value];
            level.min(255) as u8
        })
    });
}

/// Inter- or extrapolates from `from` (factor 0) to `to` (factor 1) in float32, truncated and clamped.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    (f32::from(from) + factor * f32::from(i16::from(to) - i16::from(from))) as u8
}

pub(super) fn brightness(image: &mut RgbImage, factor: f64) {
    map(image, |value| blend(0, value, factor as f32));
}

pub(super) fn contrast(image: &mut RgbImage, factor: f64) {
    let sum: u64 = image.pixels.chunks_exact(3).map(|pixel| u64::from(luma(pixel))).sum();
    let pixels = (image.pixels.len() / 3).max(1);
    let mean = (sum as f64 / pixels as f64 + 0.5) as u8;
    map(image, |value| blend(mean, value, factor as f32));
}

pub(super) fn color(image: &mut RgbImage, factor: f64) {
    for pixel in image.pixels.chunks_exact_mut(3) {
        let gray = luma(pixel);
        pixel.iter_mut().for_each(|value| *value = blend(gray, *value, factor as f32));
    }
}

pub(super) fn gray(image: &mut RgbImage) {
    image.pixels.chunks_exact_mut(3).for_each(|pixel| pixel.fill(luma(pixel)));
}

/// Blends with the image smoothed by a 3×3 kernel with 5 at its centre; the outermost pixels stay unchanged.
pub(super) fn sharpness(image: &mut RgbImage, factor: f64) {
    let (row, height) = (3 * image.width, image.height);
    let old = image.pixels.clone();
    for y in 1..height.saturating_sub(1) {
        for i in y * row + 3..(y + 1) * row - 3 {
            let at = |i: usize| u32::from(old[i]);
            let line = |i: usize| at(i - 3) + at(i) + at(i + 3);
            let sum = line(i - row) + line(i) + line(i + row) + 4 * at(i);
            let smooth = ((2 * sum + 13) / 26) as u8;
            image.pixels[i] = blend(smooth, old[i], factor as f32);
        }
    }
}

/// Shifts the hue by a fraction of the circle, in steps of 1/255.
pub(super) fn hue(image: &mut RgbImage, shift: f64) {
    let shift = (shift * 255.0) as i32 as u8;
    for pixel in image.pixels.chunks_exact_mut(3) {
        let [h, s, v] = rgb_to_hsv([pixel[0], pixel[1], pixel[2]]);
        pixel.copy_from_slice(&hsv_to_rgb([h.wrapping_add(shift), s, v]));
    }
}

/// In the mixed precision of Pillow's C code.
fn rgb_to_hsv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let (max, min) = (r.max(g).max(b), r.min(g).min(b));
    if max == min {
        return [0, 0, max];
    }
    let range = f32::from(max - min);
    let saturation = range / f32::from(max);
    let [rc, gc, bc] = [r, g, b].map(|value| f32::from(max - value) / range);
    let hue = if r == max {
        bc - gc
    } else if g == max {
        (2.0 + f64::from(rc) - f64::from(bc)) as f32
    } else {
        (4.0 + f64::from(gc) - f64::from(rc)) as f32
    };
    let hue = ((f64::from(hue) / 6.0 + 1.0) % 1.0) as f32;
    [(f64::from(hue) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, max]
}

fn hsv_to_rgb([h, s, v]: [u8; 3]) -> [u8; 3] {
    if s == 0 {
        return [v; 3];
    }
    let turn = f64::from(h) * 6.0 / 255.0;
    let sector = turn.floor();
    let within = f64::from((turn - sector) as f32);
    let saturation = f64::from((f64::from(s) / 255.0) as f32);
    let level = |part: f64| (f64::from(v) * (1.0 - saturation * part)).round() as u8;
    let (p, q, t) = (level(1.0), level(within), level(1.0 - within));
    match sector as u8 % 6 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        _ => [v, p, q],
    }
}
