//! The head of a JPEG file: its markers up to the compressed data (ITU T.81, annex B).

use super::huffman::Table;
use crate::data::image::bounded;

/// Samples a side of a block.
pub const BLOCK: usize = 8;

/// A picture of 8 bits in gray or YCbCr whose one scan is Huffman-coded from top to bottom.
pub struct Frame {
    pub width: usize,
    pub height: usize,
    /// Gray alone, or luma and two colours.
    pub components: Vec<Component>,
    /// Columns and rows of luma for one of colour: 1 or 2, and rows 2 only if columns are.
    pub chroma: [usize; 2],
    /// Block groups between restart markers; 0 without any.
    pub restart: usize,
    /// Where the compressed data begins in the file.
    pub data: usize,
}

/// One component and how it is coded.
pub struct Component {
    /// Blocks in a group, columns and rows.
    pub blocks: [usize; 2],
    /// In the order of the file.
    pub quantization: [u16; BLOCK * BLOCK],
    pub dc: Table,
    pub ac: Table,
}

/// A component as the frame's marker states it.
struct Stated {
    id: u8,
    sampling: [usize; 2],
    quantization: usize,
}

impl Frame {
    /// `None` for what libjpeg should see: other kinds of JPEG, and damage.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut quantization = [None; 4];
        let (mut dc, mut ac) = ([None, None, None, None], [None, None, None, None]);
        let (mut size, mut stated) = ((0, 0), Vec::new());
        let (mut restart, mut is_jfif, mut adobe) = (0, false, None);
        let mut at = 2;
        loop {
            let [0xff, marker] = *bytes.get(at..at + 2)? else { return None };
            let length = usize::from(u16::from_be_bytes(*bytes.get(at + 2..)?.first_chunk()?));
            let body = bytes.get(at + 4..at + 2 + length)?;
            at += 2 + length;
            match marker {
                0xc0 | 0xc1 => (size, stated) = frame_header(body)?,
                0xc4 => huffman_tables(body, &mut dc, &mut ac)?,
                0xdb => quantization_tables(body, &mut quantization)?,
                0xdd => restart = usize::from(u16::from_be_bytes(body.try_into().ok()?)),
                0xe0 => is_jfif |= body.len() >= 12 && body.starts_with(b"JFIF\0"),
                0xee if body.starts_with(b"Adobe") => adobe = Some(*body.get(11)?),
                0xe1..=0xef | 0xfe => {}
                0xda => {
                    let [count, selectors @ .., 0, 63, 0] = body else { return None };
                    let is_whole = stated.len() == usize::from(*count) && selectors.len() == 2 * stated.len();
                    if !is_whole {
                        return None;
                    }
                    let mut components = Vec::with_capacity(stated.len());
                    for (stated, selector) in stated.iter().zip(selectors.chunks_exact(2)) {
                        let table = |tables: &[Option<Table>; 4], number: u8| -> Option<Table> {
                            tables.get(usize::from(number))?.clone()
                        };
                        components.push(Component {
                            blocks: stated.sampling,
                            quantization: (*quantization.get(stated.quantization)?)?,
                            dc: table(&dc, selector[1] >> 4)?,
                            ac: table(&ac, selector[1] & 15)?,
                        });
                        if selector[0] != stated.id {
                            return None;
                        }
                    }
                    let ids: Vec<u8> = stated.iter().map(|stated| stated.id).collect();
                    let is_ycc = is_jfif || adobe == Some(1) || adobe.is_none() && ids == [1, 2, 3];
                    return Self {
                        width: size.0,
                        height: size.1,
                        components,
                        chroma: [1; 2],
                        restart,
                        data: at,
                    }
                    .with_chroma(is_ycc);
                }
                _ => return None,
            }
        }
    }

    /// Checks that the colours are coded as they mostly are.
    fn with_chroma(mut self, is_ycc: bool) -> Option<Self> {
        bounded(self.width, self.height).ok()?;
        match self.components.as_mut_slice() {
            // Blocks of one component come one by one.
            [gray] => gray.blocks = [1; 2],
            [luma, blue, red] => {
                self.chroma = luma.blocks;
                let known = matches!(luma.blocks, [1, 1] | [2, 1] | [2, 2]);
                // libjpeg does not interpolate colours that are so narrow.
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

fn quantization_tables(mut body: &[u8], tables: &mut [Option<[u16; BLOCK * BLOCK]>; 4]) -> Option<()> {
    while let [kind, rest @ ..] = body {
        let table = tables.get_mut(usize::from(kind & 15))?;
        body = match kind >> 4 {
            0 => {
                let (values, rest) = rest.split_first_chunk::<{ BLOCK * BLOCK }>()?;
                *table = Some(values.map(u16::from));
                rest
            }
            _ => return None,
        };
    }
    Some(())
}

fn huffman_tables(mut body: &[u8], dc: &mut [Option<Table>; 4], ac: &mut [Option<Table>; 4]) -> Option<()> {
    while let [kind, rest @ ..] = body {
        let (counts, rest) = rest.split_first_chunk::<16>()?;
        let symbols = counts.iter().map(|&count| usize::from(count)).sum();
        let (symbols, rest) = rest.split_at_checked(symbols)?;
        let tables = match kind >> 4 {
            0 => &mut *dc,
            1 => &mut *ac,
            _ => return None,
        };
        *tables.get_mut(usize::from(kind & 15))? = Some(Table::new(counts, symbols)?);
        body = rest;
    }
    Some(())
}
