//! The central directory of a zip file; nothing is decompressed or extracted.
//!
//! Supports what `torch.save` and `numpy.savez` write: stored or deflated members, with 64-bit sizes if
//! needed (PKWARE's APPNOTE 6.3, sections 4.3 and 4.5.3).

use super::cursor::Cursor;
use super::mapped::Mapped;
use anyhow::{Context, Result, bail, ensure};
use std::ops::Range;

/// The signature of a local file header, with which the file begins.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";
const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR64: u32 = 0x0706_4b50;
const DIRECTORY: u32 = 0x0201_4b50;
const LOCAL: u32 = 0x0403_4b50;
/// The length of a local file header without its name and extra field.
const LOCAL_HEADER: usize = 30;
/// Deflate's maximum compression ratio; a member that claims more is a zip bomb.
const MAX_DEFLATE_RATIO: usize = 1032;

/// A file in the zip.
pub(super) struct Member {
    pub name: String,
    /// The range of its bytes in the zip.
    pub bytes: Range<usize>,
    pub deflated: bool,
    /// Uncompressed length.
    pub length: usize,
}

/// All members in the order of the directory.
///
/// # Errors
/// A file that is truncated, offsets outside it, encryption, or a compression method of neither library.
pub(super) fn members(file: &Mapped) -> Result<Vec<Member>> {
    let (count, directory) = directory(file)?;
    let mut reader = Cursor::new(&directory, 0);
    let mut members = Vec::new();
    for i in 0..count {
        members.push(member(file, &mut reader).with_context(|| format!("zip member {i}"))?);
    }
    Ok(members)
}

/// The number of members, and the directory.
fn directory(file: &Mapped) -> Result<(u64, Vec<u8>)> {
    // The end record has 22 bytes and a comment of up to 65,535.
    let start = file.len().saturating_sub(22 + 0xffff);
    let tail = file.read(start..file.len())?;
    let end = tail.windows(4).rposition(|bytes| bytes == END.to_le_bytes());
    let end = end.context("the zip has no directory: the file is truncated; fetch or write it again")?;
    let mut record = Cursor::new(&tail, end + 10);
    let (count, size, at) = (record.u16()?, record.u32()?, record.u32()?);
    let comment = record.u16()?;
    record.take(comment.into())?;
    let (mut count, mut size, mut at) = (u64::from(count), u64::from(size), u64::from(at));
    if let Some(before) = (start + end).checked_sub(20) {
        let locator = file.read(before..before + 20)?;
        let mut locator = Cursor::new(&locator, 0);
        if locator.u32()? == LOCATOR64 {
            locator.take(4)?;
            let place = locator.len64()?;
            let record = file.read(place..place.saturating_add(56))?;
            let mut record = Cursor::new(&record, 0);
            ensure!(record.u32()? == END64, "the zip64 end record is not at its stated offset");
            record.take(28)?;
            (count, size, at) = (record.u64()?, record.u64()?, record.u64()?);
        }
    }
    let at = usize::try_from(at)?;
    Ok((count, file.read(at..at.saturating_add(usize::try_from(size)?))?))
}

fn member(file: &Mapped, reader: &mut Cursor) -> Result<Member> {
    ensure!(reader.u32()? == DIRECTORY, "the directory entry is not at its stated offset");
    reader.take(4)?;
    let (flags, method) = (reader.u16()?, reader.u16()?);
    reader.take(8)?; // time, date, checksum
    let (packed, length) = (reader.u32()?, reader.u32()?);
    let (name, extra, comment) = (reader.u16()?, reader.u16()?, reader.u16()?);
    reader.take(8)?; // disk, attributes
    let local = reader.u32()?;
    let name = reader.take(name.into())?;
    let name = std::str::from_utf8(name).context("the name is not UTF-8")?.to_owned();
    let extra = reader.take(extra.into())?;
    reader.take(comment.into())?;
    let (length, packed, local) = wide(extra, length, packed, local).with_context(|| format!("`{name}`"))?;

    ensure!(flags & 1 == 0, "`{name}` is encrypted");
    let deflated = match method {
        0 => false,
        8 => true,
        _ => bail!("`{name}` is compressed by method {method}; zip it again, stored or deflated"),
    };
    let (length, packed) = (usize::try_from(length)?, usize::try_from(packed)?);
    ensure!(deflated || length == packed, "`{name}` is stored, but its two lengths differ");
    ensure!(length / MAX_DEFLATE_RATIO <= packed, "`{name}` claims {length} bytes in {packed}");
    let local = usize::try_from(local)?;
    let header = file.read(local..local.saturating_add(LOCAL_HEADER))?;
    let mut header = Cursor::new(&header, 0);
    ensure!(header.u32()? == LOCAL, "`{name}` is not at the offset in the directory");
    header.take(22)?;
    let (own_name, own_extra) = (header.u16()?, header.u16()?);
    let start = local + LOCAL_HEADER + usize::from(own_name) + usize::from(own_extra);
    let end = start.checked_add(packed).filter(|end| *end <= file.len());
    let end =
        end.with_context(|| format!("`{name}`: the file is truncated, or a length or an offset is wrong"))?;
    Ok(Member { name, bytes: start..end, deflated, length })
}

/// Lengths and offset, with 64-bit values from the extra field for those that do not fit in 32 bits.
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
