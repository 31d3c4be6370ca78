//! Gaussian blur by three extended box blurs, with the arithmetic of Pillow's `BoxBlur.c`.

use crate::data::image::RgbImage;

const PASSES: usize = 3;

/// Blurs with this standard deviation in pixels.
pub(super) fn gaussian(image: &mut RgbImage, radius: f64) {
    let radius = box_radius(radius as f32);
    if radius == 0.0 {
        return;
    }
    let (width, height) = (image.width, image.height);
    for row in image.pixels.chunks_exact_mut(3 * width) {
        for channel in 0..3 {
            let mut line: Vec<u8> = row.iter().skip(channel).step_by(3).copied().collect();
            (0..PASSES).for_each(|_| line = blurred(&line, radius));
            row.iter_mut().skip(channel).step_by(3).zip(line).for_each(|(out, value)| *out = value);
        }
    }
    for start in 0..3 * width {
        let mut line: Vec<u8> = (0..height).map(|y| image.pixels[3 * width * y + start]).collect();
        (0..PASSES).for_each(|_| line = blurred(&line, radius));
        line.into_iter().enumerate().for_each(|(y, value)| image.pixels[3 * width * y + start] = value);
    }
}

/// The radius of a box that blurs as much in all passes together (Gwosdek et al., SSVM 2011).
fn box_radius(radius: f32) -> f32 {
    let variance = radius * radius / PASSES as f32;
    let length = (12.0 * f64::from(variance) + 1.0).sqrt() as f32;
    let whole = ((f64::from(length) - 1.0) / 2.0).floor() as f32;
    let mut part = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance);
    part /= 6.0 * (variance - (whole + 1.0) * (whole + 1.0));
    whole + part
}

/// The mean of 2 `radius` + 1 values around each, in which those at both ends count by their fraction; the line goes on as
/// it ends.
fn blurred(line: &[u8], radius: f32) -> Vec<u8> {
    let whole = radius as usize;
    let weight = ((1 << 24) as f32 / (radius * 2.0 + 1.0)) as u32;
    let far = ((1 << 24) - (2 * whole as u32 + 1) * weight) / 2;
    let at = |x: isize| u32::from(line[x.clamp(0, line.len() as isize - 1) as usize]);
    let reach = whole as isize;
    let mut sum: u32 = (-reach - 1..reach).map(at).sum();
    (0..line.len() as isize)
        .map(|x| {
            sum = sum + at(x + reach) - at(x - reach - 1);
            let ends = (at(x - reach - 1) + at(x + reach + 1)) * far;
            ((sum * weight + ends + (1 << 23)) >> 24) as u8
        })
        .collect()
}
