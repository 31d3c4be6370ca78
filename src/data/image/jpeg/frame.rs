//! The header of a JPEG file: the markers before the compressed data (ITU T.81, annex B).

use super::huffman::Table;
use super::idct::BLOCK;
use crate::data::image::rgb::bounded;

/// A baseline (sequential, Huffman-coded, 8-bit) image with one scan, in grey or YCbCr.
pub struct Frame {
    pub width: usize,
    pub height: usize,
    /// Grey, or luma and two chroma components.
    pub components: Vec<Component>,
    /// Luma columns and rows per chroma sample: [1, 1], [2, 1] or [2, 2].
    pub chroma: [usize; 2],
    /// MCUs (minimum coded units, groups of blocks) between restart markers; 0 without markers.
    pub restart: usize,
    /// Offset of the compressed data in the file.
    pub data: usize,
}

/// One component and its coding tables.
pub struct Component {
    /// Blocks per MCU, columns and rows.
    pub blocks: [usize; 2],
    /// In zigzag order.
    pub quantization: [u16; BLOCK * BLOCK],
    pub dc: Table,
    pub ac: Table,
}

/// A component as stated in the frame header.
struct Stated {
    id: u8,
    sampling: [usize; 2],
    quantization: usize,
}

impl Frame {
    /// `None` for JPEGs left to libjpeg: other variants and damaged files.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut tables = Tables::default();
        let (mut size, mut stated) = ((0, 0), Vec::new());
        let (mut restart, mut is_jfif, mut adobe) = (0, false, None);
        let mut at = 2;
        let scan = loop {
            let [0xff, marker] = *bytes.get(at..at + 2)? else { return None };
            let length = usize::from(u16::from_be_bytes(*bytes.get(at + 2..)?.first_chunk()?));
            let body = bytes.get(at + 4..at + 2 + length)?;
            at += 2 + length;
            match marker {
                0xc0 | 0xc1 if stated.is_empty() => (size, stated) = frame_header(body)?,
                0xc4 => tables.huffman(body)?,
                0xda => break body,
                0xdb => tables.quantization(body)?,
                0xdd => restart = usize::from(u16::from_be_bytes(body.try_into().ok()?)),
                // Pillow refuses some that are cut short.
                0xe0 if body.starts_with(b"JFIF") && body.len() < 14 => return None,
                0xe2 if body.starts_with(b"ICC_PROFILE\0") && body.len() < 14 => return None,
                0xe0 => is_jfif |= body.starts_with(b"JFIF\0"),
                0xee if body.starts_with(b"Adobe") => adobe = Some(*body.get(11)?),
                0xe1..=0xef | 0xfe => {}
                _ => return None,
            }
        };
        let components = tables.components(scan, &stated)?;
        let ids: Vec<u8> = stated.iter().map(|stated| stated.id).collect();
        let is_ycc = is_jfif || adobe == Some(1) || adobe.is_none() && ids == [1, 2, 3];
        let (width, height) = size;
        Self { width, height, components, chroma: [1; 2], restart, data: at }.with_chroma(is_ycc)
    }

    /// MCUs across and down.
    pub fn mcus(&self) -> [usize; 2] {
        let [across, down] = self.chroma;
        [self.width.div_ceil(BLOCK * across), self.height.div_ceil(BLOCK * down)]
    }

    /// Columns and rows of the chroma components of the image reduced by `shrink`.
    pub fn chroma_size(&self, shrink: usize) -> [usize; 2] {
        let [across, down] = self.chroma;
        [self.width.div_ceil(shrink).div_ceil(across), self.height.div_ceil(shrink).div_ceil(down)]
    }

    /// Sets the chroma subsampling; `None` if it is not one of the usual ones.
    fn with_chroma(mut self, is_ycc: bool) -> Option<Self> {
        bounded(self.width, self.height).ok()?;
        match self.components.as_mut_slice() {
            // With one component, an MCU is one block.
            [gray] if gray.blocks.iter().all(|count| (1..=4).contains(count)) => gray.blocks = [1; 2],
            [luma, blue, red] => {
                self.chroma = luma.blocks;
                let known = matches!(luma.blocks, [1, 1] | [2, 1] | [2, 2]);
                // libjpeg does not interpolate chroma this narrow.
                let is_narrow = self.chroma[0] == 2 && self.width <= 4;
                if !is_ycc || !known || is_narrow || blue.blocks != [1; 2] || red.blocks != [1; 2] {
                    return None;
                }
            }
            _ => return None,
        }
        Some(self)
    }
}

/// Width, height and components.
fn frame_header(body: &[u8]) -> Option<((usize, usize), Vec<Stated>)> {
    let [8, h1, h0, w1, w0, count, components @ ..] = body else { return None };
    let size = [[*w1, *w0], [*h1, *h0]].map(|side| usize::from(u16::from_be_bytes(side)));
    let (components, rest) = components.as_chunks::<3>();
    if components.len() != usize::from(*count) || !rest.is_empty() {
        return None;
    }
    let stated = |&[id, sampling, quantization]: &[u8; 3]| Stated {
        id,
        sampling: [usize::from(sampling >> 4), usize::from(sampling & 15)],
        quantization: usize::from(quantization),
    };
    Some(((size[0], size[1]), components.iter().map(stated).collect()))
}

/// The coding tables; a later table replaces an earlier one of the same number.
#[derive(Default)]
struct Tables {
    quantization: [Option<[u16; BLOCK * BLOCK]>; 4],
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
}

impl Tables {
    fn quantization(&mut self, mut body: &[u8]) -> Option<()> {
        // Only 8-bit tables: the precision of 16-bit ones, in the high nibble, makes `number` out of range.
        while let [number, rest @ ..] = body {
            let (values, rest) = rest.split_first_chunk::<{ BLOCK * BLOCK }>()?;
            *self.quantization.get_mut(usize::from(*number))? = Some(values.map(u16::from));
            body = rest;
        }
        Some(())
    }

    fn huffman(&mut self, mut body: &[u8]) -> Option<()> {
        while let [kind, rest @ ..] = body {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let symbols = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(symbols)?;
            let tables = match kind >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return None,
            };
            *tables.get_mut(usize::from(kind & 15))? = Some(Table::new(counts, symbols)?);
            body = rest;
        }
        Some(())
    }

    /// The components from the header of a scan; it must have all of them, with all coefficients.
    fn components(&self, scan: &[u8], stated: &[Stated]) -> Option<Vec<Component>> {
        let [count, selectors @ .., 0, 63, 0] = scan else { return None };
        let (selectors, rest) = selectors.as_chunks::<2>();
        if usize::from(*count) != stated.len() || selectors.len() != stated.len() || !rest.is_empty() {
            return None;
        }
        let component = |(stated, &[id, codes]): (&Stated, &[u8; 2])| {
            let table = |tables: &[Option<Table>; 4], number: u8| tables.get(usize::from(number))?.clone();
            (id == stated.id).then_some(Component {
                blocks: stated.sampling,
                quantization: (*self.quantization.get(stated.quantization)?)?,
                dc: table(&self.dc, codes >> 4).filter(Table::has_sizes_alone)?,
                ac: table(&self.ac, codes & 15)?,
            })
        };
        stated.iter().zip(selectors).map(component).collect()
    }
}
