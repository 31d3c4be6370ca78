//! From planes of samples to pixels: libjpeg's interpolation of colours (`jdsample`, "fancy") and its YCbCr (`jdcolor`).

use super::frame::Frame;
use super::scan::{Plane, Wanted};
use crate::data::image::RgbImage;
use std::ops::Range;

/// The pixels of a part of the picture.
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

/// A component of colour, row by row in the size of luma.
struct Chroma<'a> {
    plane: &'a Plane,
    /// Columns and rows of luma for one of it.
    scale: [usize; 2],
    /// Rows of the whole plane.
    height: usize,
    /// The columns that are needed, with those beside them.
    used: Range<usize>,
    /// The columns of luma among what the used ones become.
    wanted: Range<usize>,
    /// Sums over rows, and what becomes of them.
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

    /// The samples beside row `y` of luma.
    fn row(&mut self, y: usize) -> &[u8] {
        let [across, down] = self.scale;
        let near = self.plane.row(y / down, self.used.clone());
        if across == 1 {
            return near;
        }
        // A sample counts three times, its neighbour once; at the edge it is its own neighbour.
        let beside = match y % 2 {
            0 => (y / 2).saturating_sub(1),
            _ => (y / 2 + 1).min(self.height - 1),
        };
        let far = (down == 2).then(|| self.plane.row(beside, self.used.clone()));
        widen(near, far, &mut self.sums, &mut self.pairs);
        &self.pairs.as_flattened()[self.wanted.clone()]
    }
}

/// Doubles the columns of a row, and with a second row beside it goes a quarter of the way there.
fn widen(near: &[u8], far: Option<&[u8]>, sums: &mut [i16], pairs: &mut [[u8; 2]]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { avx2::widen(near, far, sums, pairs) };
        return;
    }
    widened(near, far, sums, pairs);
}

/// Compilers make vector code of it.
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

/// Left and right of each sum, a quarter of the way to its neighbour; the edges are their own neighbours.
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

/// A row of pixels from its three components.
fn to_rgb(luma: &[u8], blue: &[u8], red: &[u8], output: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        let done = unsafe { avx2::to_rgb(luma, blue, red, output) };
        return each_to_rgb(&luma[done..], &blue[done..], &red[done..], &mut output[3 * done..]);
    }
    each_to_rgb(luma, blue, red, output);
}

const BITS: i32 = 16;

const fn fixed(value: f64) -> i32 {
    (value * (1 << BITS) as f64 + 0.5) as i32
}

fn each_to_rgb(luma: &[u8], blue: &[u8], red: &[u8], output: &mut [u8]) {
    const HALF: i32 = 1 << (BITS - 1);
    for (((pixel, &luma), &blue), &red) in output.chunks_exact_mut(3).zip(luma).zip(blue).zip(red) {
        let (luma, blue, red) = (i32::from(luma), i32::from(blue) - 128, i32::from(red) - 128);
        let added = [
            (fixed(1.402) * red + HALF) >> BITS,
            (-fixed(0.34414) * blue - fixed(0.71414) * red + HALF) >> BITS,
            (fixed(1.772) * blue + HALF) >> BITS,
        ];
        pixel.iter_mut().zip(added).for_each(|(value, added)| *value = (luma + added).clamp(0, 255) as u8);
    }
}

/// The same with the instructions that nearly all x86 processors have.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::fixed;
    use std::arch::x86_64::*;

    /// Pixels at once.
    const PIXELS: usize = 16;

    #[target_feature(enable = "avx2")]
    pub fn widen(near: &[u8], far: Option<&[u8]>, sums: &mut [i16], pairs: &mut [[u8; 2]]) {
        super::widened(near, far, sums, pairs);
    }

    /// Returns how many pixels are done: all but a rest.
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

    /// In products of 16 bits: a factor above 1/2 is 1 or 2 less a smaller one.
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

    /// Times a factor of 16 bits behind the point, rounded.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn scaled(values: __m256i, factor: i32) -> __m256i {
        let doubled = _mm256_mulhi_epi16(_mm256_add_epi16(values, values), _mm256_set1_epi16(factor as i16));
        _mm256_srai_epi16::<1>(_mm256_add_epi16(doubled, _mm256_set1_epi16(1)))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn widen_to_16(samples: &[u8; PIXELS]) -> __m256i {
        // SAFETY: there are 16 bytes.
        _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(samples.as_ptr().cast()) })
    }

    /// Red, green and blue of each pixel side by side.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn interleave(channels: [__m128i; 3], pixels: &mut [u8; 3 * PIXELS]) {
        for (third, out) in pixels.chunks_exact_mut(PIXELS).enumerate() {
            let mut bytes = _mm_setzero_si128();
            for (values, places) in channels.iter().zip(&PLACES[third]) {
                // SAFETY: there are 16 bytes.
                let places = unsafe { _mm_loadu_si128(places.as_ptr().cast()) };
                bytes = _mm_or_si128(bytes, _mm_shuffle_epi8(*values, places));
            }
            // SAFETY: there is room for 16 bytes.
            unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), bytes) };
        }
    }

    /// For each third of 16 pixels and each channel: which of its values goes to which byte, -1 for none.
    const PLACES: [[[i8; PIXELS]; 3]; 3] = {
        let mut places = [[[-1; PIXELS]; 3]; 3];
        let mut byte = 0;
        while byte < 3 * PIXELS {
            places[byte / PIXELS][byte % 3][byte % PIXELS] = (byte / 3) as i8;
            byte += 1;
        }
        places
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_without_vectors_have_the_same_colours() {
        let of = |factor: usize| (0..65_536 + 5).map(|i| ((i * factor) >> 8) as u8).collect::<Vec<u8>>();
        // Every pair of colours, with some luma.
        let (luma, blue, red) = (of(77_003), of(1), of(256));
        let (mut vectors, mut scalars) = (vec![0; luma.len() * 3], vec![0; luma.len() * 3]);
        to_rgb(&luma, &blue, &red, &mut vectors);
        each_to_rgb(&luma, &blue, &red, &mut scalars);
        assert!(vectors == scalars);
    }
}
