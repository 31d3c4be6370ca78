//! From planes of samples to pixels: libjpeg's chroma upsampling (`jdsample`, "fancy") and YCbCr conversion
//! (`jdcolor`).

use super::frame::Frame;
use super::scan::{Plane, Wanted};
use crate::data::image::RgbImage;
use std::ops::Range;

/// The pixels of a part of the image.
pub fn convert(frame: &Frame, planes: &[Plane], wanted: Wanted) -> RgbImage {
    let Wanted { shrink, columns, rows } = wanted;
    let (width, height) = (columns.len(), rows.len());
    let mut pixels = vec![0; width * height * 3];
    let outputs = pixels.chunks_exact_mut(width * 3);
    match planes {
        [luma, blue, red] => {
            let [mut blues, mut reds] = [blue, red].map(|plane| Chroma::new(frame, plane, shrink, &columns));
            for (y, output) in rows.zip(outputs) {
                to_rgb(luma.row(y, columns.clone()), blues.row(y), reds.row(y), output);
            }
        }
        _ => {
            for (y, output) in rows.zip(outputs) {
                for (pixel, &value) in output.chunks_exact_mut(3).zip(planes[0].row(y, columns.clone())) {
                    pixel.fill(value);
                }
            }
        }
    }
    RgbImage { width, height, pixels }
}

/// A chroma component, upsampled to the size of luma row by row.
struct Chroma<'a> {
    plane: &'a Plane,
    /// Luma columns and rows per chroma sample.
    scale: [usize; 2],
    /// Rows of the whole plane.
    height: usize,
    /// The chroma columns that are needed, including neighbours for the interpolation.
    used: Range<usize>,
    /// The wanted luma columns, as a range of the upsampled row.
    wanted: Range<usize>,
    /// Buffers: vertical sums, and the upsampled row.
    sums: Vec<i16>,
    pairs: Vec<[u8; 2]>,
}

impl<'a> Chroma<'a> {
    fn new(frame: &Frame, plane: &'a Plane, shrink: usize, columns: &Range<usize>) -> Self {
        let [across, _] = frame.chroma;
        let [width, height] = frame.chroma_size(shrink);
        let used = match across {
            1 => columns.clone(),
            _ => (columns.start / 2).saturating_sub(1)..((columns.end - 1) / 2 + 2).min(width),
        };
        let first = columns.start - used.start * across;
        Self {
            plane,
            scale: frame.chroma,
            height,
            wanted: first..first + columns.len(),
            sums: vec![0; used.len()],
            pairs: vec![[0; 2]; used.len()],
            used,
        }
    }

    /// The upsampled chroma of luma row `y`.
    fn row(&mut self, y: usize) -> &[u8] {
        let [across, down] = self.scale;
        let near = self.plane.row(y / down, self.used.clone());
        if across == 1 {
            return near;
        }
        // Weights 3/4 and 1/4 for the nearer and the farther row; at the edge a row is its own neighbour.
        let farther = match y % 2 {
            0 => (y / 2).saturating_sub(1),
            _ => (y / 2 + 1).min(self.height - 1),
        };
        let far = (down == 2).then(|| self.plane.row(farther, self.used.clone()));
        widen(near, far, &mut self.sums, &mut self.pairs);
        &self.pairs.as_flattened()[self.wanted.clone()]
    }
}

/// Doubles the columns of a row, after interpolating it with `far` if given.
fn widen(near: &[u8], far: Option<&[u8]>, sums: &mut [i16], pairs: &mut [[u8; 2]]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { avx2::widen(near, far, sums, pairs) };
        return;
    }
    widened(near, far, sums, pairs);
}

/// Written so that the compiler vectorises it.
#[inline(always)]
fn widened(near: &[u8], far: Option<&[u8]>, sums: &mut [i16], pairs: &mut [[u8; 2]]) {
    match far {
        Some(far) => {
            for ((sum, &near), &far) in sums.iter_mut().zip(near).zip(far) {
                *sum = 3 * i16::from(near) + i16::from(far);
            }
            between(sums, pairs, [8, 7], 4);
        }
        None => {
            sums.iter_mut().zip(near).for_each(|(sum, &near)| *sum = i16::from(near));
            between(sums, pairs, [1, 2], 2);
        }
    }
}

/// Two samples per sum, a quarter of the way to its left and right neighbour; edges are their own neighbours.
#[inline(always)]
fn between(sums: &[i16], pairs: &mut [[u8; 2]], rounding: [i16; 2], shift: u32) {
    let pair = |left: i16, sum: i16, right: i16| {
        let left = (3 * sum + left + rounding[0]) >> shift;
        let right = (3 * sum + right + rounding[1]) >> shift;
        ((right << 8) | left).to_le_bytes()
    };
    let last = sums.len() - 1;
    pairs[0] = pair(sums[0], sums[0], sums[1.min(last)]);
    for (sums, out) in sums.windows(3).zip(&mut pairs[1..]) {
        *out = pair(sums[0], sums[1], sums[2]);
    }
    if last > 0 {
        pairs[last] = pair(sums[last - 1], sums[last], sums[last]);
    }
}

/// Converts a row of YCbCr to RGB.
fn to_rgb(luma: &[u8], blue: &[u8], red: &[u8], output: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        let done = unsafe { avx2::to_rgb(luma, blue, red, output) };
        return each_to_rgb(&luma[done..], &blue[done..], &red[done..], &mut output[3 * done..]);
    }
    each_to_rgb(luma, blue, red, output);
}

const SCALE_BITS: i32 = 16;

const fn fixed(value: f64) -> i32 {
    (value * (1 << SCALE_BITS) as f64 + 0.5) as i32
}

/// The scalar version of [`to_rgb`].
fn each_to_rgb(luma: &[u8], blue: &[u8], red: &[u8], output: &mut [u8]) {
    const HALF: i32 = 1 << (SCALE_BITS - 1);
    for (((pixel, &luma), &blue), &red) in output.chunks_exact_mut(3).zip(luma).zip(blue).zip(red) {
        let (luma, blue, red) = (i32::from(luma), i32::from(blue) - 128, i32::from(red) - 128);
        let added = [
            (fixed(1.402) * red + HALF) >> SCALE_BITS,
            (-fixed(0.34414) * blue - fixed(0.71414) * red + HALF) >> SCALE_BITS,
            (fixed(1.772) * blue + HALF) >> SCALE_BITS,
        ];
        pixel.iter_mut().zip(added).for_each(|(value, added)| *value = (luma + added).clamp(0, 255) as u8);
    }
}

/// The same with AVX2.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::fixed;
    use std::arch::x86_64::*;

    /// Pixels per iteration.
    const PIXELS: usize = 16;

    #[target_feature(enable = "avx2")]
    pub fn widen(near: &[u8], far: Option<&[u8]>, sums: &mut [i16], pairs: &mut [[u8; 2]]) {
        super::widened(near, far, sums, pairs);
    }

    /// Returns the number of converted pixels: all but a remainder.
    #[target_feature(enable = "avx2")]
    pub fn to_rgb(luma: &[u8], blue: &[u8], red: &[u8], output: &mut [u8]) -> usize {
        let components = luma.as_chunks().0.iter().zip(blue.as_chunks().0).zip(red.as_chunks().0);
        let mut done = 0;
        for (((luma, blue), red), pixels) in components.zip(output.as_chunks_mut().0) {
            interleave(rgb(luma, blue, red), pixels);
            done += PIXELS;
        }
        done
    }

    /// With 16-bit products: factors above 1/2 are split into a whole number and a remainder.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn rgb(luma: &[u8; PIXELS], blue: &[u8; PIXELS], red: &[u8; PIXELS]) -> [__m128i; 3] {
        let middle = _mm256_set1_epi16(128);
        let luma = widen_to_16(luma);
        let blue = _mm256_sub_epi16(widen_to_16(blue), middle);
        let red = _mm256_sub_epi16(widen_to_16(red), middle);
        let added_red = _mm256_add_epi16(red, scaled(red, fixed(1.402) - (1 << 16)));
        let added_blue =
            _mm256_add_epi16(_mm256_add_epi16(blue, blue), scaled(blue, fixed(1.772) - (2 << 16)));
        let factors = _mm256_set1_epi32(-fixed(0.34414) & 0xffff | ((1 << 16) - fixed(0.71414)) << 16);
        let half = _mm256_set1_epi32(1 << 15);
        let sum = |pairs| _mm256_srai_epi32::<16>(_mm256_add_epi32(_mm256_madd_epi16(pairs, factors), half));
        let (low, high) = (_mm256_unpacklo_epi16(blue, red), _mm256_unpackhi_epi16(blue, red));
        let added_green = _mm256_sub_epi16(_mm256_packs_epi32(sum(low), sum(high)), red);
        [added_red, added_green, added_blue].map(|added| {
            let values = _mm256_add_epi16(luma, added);
            _mm_packus_epi16(_mm256_castsi256_si128(values), _mm256_extracti128_si256::<1>(values))
        })
    }

    /// Multiplies by a factor with 16 fractional bits, rounded.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn scaled(values: __m256i, factor: i32) -> __m256i {
        let doubled = _mm256_mulhi_epi16(_mm256_add_epi16(values, values), _mm256_set1_epi16(factor as i16));
        _mm256_srai_epi16::<1>(_mm256_add_epi16(doubled, _mm256_set1_epi16(1)))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn widen_to_16(samples: &[u8; PIXELS]) -> __m256i {
        // SAFETY: `samples` has 16 bytes.
        _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(samples.as_ptr().cast()) })
    }

    /// Interleaves red, green and blue.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn interleave(channels: [__m128i; 3], pixels: &mut [u8; 3 * PIXELS]) {
        for (third, out) in pixels.chunks_exact_mut(PIXELS).enumerate() {
            let mut bytes = _mm_setzero_si128();
            for (values, shuffle) in channels.iter().zip(&SHUFFLES[third]) {
                // SAFETY: `shuffle` has 16 bytes.
                let shuffle = unsafe { _mm_loadu_si128(shuffle.as_ptr().cast()) };
                bytes = _mm_or_si128(bytes, _mm_shuffle_epi8(*values, shuffle));
            }
            // SAFETY: `out` has 16 bytes.
            unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), bytes) };
        }
    }

    /// For each third of the output and each channel: the index of each byte's value, -1 for other channels.
    const SHUFFLES: [[[i8; PIXELS]; 3]; 3] = {
        let mut shuffles = [[[-1; PIXELS]; 3]; 3];
        let mut byte = 0;
        while byte < 3 * PIXELS {
            shuffles[byte / PIXELS][byte % 3][byte % PIXELS] = (byte / 3) as i8;
            byte += 1;
        }
        shuffles
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalar_and_vector_code_agree() {
        let of = |factor: usize| (0..65_536 + 5).map(|i| ((i * factor) >> 8) as u8).collect::<Vec<u8>>();
        // All pairs of chroma values, with varying luma.
        let (luma, blue, red) = (of(77_003), of(1), of(256));
        let (mut vectors, mut scalars) = (vec![0; luma.len() * 3], vec![0; luma.len() * 3]);
        to_rgb(&luma, &blue, &red, &mut vectors);
        each_to_rgb(&luma, &blue, &red, &mut scalars);
        assert!(vectors == scalars);
    }
}
