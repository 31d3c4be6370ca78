//! The directory of a zip file, read from mapped bytes; nothing is unpacked or written anywhere.
//!
//! What `torch.save` and `numpy.savez` write: members stored or deflated, with 64-bit sizes where they need them
//! (PKWARE's APPNOTE 6.3, sections 4.3 and 4.5.3).

use super::cursor::Cursor;
use anyhow::{Context, Result, bail, ensure};
use std::ops::Range;

/// What a local file begins with, and so the whole file.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";
const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR64: u32 = 0x0706_4b50;
const DIRECTORY: u32 = 0x0201_4b50;
const LOCAL: u32 = 0x0403_4b50;
/// Deflate packs a byte into no less than this part of a byte: a member that claims more is a bomb.
const MAX_DEFLATION: usize = 1032;

/// A file in the zip.
pub(super) struct Member {
    pub name: String,
    /// Where its bytes are in the zip.
    pub bytes: Range<usize>,
    pub deflated: bool,
    /// Length when unpacked.
    pub length: usize,
}

/// All members in the order of the directory.
///
/// # Errors
/// A file that is cut, offsets outside it, encryption, or a packing that neither library writes.
pub(super) fn members(bytes: &[u8]) -> Result<Vec<Member>> {
    let (count, at) = directory(bytes)?;
    let mut reader = Cursor::new(bytes, usize::try_from(at)?);
    let mut members = Vec::new();
    for i in 0..count {
        members.push(member(bytes, &mut reader).with_context(|| format!("zip member {i}"))?);
    }
    Ok(members)
}

/// How many members there are, and where the directory begins.
fn directory(bytes: &[u8]) -> Result<(u64, u64)> {
    // The end record is 22 bytes and a comment of up to 65,535.
    let tail = bytes.len().saturating_sub(22 + 0xffff);
    let end = bytes[tail..].windows(4).rposition(|w| w == END.to_le_bytes());
    let end = tail + end.context("a zip without its directory: the file is cut; fetch or write it again")?;
    let mut record = Cursor::new(bytes, end + 10);
    let (count, _size, at) = (record.u16()?, record.u32()?, record.u32()?);
    let comment = record.u16()?;
    record.take(comment.into())?;
    let locator = end.checked_sub(20).map(|at| Cursor::new(bytes, at));
    if let Some(mut locator) = locator
        && locator.u32()? == LOCATOR64
    {
        locator.take(4)?;
        let mut record = Cursor::new(bytes, locator.len64()?);
        ensure!(record.u32()? == END64, "a zip64 end record that is not where the zip says");
        record.take(28)?;
        let (count, _size, at) = (record.u64()?, record.u64()?, record.u64()?);
        return Ok((count, at));
    }
    Ok((count.into(), at.into()))
}

fn member(bytes: &[u8], reader: &mut Cursor) -> Result<Member> {
    ensure!(reader.u32()? == DIRECTORY, "no directory entry where the zip says");
    reader.take(4)?;
    let (flags, method) = (reader.u16()?, reader.u16()?);
    reader.take(8)?; // time, date, checksum
    let (packed, length) = (reader.u32()?, reader.u32()?);
    let (name, extra, comment) = (reader.u16()?, reader.u16()?, reader.u16()?);
    reader.take(8)?; // disk, attributes
    let local = reader.u32()?;
    let name = reader.take(name.into())?;
    let name = std::str::from_utf8(name).context("a name that is not UTF-8")?.to_owned();
    let extra = reader.take(extra.into())?;
    reader.take(comment.into())?;
    let (length, packed, local) = wide(extra, length, packed, local).with_context(|| format!("`{name}`"))?;

    ensure!(flags & 1 == 0, "`{name}` is encrypted");
    let deflated = match method {
        0 => false,
        8 => true,
        _ => bail!("`{name}` is packed by method {method}; pack it again, stored or deflated"),
    };
    let (length, packed) = (usize::try_from(length)?, usize::try_from(packed)?);
    ensure!(deflated || length == packed, "`{name}` is stored, yet its two lengths differ");
    ensure!(length / MAX_DEFLATION <= packed, "`{name}` claims {length} bytes in {packed}");
    let mut header = Cursor::new(bytes, usize::try_from(local)?);
    ensure!(header.u32()? == LOCAL, "`{name}` is not where the directory says");
    header.take(22)?;
    let (own_name, own_extra) = (header.u16()?, header.u16()?);
    header.take(own_name.into())?;
    header.take(own_extra.into())?;
    let start = header.at;
    header.take(packed).with_context(|| format!("`{name}`"))?;
    Ok(Member { name, bytes: start..header.at, deflated, length })
}

/// Lengths and offset with their 64-bit values from the extra field, which has those that do not fit in 32 bits.
fn wide(extra: &[u8], length: u32, packed: u32, local: u32) -> Result<(u64, u64, u64)> {
    let mut reader = Cursor::new(extra, 0);
    while reader.at + 4 <= extra.len() {
        let (tag, size) = (reader.u16()?, reader.u16()?);
        let mut field = Cursor::new(reader.take(size.into())?, 0);
        if tag == 1 {
            let mut pick = |value: u32| if value == u32::MAX { field.u64() } else { Ok(value.into()) };
            return Ok((pick(length)?, pick(packed)?, pick(local)?));
        }
    }
    Ok((length.into(), packed.into(), local.into()))
}
