//! Arrays of structures in MATLAB files of version 5 (MathWorks, "MAT-File Format", level 5), little-endian.

use anyhow::{Context, Result, bail, ensure};
use flate2::read::ZlibDecoder;
use std::io::Read;

const HEADER: usize = 128;
/// No variable that is read here is larger unpacked.
const MAX_BYTES: u64 = 256 << 20;

const COMPRESSED: u32 = 15;
const MATRIX: u32 = 14;
const STRUCT: u8 = 2;
const CHAR: u8 = 4;
const DOUBLE: u8 = 6;
const UINT64: u8 = 15;

/// One structure: its fields that are texts or numbers.
pub(super) struct Struct(Vec<(String, Field)>);

enum Field {
    Number(f64),
    Text(String),
    Other,
}

impl Struct {
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.field(name)? {
            Field::Number(value) => Some(*value),
            _ => None,
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.field(name)? {
            Field::Text(text) => Some(text),
            _ => None,
        }
    }

    fn field(&self, name: &str) -> Option<&Field> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, field)| field)
    }
}

/// The structures of the variable of this name.
///
/// # Errors
/// A file that is cut or of another kind, or has no such variable.
pub(super) fn structs(file: &[u8], name: &str) -> Result<Vec<Struct>> {
    let little_endian = file.get(HEADER - 4..HEADER) == Some(&[0, 1, b'I', b'M']);
    ensure!(little_endian, "not a MATLAB file of version 5");
    let mut elements = Elements(&file[HEADER..]);
    while let Some((kind, data)) = elements.next()? {
        let mut unpacked = Vec::new();
        let (kind, data) = match kind {
            COMPRESSED => {
                ZlibDecoder::new(data).take(MAX_BYTES).read_to_end(&mut unpacked)?;
                Elements(&unpacked).next()?.context("an empty variable")?
            }
            _ => (kind, data),
        };
        if kind == MATRIX
            && let Some(found) = variable(data, name)?
        {
            return Ok(found);
        }
    }
    bail!("there is no variable `{name}`")
}

/// The structures of a variable, where it has this name.
fn variable(data: &[u8], name: &str) -> Result<Option<Vec<Struct>>> {
    let mut parts = Elements(data);
    let class = class(parts.expect()?);
    let _dimensions = parts.expect()?;
    if parts.expect()? != name.as_bytes() {
        return Ok(None);
    }
    ensure!(class == STRUCT, "`{name}` is no array of structures");
    let length = parts.expect()?.first_chunk().map_or(0, |&bytes| u32::from_le_bytes(bytes)) as usize;
    ensure!(length > 0, "field names of no length");
    let names: Vec<String> = parts.expect()?.chunks(length).map(text).collect();
    ensure!(!names.is_empty(), "`{name}` has no fields");
    let mut structs = Vec::new();
    while !parts.0.is_empty() {
        let field = |name: &String| Ok((name.clone(), field(parts.expect()?)?));
        structs.push(Struct(names.iter().map(field).collect::<Result<_>>()?));
    }
    Ok(Some(structs))
}

fn field(data: &[u8]) -> Result<Field> {
    if data.is_empty() {
        return Ok(Field::Other);
    }
    let mut parts = Elements(data);
    let class = class(parts.expect()?);
    let (_dimensions, _name) = (parts.expect()?, parts.expect()?);
    Ok(match class {
        CHAR => {
            let (kind, bytes) = parts.next()?.unwrap_or_default();
            // Characters of two bytes, or UTF-8.
            let wide = matches!(kind, 4 | 17);
            Field::Text(if wide {
                text(&bytes.iter().copied().step_by(2).collect::<Vec<_>>())
            } else {
                text(bytes)
            })
        }
        DOUBLE..=UINT64 => {
            let (kind, bytes) = parts.next()?.unwrap_or_default();
            number(kind, bytes).map_or(Field::Other, Field::Number)
        }
        _ => Field::Other,
    })
}

/// The class of an array by its flags.
fn class(flags: &[u8]) -> u8 {
    flags.first().copied().unwrap_or_default()
}

/// The first number of a numeric array, whatever type it is packed as.
fn number(kind: u32, bytes: &[u8]) -> Option<f64> {
    Some(match kind {
        1 => f64::from(i8::from_le_bytes(*bytes.first_chunk()?)),
        2 => f64::from(*bytes.first()?),
        3 => f64::from(i16::from_le_bytes(*bytes.first_chunk()?)),
        4 => f64::from(u16::from_le_bytes(*bytes.first_chunk()?)),
        5 => f64::from(i32::from_le_bytes(*bytes.first_chunk()?)),
        6 => f64::from(u32::from_le_bytes(*bytes.first_chunk()?)),
        7 => f64::from(f32::from_le_bytes(*bytes.first_chunk()?)),
        9 => f64::from_le_bytes(*bytes.first_chunk()?),
        _ => return None,
    })
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Data elements one after the other: a type, a size, the bytes, padding to eight.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// Type and bytes of the next element; `None` at the end.
    fn next(&mut self) -> Result<Option<(u32, &'a [u8])>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let word = |at: usize| -> Result<u32> {
            let bytes = self.0.get(at..at + 4).and_then(|bytes| bytes.first_chunk()).context("cut")?;
            Ok(u32::from_le_bytes(*bytes))
        };
        let tag = word(0)?;
        // Up to four bytes travel within the tag.
        let (kind, begin, size) = match tag >> 16 {
            0 => (tag, 8usize, word(4)? as usize),
            size => (tag & 0xffff, 4, size as usize),
        };
        let data = begin.checked_add(size).and_then(|end| self.0.get(begin..end)).context("cut")?;
        let padded = if kind == COMPRESSED { begin + size } else { (begin + size).next_multiple_of(8) };
        self.0 = &self.0[padded.min(self.0.len())..];
        Ok(Some((kind, data)))
    }

    /// The bytes of the next element, which must be there.
    fn expect(&mut self) -> Result<&'a [u8]> {
        Ok(self.next()?.context("cut")?.1)
    }
}
