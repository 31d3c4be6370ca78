//! JPEG's Huffman codes (ITU T.81, annexes C and F.2).

use super::idct::BLOCK;
use std::sync::Arc;

/// Bits of the lookup table; longer codes are rare.
const LOOKUP_BITS: u32 = 10;
/// Length of the longest code.
const MAX_CODE_BITS: u32 = 16;
/// The low nibble of a symbol: the number of bits of its coefficient.
const SIZE_MASK: u8 = 15;
/// The zeros that an end-of-block symbol skips: more than a block has.
const END_OF_BLOCK: u8 = 128;
/// Coefficients up to this one overflow nowhere; sound files have none above.
const LARGEST: i32 = 8191;
/// Zero bytes after the data, so that whole words can be read.
pub const PADDING: usize = 16;

/// The row-major index of each coefficient in zigzag order.
const ZIGZAG: [u8; BLOCK * BLOCK] = zigzag();

const fn zigzag() -> [u8; BLOCK * BLOCK] {
    let mut order = [0; BLOCK * BLOCK];
    let (mut x, mut y, mut i) = (0, 0, 0);
    while i < order.len() {
        order[i] = (y * BLOCK + x) as u8;
        // Up to the right on even diagonals, down to the left on odd ones.
        (x, y) = if (x + y) % 2 == 0 {
            if x == BLOCK - 1 {
                (x, y + 1)
            } else if y == 0 {
                (x + 1, y)
            } else {
                (x + 1, y - 1)
            }
        } else if y == BLOCK - 1 {
            (x + 1, y)
        } else if x == 0 {
            (x, y + 1)
        } else {
            (x - 1, y + 1)
        };
        i += 1;
    }
    order
}

/// A symbol of the code: a run of zeros, then the size of a coefficient.
#[derive(Clone, Copy, Default)]
struct Symbol {
    /// Bits of the code; 0 if there is no such code.
    code: u8,
    /// Bits of the code and the coefficient together.
    bits: u8,
    /// Bits of the coefficient.
    size: u8,
    zeros: u8,
}

/// A Huffman code.
#[derive(Clone)]
pub struct Table(Arc<Codes>);

struct Codes {
    /// Indexed by the next bits; the default symbol for prefixes of longer codes.
    short: [Symbol; 1 << LOOKUP_BITS],
    /// The longer codes, zero-padded to the maximum length, ascending, with their symbols.
    long: Vec<(u32, Symbol)>,
    has_sizes_alone: bool,
}

impl Table {
    /// From the number of codes of each length, and their symbols. `None` if they do not form a prefix code, or one has only
    /// ones, which JPEG forbids.
    pub fn new(counts: &[u8; MAX_CODE_BITS as usize], symbols: &[u8]) -> Option<Self> {
        let mut codes = Codes {
            short: [Symbol::default(); 1 << LOOKUP_BITS],
            long: Vec::new(),
            has_sizes_alone: symbols.iter().all(|&symbol| symbol <= SIZE_MASK),
        };
        let (mut next, mut symbols) = (0, symbols.iter());
        for (length, &count) in (1..=MAX_CODE_BITS).zip(counts) {
            for symbol in symbols.by_ref().take(usize::from(count)) {
                let (zeros, size) = (symbol >> 4, symbol & SIZE_MASK);
                let zeros = if size == 0 && zeros < 15 { END_OF_BLOCK } else { zeros };
                let symbol = Symbol { code: length as u8, bits: length as u8 + size, size, zeros };
                let width = 1 << (MAX_CODE_BITS - length);
                if next + width >= 1 << MAX_CODE_BITS {
                    return None;
                }
                match LOOKUP_BITS.checked_sub(length) {
                    Some(_) => {
                        let from = (next >> (MAX_CODE_BITS - LOOKUP_BITS)) as usize;
                        codes.short[from..from + (width >> (MAX_CODE_BITS - LOOKUP_BITS)) as usize]
                            .fill(symbol);
                    }
                    None => codes.long.push((next, symbol)),
                }
                next += width;
            }
        }
        // The remaining bit patterns are not codes.
        codes.long.push((next, Symbol::default()));
        Some(Self(Arc::new(codes)))
    }

    /// Whether its symbols are sizes of coefficients alone, as those of first coefficients must be.
    pub fn has_sizes_alone(&self) -> bool {
        self.0.has_sizes_alone
    }

    /// The symbol of the code at the start of the 64 bits.
    #[inline(always)]
    fn symbol(&self, bits: u64) -> Option<Symbol> {
        let symbol = self.0.short[(bits >> (64 - LOOKUP_BITS)) as usize];
        if symbol.code > 0 { Some(symbol) } else { self.long_symbol((bits >> (64 - MAX_CODE_BITS)) as u32) }
    }

    #[cold]
    fn long_symbol(&self, bits: u32) -> Option<Symbol> {
        let next = self.0.long.partition_point(|(first, _)| *first <= bits);
        self.0.long.get(next.checked_sub(1)?).map(|(_, symbol)| *symbol).filter(|symbol| symbol.code > 0)
    }
}

/// A bit reader over compressed data without markers and stuffed bytes, followed by [`PADDING`] zeros.
#[derive(Clone, Copy)]
pub struct Bits<'a> {
    data: &'a [u8],
    /// Bytes read into `bits` so far.
    read: usize,
    /// The next bits, the first one most significant.
    bits: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, read: 0, bits: 0, count: 0 }
    }

    /// Whether no bits past the end were taken.
    pub fn is_valid(&self) -> bool {
        8 * self.read - self.count as usize <= 8 * self.data.len().saturating_sub(PADDING)
    }

    /// Ensures that at least 56 bits are buffered.
    #[inline(always)]
    fn refill(&mut self) -> Option<()> {
        let next = self.data.get(self.read..self.read + 8)?;
        self.bits |= u64::from_be_bytes(next.try_into().ok()?) >> self.count;
        self.read += ((63 - self.count) / 8) as usize;
        self.count |= 56;
        Some(())
    }

    /// A symbol's run of zeros and the coefficient after it.
    #[inline(always)]
    fn symbol(&mut self, table: &Table) -> Option<(usize, i32)> {
        let symbol = table.symbol(self.bits)?;
        let size = u32::from(symbol.size);
        // Shifts everything out if the size is 0.
        let value = ((self.bits << symbol.code) >> 1 >> (63 - size)) as i32;
        // The lower half of the values of each size are negative.
        let negative = (value >> size.saturating_sub(1)) - 1;
        let value = value + (negative & (1 - (1 << size)));
        self.bits <<= symbol.bits;
        self.count -= u32::from(symbol.bits);
        Some((usize::from(symbol.zeros), value))
    }

    /// Decodes the next block and dequantizes its coefficients into `block`, which must be all zeros. The
    /// first coefficient is coded as the difference from `dc`, that of the previous block. `None` if the data
    /// is damaged, or a coefficient so large that libjpeg's vector code overflows.
    #[inline(always)]
    pub fn block(
        &mut self,
        (dc_code, ac_code): (&Table, &Table),
        quantization: &[u16; BLOCK * BLOCK],
        dc: &mut i32,
        block: &mut [i16; BLOCK * BLOCK],
    ) -> Option<()> {
        self.refill()?;
        let (_, difference) = self.symbol(dc_code)?;
        *dc = dc.wrapping_add(difference);
        let mut fits = true;
        let mut dequantized = |i: usize, value: i32| {
            let product = value.wrapping_mul(i32::from(quantization[i]));
            fits &= (-LARGEST..=LARGEST).contains(&product);
            product as i16
        };
        block[0] = dequantized(0, *dc);
        self.coefficients(ac_code, |i, value| block[usize::from(ZIGZAG[i])] = dequantized(i, value))?;
        fits.then_some(())
    }

    /// Skips a block.
    #[inline(always)]
    pub fn skip(&mut self, (dc_code, ac_code): (&Table, &Table), dc: &mut i32) -> Option<()> {
        self.refill()?;
        let (_, difference) = self.symbol(dc_code)?;
        *dc = dc.wrapping_add(difference);
        self.coefficients(ac_code, |_, _| {})
    }

    /// Decodes the coefficients of a block after the first; `each` receives the zigzag index and the value.
    #[inline(always)]
    fn coefficients(&mut self, code: &Table, mut each: impl FnMut(usize, i32)) -> Option<()> {
        // A copy, which stays in registers.
        let mut bits = *self;
        let mut i = 1;
        'block: loop {
            bits.refill()?;
            // A symbol and its coefficient have at most 31 bits; usually a second pair is buffered, too.
            for _ in 0..2 {
                let (zeros, value) = bits.symbol(code)?;
                i += zeros;
                if i >= BLOCK * BLOCK {
                    if zeros != usize::from(END_OF_BLOCK) {
                        return None;
                    }
                    break 'block;
                }
                each(i, value);
                i += 1;
                if i == BLOCK * BLOCK {
                    break 'block;
                }
                if bits.count < 31 {
                    break;
                }
            }
        }
        *self = bits;
        Some(())
    }
}
