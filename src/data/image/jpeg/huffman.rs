//! Huffman codes of JPEG (ITU T.81, annexes C and F.2).

use super::idct::BLOCK;
use std::sync::Arc;

/// Bits that are looked up at once; longer codes are rare.
const LOOKED_UP: u32 = 10;
/// Bits of the longest code.
const LONGEST: u32 = 16;
/// Bits of the largest coefficient.
const LARGEST: u8 = 15;
/// What an end of block skips: more than there is.
const END: u8 = 128;
/// Zeros behind the data, so that whole words can be read.
pub const PADDING: usize = 16;

/// Where the coefficients of a block belong, in the order of the file, row after row.
const ZIGZAG: [u8; BLOCK * BLOCK] = zigzag();

const fn zigzag() -> [u8; BLOCK * BLOCK] {
    let mut order = [0; BLOCK * BLOCK];
    let (mut x, mut y, mut i) = (0, 0, 0);
    while i < order.len() {
        order[i] = (y * BLOCK + x) as u8;
        // Up to the right on even diagonals, down to the left on odd ones.
        (x, y) = match (x + y) % 2 == 0 {
            true if x == BLOCK - 1 => (x, y + 1),
            true if y == 0 => (x + 1, y),
            true => (x + 1, y - 1),
            false if y == BLOCK - 1 => (x + 1, y),
            false if x == 0 => (x, y + 1),
            false => (x - 1, y + 1),
        };
        i += 1;
    }
    order
}

/// A symbol of the code: so many zeros, then a coefficient of so many bits.
#[derive(Clone, Copy, Default)]
struct Symbol {
    /// Bits of the code; 0 where there is none.
    code: u8,
    /// Bits of the code and of the coefficient.
    bits: u8,
    /// Bits of the coefficient.
    size: u8,
    zeros: u8,
}

/// A Huffman code.
#[derive(Clone)]
pub struct Table(Arc<Codes>);

struct Codes {
    /// By the next bits; empty for the beginnings of longer codes.
    short: [Symbol; 1 << LOOKED_UP],
    /// The longer codes' symbols, the first of each length, and its code with zeros behind up to the longest.
    long: Vec<(u32, Symbol)>,
}

impl Table {
    /// From the number of codes of each length, and their symbols. `None` if they are no code.
    pub fn new(counts: &[u8; LONGEST as usize], symbols: &[u8]) -> Option<Self> {
        let mut codes = Codes { short: [Symbol::default(); 1 << LOOKED_UP], long: Vec::new() };
        let (mut next, mut symbols) = (0, symbols.iter());
        for (length, &count) in (1..=LONGEST).zip(counts) {
            for symbol in symbols.by_ref().take(usize::from(count)) {
                let (zeros, size) = (symbol >> 4, symbol & LARGEST);
                let zeros = if size == 0 && zeros < 15 { END } else { zeros };
                let symbol = Symbol { code: length as u8, bits: length as u8 + size, size, zeros };
                let width = 1 << (LONGEST - length);
                if next + width > 1 << LONGEST {
                    return None;
                }
                match LOOKED_UP.checked_sub(length) {
                    Some(_) => {
                        let from = (next >> (LONGEST - LOOKED_UP)) as usize;
                        codes.short[from..from + (width >> (LONGEST - LOOKED_UP)) as usize].fill(symbol);
                    }
                    None => codes.long.push((next, symbol)),
                }
                next += width;
            }
        }
        // What is left of the codes is none.
        codes.long.push((next, Symbol::default()));
        Some(Self(Arc::new(codes)))
    }

    /// The symbol of the code that the 64 bits begin with.
    #[inline(always)]
    fn symbol(&self, bits: u64) -> Option<Symbol> {
        let symbol = self.0.short[(bits >> (64 - LOOKED_UP)) as usize];
        if symbol.code > 0 { Some(symbol) } else { self.long_symbol((bits >> (64 - LONGEST)) as u32) }
    }

    #[cold]
    fn long_symbol(&self, bits: u32) -> Option<Symbol> {
        let place = self.0.long.partition_point(|(first, _)| *first <= bits);
        self.0.long.get(place.checked_sub(1)?).map(|(_, symbol)| *symbol).filter(|symbol| symbol.code > 0)
    }
}

/// Compressed data without markers and without what guards bytes that look like them, [`PADDING`] zeros behind it.
#[derive(Clone, Copy)]
pub struct Bits<'a> {
    data: &'a [u8],
    /// Bytes that are in `bits` or have been.
    read: usize,
    /// The next bits, the first on top.
    bits: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, read: 0, bits: 0, count: 0 }
    }

    /// Whether not more was taken than there is.
    pub fn is_sound(&self) -> bool {
        8 * self.read - self.count as usize <= 8 * self.data.len().saturating_sub(PADDING)
    }

    /// Makes at least 56 bits ready.
    #[inline(always)]
    fn refill(&mut self) -> Option<()> {
        let next = self.data.get(self.read..self.read + 8)?;
        self.bits |= u64::from_be_bytes(next.try_into().ok()?) >> self.count;
        self.read += ((63 - self.count) / 8) as usize;
        self.count |= 56;
        Some(())
    }

    /// A symbol and the coefficient behind it.
    #[inline(always)]
    fn symbol(&mut self, table: &Table) -> Option<(usize, i32)> {
        let symbol = table.symbol(self.bits)?;
        let size = u32::from(symbol.size);
        // Without a coefficient there is nothing left of the bits.
        let value = ((self.bits << symbol.code) >> 1 >> (63 - size)) as i32;
        // The lower half of the values of a size are the negative ones.
        let negative = (value >> size.saturating_sub(1)) - 1;
        let value = value + (negative & (1 - (1 << size)));
        self.bits <<= symbol.bits;
        self.count -= u32::from(symbol.bits);
        Some((usize::from(symbol.zeros), value))
    }

    /// The next block, whose first coefficient differs from `dc` of the block before: coefficients times quantization into
    /// `block`, which is all zeros. `None` for damage.
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
        block[0] = dc.wrapping_mul(i32::from(quantization[0])) as i16;
        self.coefficients(ac_code, |i, value| {
            block[usize::from(ZIGZAG[i])] = (value * i32::from(quantization[i])) as i16;
        })
    }

    /// Passes over a block.
    #[inline(always)]
    pub fn pass(&mut self, (dc_code, ac_code): (&Table, &Table), dc: &mut i32) -> Option<()> {
        self.refill()?;
        let (_, difference) = self.symbol(dc_code)?;
        *dc = dc.wrapping_add(difference);
        self.coefficients(ac_code, |_, _| {})
    }

    /// The coefficients of a block behind the first, each at its place in the file's order.
    #[inline(always)]
    fn coefficients(&mut self, code: &Table, mut each: impl FnMut(usize, i32)) -> Option<()> {
        // A copy, which stays in registers.
        let mut bits = *self;
        let mut place = 1;
        'block: loop {
            bits.refill()?;
            // A symbol and its coefficient have at most 31 bits, and nearly always so few that the next is there too.
            for _ in 0..2 {
                let (zeros, value) = bits.symbol(code)?;
                place += zeros;
                if place >= BLOCK * BLOCK {
                    if zeros != usize::from(END) {
                        return None;
                    }
                    break 'block;
                }
                each(place, value);
                place += 1;
                if place == BLOCK * BLOCK {
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
