//! The inner loops of resizing: fixed-point weighted sums of pixels along rows and columns.

use super::RgbImage;
use std::ops::Range;

/// Fractional bits of a weight; the rest of the 32 bits is for the pixel (8) and overshoot (2).
const PRECISION: u32 = 32 - 8 - 2;
const HALF: i32 = 1 << (PRECISION - 1);

/// For each output along one axis, the span of its inputs and their weights.
#[derive(Default)]
pub struct Kernels {
    spans: Vec<Span>,
    /// The weights of all outputs, concatenated.
    weights: Vec<i32>,
}

/// The inputs of one output.
#[derive(Clone, Copy)]
struct Span {
    first: usize,
    count: usize,
    /// Index of its first weight.
    weights: usize,
}

impl Kernels {
    /// Adds an output whose inputs start at `first`; the weights are normalised to a sum of 1.
    pub fn push(&mut self, first: usize, weights: &[f64]) {
        let sum: f64 = weights.iter().sum();
        let norm = if sum == 0.0 { 1.0 } else { sum };
        // Rounds half away from zero.
        let fixed = |weight: &f64| (weight / norm * f64::from(1 << PRECISION)).round() as i32;
        // Zero weights at both ends are dropped.
        let zeros = weights.iter().take_while(|weight| fixed(weight) == 0).count();
        let start = self.weights.len();
        self.weights.extend(weights[zeros..].iter().map(fixed));
        while self.weights.len() > start && self.weights.last() == Some(&0) {
            self.weights.pop();
        }
        self.spans.push(Span { first: first + zeros, count: self.weights.len() - start, weights: start });
    }

    pub fn outputs(&self) -> usize {
        self.spans.len()
    }

    /// The range of inputs that contribute to any output.
    pub fn inputs(&self) -> Range<usize> {
        let first = self.spans.iter().map(|span| span.first).min().unwrap_or(0);
        first..self.spans.iter().map(|span| span.first + span.count).max().unwrap_or(first)
    }

    /// The first input and the weights of each output.
    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.spans.iter().map(|span| (span.first, &self.weights[span.weights..][..span.count]))
    }

    /// Resizes the given rows horizontally.
    pub fn along_rows(&self, image: &RgbImage, rows: Range<usize>) -> RgbImage {
        let (width, height) = (self.spans.len(), rows.len());
        let mut pixels = vec![0; width * height * 3];
        let row = image.width * 3;
        let input = &image.pixels[rows.start * row..rows.end * row];
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            unsafe { avx2::along_rows(self, input, row, &mut pixels) };
            return RgbImage { width, height, pixels };
        }
        for (input, output) in input.chunks_exact(row).zip(pixels.chunks_exact_mut(width * 3)) {
            self.along_row(input, output);
        }
        RgbImage { width, height, pixels }
    }

    fn along_row(&self, input: &[u8], output: &mut [u8]) {
        for ((first, weights), pixel) in self.iter().zip(output.chunks_exact_mut(3)) {
            let mut sums = [HALF; 3];
            for (input, weight) in input[first * 3..].chunks_exact(3).zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(input) {
                    *sum += i32::from(value) * weight;
                }
            }
            pixel.iter_mut().zip(sums).for_each(|(value, sum)| *value = rounded(sum));
        }
    }

    /// Resizes all columns vertically; the first row of `image` is input `above`.
    pub fn along_columns(&self, image: &RgbImage, above: usize) -> RgbImage {
        let (width, height) = (image.width, self.spans.len());
        let mut pixels = vec![0; width * height * 3];
        let mut each = |column: fn(&[u8], usize, &[i32], &mut [u8])| {
            for ((first, weights), output) in self.iter().zip(pixels.chunks_exact_mut(width * 3)) {
                column(&image.pixels[(first - above) * width * 3..], width * 3, weights, output);
            }
        };
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            each(|input, row, weights, output| unsafe { avx2::sum_of_rows(input, row, weights, output) });
            return RgbImage { width, height, pixels };
        }
        each(sum_of_rows);
        RgbImage { width, height, pixels }
    }
}

/// The weighted sum of rows of `row` bytes, written so that the compiler vectorises it.
#[inline(always)]
fn sum_of_rows(input: &[u8], row: usize, weights: &[i32], output: &mut [u8]) {
    const LANES: usize = 32;
    let mut at = 0;
    let mut blocks = output.chunks_exact_mut(LANES);
    for block in &mut blocks {
        let mut sums = [HALF; LANES];
        for (i, weight) in weights.iter().enumerate() {
            let values = &input[i * row + at..][..LANES];
            for (sum, &value) in sums.iter_mut().zip(values) {
                *sum += i32::from(value) * weight;
            }
        }
        for (value, sum) in block.iter_mut().zip(sums) {
            *value = rounded(sum);
        }
        at += LANES;
    }
    for (value, at) in blocks.into_remainder().iter_mut().zip(at..) {
        let products = weights.iter().enumerate().map(|(i, weight)| i32::from(input[i * row + at]) * weight);
        *value = rounded(HALF + products.sum::<i32>());
    }
}

#[inline(always)]
fn rounded(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// The same sums with AVX2.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{HALF, Kernels, PRECISION};
    use std::arch::x86_64::*;
    use std::ops::Range;

    /// Pixels weighted by one instruction.
    const PIXELS: usize = 4;
    /// Bytes loaded for them: 12 and 4 unused.
    const READ: usize = 16;
    /// Rows processed together, so that weights are loaded once.
    const ROWS: usize = 4;
    /// Weights are split for 16-bit products: `(high << LOW_BITS) + low`.
    const LOW_BITS: i32 = 12;

    #[target_feature(enable = "avx2")]
    pub fn sum_of_rows(input: &[u8], row: usize, weights: &[i32], output: &mut [u8]) {
        super::sum_of_rows(input, row, weights, output);
    }

    #[target_feature(enable = "avx2")]
    pub fn along_rows(kernels: &Kernels, input: &[u8], row: usize, output: &mut [u8]) {
        let mut taps = Vec::new();
        let spans = kernels.iter().map(|(first, weights)| {
            let start = taps.len();
            taps.extend(weights.chunks(PIXELS).map(|weights| Taps::new(weights)));
            (first, start..taps.len())
        });
        let spans: Vec<(usize, Range<usize>)> = spans.collect();
        let widest = spans.iter().map(|(_, taps)| taps.len()).max().unwrap_or(0);
        let new_row = kernels.spans.len() * 3;
        // The last rows are copied, so that loads past their end stay in bounds.
        let mut last = Vec::new();
        for (block, output) in output.chunks_mut(new_row * ROWS).enumerate() {
            let start = block * ROWS * row;
            let needed = ROWS * row + widest * PIXELS * 3 + READ;
            let rows = match input.get(start..start + needed) {
                Some(rows) => rows,
                None => {
                    last.clear();
                    last.extend_from_slice(&input[start..input.len().min(start + needed)]);
                    last.resize(needed, 0);
                    &last
                }
            };
            for (x, (first, used)) in spans.iter().enumerate() {
                let starts: [usize; ROWS] = std::array::from_fn(|y| y * row + first * 3);
                let pixels = weigh(rows, starts, &taps[used.clone()]);
                for (output, pixel) in output[x * 3..].chunks_mut(new_row).zip(pixels) {
                    output[..3].copy_from_slice(&pixel[..3]);
                }
            }
        }
    }

    /// The weights of four pixels: the first two in the lower half of the register, the last two in the
    /// upper, with one pair per channel.
    #[derive(Clone, Copy)]
    struct Taps {
        high: __m256i,
        low: __m256i,
    }

    impl Taps {
        #[target_feature(enable = "avx2")]
        fn new(weights: &[i32]) -> Self {
            let pair = |i: usize, part: fn(i32) -> i32| {
                let of = |i: usize| weights.get(i).map_or(0, |&weight| part(weight)) & 0xffff;
                of(i) | of(i + 1) << 16
            };
            let spread = |part| {
                let (first, last) = (_mm_set1_epi32(pair(0, part)), _mm_set1_epi32(pair(2, part)));
                _mm256_set_m128i(last, first)
            };
            Self {
                high: spread(|weight| weight >> LOW_BITS),
                low: spread(|weight| weight & ((1 << LOW_BITS) - 1)),
            }
        }
    }

    /// One output pixel of each row, padded by one byte.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn weigh(input: &[u8], starts: [usize; ROWS], taps: &[Taps]) -> [[u8; 4]; ROWS] {
        // The reds, greens and blues of two pixels, as 16 bits.
        let pairs = _mm256_setr_epi8(
            0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, //
            6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1,
        );
        let zero = _mm256_setzero_si256();
        let (mut high, mut low) = ([zero; ROWS], [zero; ROWS]);
        let mut offset = 0;
        for taps in taps {
            for y in 0..ROWS {
                let bytes = load(input, starts[y] + offset);
                let values = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), pairs);
                high[y] = _mm256_add_epi32(high[y], _mm256_madd_epi16(values, taps.high));
                low[y] = _mm256_add_epi32(low[y], _mm256_madd_epi16(values, taps.low));
            }
            offset += PIXELS * 3;
        }
        let mut sums = [_mm_setzero_si128(); ROWS];
        for y in 0..ROWS {
            let both = _mm256_add_epi32(_mm256_slli_epi32::<LOW_BITS>(high[y]), low[y]);
            let sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256::<1>(both));
            sums[y] = _mm_srai_epi32::<{ PRECISION as i32 }>(_mm_add_epi32(sum, _mm_set1_epi32(HALF)));
        }
        let packed = _mm_packus_epi16(_mm_packs_epi32(sums[0], sums[1]), _mm_packs_epi32(sums[2], sums[3]));
        let mut pixels = [[0; 4]; ROWS];
        // SAFETY: both are 16 bytes.
        unsafe { _mm_storeu_si128(pixels.as_mut_ptr().cast(), packed) };
        pixels
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(bytes: &[u8], at: usize) -> __m128i {
        let bytes: &[u8] = &bytes[at..at + READ];
        // SAFETY: `bytes` has 16 bytes.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalar_and_vector_code_agree() {
        let (width, height) = (53, 7);
        let pixels: Vec<u8> = (0..width * height * 3).map(|i| (i * i * 37 / 8) as u8).collect();
        let image = RgbImage { width, height, pixels };
        let mut kernels = Kernels::default();
        for first in 0..40 {
            // One negative weight in a few: the sum by which they are divided stays far from 0.
            let weights: Vec<f64> = (0..first % 13 + 1).map(|i| 2.0 - (first * i % 7) as f64 / 2.5).collect();
            kernels.push(first, &weights);
        }
        let vectors = kernels.along_rows(&image, 0..height);
        let mut row = vec![0; 40 * 3];
        for y in 0..height {
            kernels.along_row(&image.pixels[y * width * 3..][..width * 3], &mut row);
            assert_eq!(row, vectors.pixels[y * 40 * 3..][..40 * 3], "row {y}");
        }
    }
}
