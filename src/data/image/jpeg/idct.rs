//! The inverse DCT with libjpeg's arithmetic: `jidctint`, after Loeffler, Ligtenberg and Moschytz (1989), in
//! fixed point with 13 fractional bits.

use std::f64::consts::PI;

/// Samples per side of a block.
pub const BLOCK: usize = 8;

type Block = [i16; BLOCK * BLOCK];

const CONST_BITS: i32 = 13;
/// Fractional bits kept between the two passes.
const PASS1_BITS: i32 = 2;
/// The shifts after the columns (to `PASS1_BITS` fractional bits) and after the rows (to samples).
const SHIFTS: [i32; 2] = [CONST_BITS - PASS1_BITS, CONST_BITS + PASS1_BITS + 3];

const fn fixed(value: f64) -> i32 {
    (value * (1 << CONST_BITS) as f64 + 0.5) as i32
}

const F_0_298: i32 = fixed(0.298631336);
const F_0_390: i32 = fixed(0.390180644);
const F_0_541: i32 = fixed(0.541196100);
const F_0_765: i32 = fixed(0.765366865);
const F_0_899: i32 = fixed(0.899976223);
const F_1_175: i32 = fixed(1.175875602);
const F_1_501: i32 = fixed(1.501321110);
const F_1_847: i32 = fixed(1.847759065);
const F_1_961: i32 = fixed(1.961570560);
const F_2_053: i32 = fixed(2.053119869);
const F_2_562: i32 = fixed(2.562915447);
const F_3_072: i32 = fixed(3.072711026);

/// Factors of the inputs (2, 6), (1, 7), (3, 5) and of sums: each result is a sum of two products.
struct Factors;

impl Factors {
    const INNER: [i32; 2] = [F_0_541, F_0_541 - F_1_847];
    const OUTER: [i32; 2] = [F_0_541 + F_0_765, F_0_541];
    const ODD_37: [i32; 2] = [F_1_175 - F_1_961, F_1_175];
    const ODD_15: [i32; 2] = [F_1_175, F_1_175 - F_0_390];
    const FROM_17: [[i32; 2]; 2] = [[F_1_501 - F_0_899, -F_0_899], [-F_0_899, F_0_298 - F_0_899]];
    const FROM_35: [[i32; 2]; 2] = [[F_3_072 - F_2_562, -F_2_562], [-F_2_562, F_2_053 - F_2_562]];
}

/// Transforms rows of blocks, as many side by side as fit in `width` samples, into `side` × `side` samples
/// each: 8, or 4, 2 or 1 for a reduced image.
pub fn rows(blocks: &[Block], samples: &mut [u8], width: usize, side: usize) {
    match side {
        1 => reduced_rows::<1>(blocks, samples, width),
        2 => reduced_rows::<2>(blocks, samples, width),
        4 => reduced_rows::<4>(blocks, samples, width),
        _ => full_rows(blocks, samples, width),
    }
}

/// A reduced image from the low frequencies only: the inverse DCT with `SIDE` points.
fn reduced_rows<const SIDE: usize>(blocks: &[Block], samples: &mut [u8], width: usize) {
    let waves: [[f32; SIDE]; SIDE] = std::array::from_fn(|frequency| {
        std::array::from_fn(|x| {
            let angle = (2 * x + 1) as f64 * frequency as f64 * PI / (2 * SIDE) as f64;
            let norm = if frequency == 0 { 1.0 } else { 2.0_f64.sqrt() };
            (norm * angle.cos() / (BLOCK as f64).sqrt()) as f32
        })
    });
    let across = width / SIDE;
    for (i, block) in blocks.iter().enumerate() {
        let mut between = [[0.0; SIDE]; SIDE];
        for (row, coefficients) in between.iter_mut().zip(block.chunks_exact(BLOCK)) {
            for (wave, &coefficient) in waves.iter().zip(coefficients) {
                row.iter_mut().zip(wave).for_each(|(sum, wave)| *sum += f32::from(coefficient) * wave);
            }
        }
        let first = i / across * SIDE * width + i % across * SIDE;
        for y in 0..SIDE {
            let mut sums = [128.5; SIDE];
            for (wave, row) in waves.iter().zip(&between) {
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += wave[y] * value);
            }
            // The conversion clamps to [0, 255].
            let row = &mut samples[first + y * width..][..SIDE];
            row.iter_mut().zip(sums).for_each(|(sample, sum)| *sample = sum as u8);
        }
    }
}

/// The full-size image, with libjpeg's arithmetic.
fn full_rows(blocks: &[Block], samples: &mut [u8], width: usize) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { avx2::rows(blocks, samples, width) };
        return;
    }
    let across = width / BLOCK;
    for (i, block) in blocks.iter().enumerate() {
        let first = i / across * BLOCK * width + i % across * BLOCK;
        for (y, row) in transformed(block).iter().enumerate() {
            samples[first + y * width..][..BLOCK].copy_from_slice(row);
        }
    }
}

/// The inverse DCT of one block of libjpeg's, with the overflows of libjpeg-turbo's vector code: products and sums of the
/// inputs wrap, results saturate, and a block with nothing below its first row wraps there, too.
pub fn block(coefficients: &Block, quantization: &[u16; BLOCK * BLOCK]) -> [[u8; BLOCK]; BLOCK] {
    let values = std::array::from_fn(|i| coefficients[i].wrapping_mul(quantization[i] as i16));
    if coefficients[BLOCK..].iter().all(|&value| value == 0) {
        let row = std::array::from_fn(|x| values[x] << PASS1_BITS);
        return [samples(row); BLOCK];
    }
    transformed(&values)
}

/// The inverse DCT of one block.
fn transformed(block: &Block) -> [[u8; BLOCK]; BLOCK] {
    let mut between = [[0; BLOCK]; BLOCK];
    for x in 0..BLOCK {
        let column = one_pass(std::array::from_fn(|y| block[y * BLOCK + x]), SHIFTS[0]);
        (0..BLOCK).for_each(|y| between[y][x] = column[y]);
    }
    between.map(samples)
}

/// The samples of a row between the passes.
fn samples(row: [i16; BLOCK]) -> [u8; BLOCK] {
    one_pass(row, SHIFTS[1]).map(|value| (i32::from(value) + 128).clamp(0, 255) as u8)
}

/// The one-dimensional inverse DCT; sums of inputs wrap and results saturate, as in 16-bit vectors.
fn one_pass(x: [i16; BLOCK], shift: i32) -> [i16; BLOCK] {
    let of = |a: i16, b: i16, [of_a, of_b]: [i32; 2]| {
        (i32::from(a).wrapping_mul(of_a)).wrapping_add(i32::from(b).wrapping_mul(of_b))
    };
    let shifted = |value: i16| i32::from(value) << CONST_BITS;
    let (sum, difference) = (shifted(x[0].wrapping_add(x[4])), shifted(x[0].wrapping_sub(x[4])));
    let (inner, outer) = (of(x[2], x[6], Factors::INNER), of(x[2], x[6], Factors::OUTER));
    let even = [
        sum.wrapping_add(outer),
        difference.wrapping_add(inner),
        difference.wrapping_sub(inner),
        sum.wrapping_sub(outer),
    ];
    let (z37, z15) = (x[3].wrapping_add(x[7]), x[1].wrapping_add(x[5]));
    let (odd_37, odd_15) = (of(z37, z15, Factors::ODD_37), of(z37, z15, Factors::ODD_15));
    let odd = [
        of(x[1], x[7], Factors::FROM_17[0]).wrapping_add(odd_15),
        of(x[3], x[5], Factors::FROM_35[0]).wrapping_add(odd_37),
        of(x[3], x[5], Factors::FROM_35[1]).wrapping_add(odd_15),
        of(x[1], x[7], Factors::FROM_17[1]).wrapping_add(odd_37),
    ];
    let scaled = |value: i32| {
        let value = value.wrapping_add(1 << (shift - 1)) >> shift;
        value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
    };
    std::array::from_fn(|i| match i {
        0..4 => scaled(even[i].wrapping_add(odd[i])),
        _ => scaled(even[7 - i].wrapping_sub(odd[7 - i])),
    })
}

/// The same with AVX2, two blocks at once: one in each half of a register.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{BLOCK, Block, CONST_BITS, Factors, SHIFTS};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2")]
    pub fn rows(blocks: &[Block], samples: &mut [u8], width: usize) {
        let across = width / BLOCK;
        for (blocks, samples) in blocks.chunks_exact(across).zip(samples.chunks_exact_mut(BLOCK * width)) {
            for (i, pair) in blocks.chunks(2).enumerate() {
                let [first, second] = both(&pair[0], pair.get(1).unwrap_or(&pair[0]));
                for (y, row) in samples.chunks_exact_mut(width).enumerate() {
                    let row = &mut row[2 * i * BLOCK..];
                    row[..BLOCK].copy_from_slice(&first[y]);
                    if let Some(row) = row.get_mut(BLOCK..2 * BLOCK) {
                        row.copy_from_slice(&second[y]);
                    }
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn both(first: &Block, second: &Block) -> [[[u8; BLOCK]; BLOCK]; 2] {
        let mut rows = [_mm256_setzero_si256(); BLOCK];
        for (y, row) in rows.iter_mut().enumerate() {
            *row = _mm256_set_m128i(load(&second[y * BLOCK..]), load(&first[y * BLOCK..]));
        }
        let columns = transposed(one_pass::<{ SHIFTS[0] }>(rows));
        let rows = transposed(one_pass::<{ SHIFTS[1] }>(columns));
        let mut out = [[[0; BLOCK]; BLOCK]; 2];
        let [first, second] = &mut out;
        for y in (0..BLOCK).step_by(2) {
            let samples = _mm256_xor_si256(_mm256_packs_epi16(rows[y], rows[y + 1]), _mm256_set1_epi8(-128));
            store(first[y..].as_flattened_mut(), _mm256_castsi256_si128(samples));
            store(second[y..].as_flattened_mut(), _mm256_extracti128_si256::<1>(samples));
        }
        out
    }

    /// Two inputs interleaved, so that one instruction multiplies and adds each pair.
    struct Interleaved(__m256i, __m256i);

    impl Interleaved {
        #[inline]
        #[target_feature(enable = "avx2")]
        fn new(a: __m256i, b: __m256i) -> Self {
            Self(_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b))
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn times(&self, [of_a, of_b]: [i32; 2]) -> Wide {
            let factors = _mm256_set1_epi32(of_a & 0xffff | of_b << 16);
            Wide(_mm256_madd_epi16(self.0, factors), _mm256_madd_epi16(self.1, factors))
        }
    }

    /// Eight values of 32 bits.
    #[derive(Clone, Copy)]
    struct Wide(__m256i, __m256i);

    impl Wide {
        /// Values of 16 bits with as many fractional bits as the factors have.
        #[inline]
        #[target_feature(enable = "avx2")]
        fn shifted(values: __m256i) -> Self {
            let zero = _mm256_setzero_si256();
            let low = _mm256_srai_epi32::<{ 16 - CONST_BITS }>(_mm256_unpacklo_epi16(zero, values));
            let high = _mm256_srai_epi32::<{ 16 - CONST_BITS }>(_mm256_unpackhi_epi16(zero, values));
            Self(low, high)
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn plus(self, other: Self) -> Self {
            Self(_mm256_add_epi32(self.0, other.0), _mm256_add_epi32(self.1, other.1))
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn minus(self, other: Self) -> Self {
            Self(_mm256_sub_epi32(self.0, other.0), _mm256_sub_epi32(self.1, other.1))
        }

        /// Rounded to 16 bits.
        #[inline]
        #[target_feature(enable = "avx2")]
        fn scaled<const SHIFT: i32>(self) -> __m256i {
            let half = _mm256_set1_epi32(1 << (SHIFT - 1));
            let low = _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(self.0, half));
            let high = _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(self.1, half));
            _mm256_packs_epi32(low, high)
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn one_pass<const SHIFT: i32>(x: [__m256i; BLOCK]) -> [__m256i; BLOCK] {
        let x26 = Interleaved::new(x[2], x[6]);
        let (sum, difference) = (_mm256_add_epi16(x[0], x[4]), _mm256_sub_epi16(x[0], x[4]));
        let (sum, difference) = (Wide::shifted(sum), Wide::shifted(difference));
        let (inner, outer) = (x26.times(Factors::INNER), x26.times(Factors::OUTER));
        let even = [sum.plus(outer), difference.plus(inner), difference.minus(inner), sum.minus(outer)];
        let z = Interleaved::new(_mm256_add_epi16(x[3], x[7]), _mm256_add_epi16(x[1], x[5]));
        let (odd_37, odd_15) = (z.times(Factors::ODD_37), z.times(Factors::ODD_15));
        let (x17, x35) = (Interleaved::new(x[1], x[7]), Interleaved::new(x[3], x[5]));
        let odd = [
            x17.times(Factors::FROM_17[0]).plus(odd_15),
            x35.times(Factors::FROM_35[0]).plus(odd_37),
            x35.times(Factors::FROM_35[1]).plus(odd_15),
            x17.times(Factors::FROM_17[1]).plus(odd_37),
        ];
        let mut out = x;
        for i in 0..BLOCK / 2 {
            out[i] = even[i].plus(odd[i]).scaled::<SHIFT>();
            out[BLOCK - 1 - i] = even[i].minus(odd[i]).scaled::<SHIFT>();
        }
        out
    }

    /// Transposes the block in each half.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn transposed(mut rows: [__m256i; BLOCK]) -> [__m256i; BLOCK] {
        // Each step interleaves rows that are four apart; after three steps each row holds a column.
        for _ in 0..3 {
            let before = rows;
            for i in 0..BLOCK / 2 {
                rows[2 * i] = _mm256_unpacklo_epi16(before[i], before[i + 4]);
                rows[2 * i + 1] = _mm256_unpackhi_epi16(before[i], before[i + 4]);
            }
        }
        rows
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(values: &[i16]) -> __m128i {
        let values = &values[..BLOCK];
        // SAFETY: `values` has 16 bytes.
        unsafe { _mm_loadu_si128(values.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn store(samples: &mut [u8], values: __m128i) {
        let samples = &mut samples[..2 * BLOCK];
        // SAFETY: `samples` has 16 bytes.
        unsafe { _mm_storeu_si128(samples.as_mut_ptr().cast(), values) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Stream;

    #[test]
    fn scalar_and_vector_code_agree() {
        let mut stream = Stream::new(0, "blocks", 0, 0);
        let blocks: Vec<Block> = (0..21)
            .map(|i| {
                let mut block = [0; BLOCK * BLOCK];
                let mut draw = |range: u64| stream.below(range) as i16 - (range / 2) as i16;
                let large = if i % 2 == 0 { 8191 } else { 512 };
                block[0] = draw(2 * large);
                block.iter_mut().skip(1).take(3 * i).for_each(|value| *value = draw(large));
                block
            })
            .collect();
        let width = 7 * BLOCK;
        let mut samples = vec![0; blocks.len() * BLOCK * BLOCK];
        full_rows(&blocks, &mut samples, width);
        for (i, block) in blocks.iter().enumerate() {
            let first = i / 7 * BLOCK * width + i % 7 * BLOCK;
            for (y, row) in transformed(block).iter().enumerate() {
                assert_eq!(samples[first + y * width..][..BLOCK], *row, "block {i}, row {y}");
            }
        }
    }
}
