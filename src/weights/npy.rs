//! NumPy arrays: a single `.npy`, or several in a `.npz`, the format of the original ViT and BiT releases.

use super::dtype;
use super::info::{Bytes, Packing, TensorInfo};
use super::mapped::Mapped;
use super::zip::Member;
use anyhow::{Context, Result, bail, ensure};
use flate2::read::DeflateDecoder;
use std::io::Read;
use std::ops::Range;

/// The first bytes of an array.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
/// Upper bound on the header; NumPy's own limit is 10,000 characters.
const MAX_HEADER_LENGTH: usize = 1 << 16;

/// The array that fills `range` of the file.
pub(super) fn array(file: &Mapped, name: &str, range: Range<usize>) -> Result<TensorInfo> {
    let (header, used) = Header::read(file.stream(range.clone()))?;
    let data = range.start + used..range.end;
    header.tensor(name, Bytes::Stored(data.clone()), data.len())
}

/// The arrays of a `.npz` by their names.
pub(super) fn arrays(file: &Mapped, members: &[Member]) -> Result<Vec<TensorInfo>> {
    let mut tensors = Vec::new();
    for member in members {
        let Some(name) = member.name.strip_suffix(".npy") else { continue };
        let tensor = if member.deflated {
            deflated(file, name, member)
        } else {
            array(file, name, member.bytes.clone())
        };
        tensors.push(tensor.with_context(|| format!("array `{name}`"))?);
    }
    Ok(tensors)
}

fn deflated(file: &Mapped, name: &str, member: &Member) -> Result<TensorInfo> {
    let (header, used) = Header::read(DeflateDecoder::new(file.stream(member.bytes.clone())))?;
    let length = member.length.checked_sub(used).context("the array is truncated")?;
    let (packing, packed) = (Packing::Deflate, member.bytes.clone());
    header.tensor(name, Bytes::Packed { packing, packed, skip: used, length }, length)
}

/// Decompresses the data after the header of a deflated array.
pub(super) fn inflate(packed: impl Read, skip: usize, length: usize) -> Result<Vec<u8>> {
    let mut unpacked = DeflateDecoder::new(packed);
    let skipped = std::io::copy(&mut unpacked.by_ref().take(skip as u64), &mut std::io::sink())?;
    ensure!(skipped == skip as u64, "the compressed bytes end early");
    let mut bytes = Vec::new();
    unpacked.take(length as u64).read_to_end(&mut bytes).context("the compressed bytes are damaged")?;
    ensure!(bytes.len() == length, "the compressed bytes end early");
    Ok(bytes)
}

/// The header of an array: a Python literal, `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
struct Header {
    text: String,
}

impl Header {
    /// Reads the header; also returns its length in bytes.
    fn read(mut from: impl Read) -> Result<(Self, usize)> {
        let mut start = [0; 8];
        from.read_exact(&mut start).context("the array is truncated")?;
        ensure!(start.starts_with(MAGIC), "not a NumPy array");
        let (length, used) = match start[6] {
            1 => {
                let mut length = [0; 2];
                from.read_exact(&mut length).context("the array is truncated")?;
                (u16::from_le_bytes(length).into(), 10)
            }
            2 | 3 => {
                let mut length = [0; 4];
                from.read_exact(&mut length).context("the array is truncated")?;
                (u32::from_le_bytes(length) as usize, 12)
            }
            version => bail!("version {version} of NumPy's format is not supported"),
        };
        ensure!(length <= MAX_HEADER_LENGTH, "a header of {length} bytes is too long");
        let mut text = vec![0; length];
        from.read_exact(&mut text).context("the array is truncated")?;
        Ok((Self { text: String::from_utf8(text).context("the header is not UTF-8")? }, used + length))
    }

    /// The text after `'key':`.
    fn after(&self, key: &str) -> Result<&str> {
        let found = self.text.split_once(&format!("'{key}':"));
        let (_, rest) = found.with_context(|| format!("the header has no `{key}`: {}", self.text.trim()))?;
        Ok(rest.trim_start())
    }

    fn tensor(&self, name: &str, bytes: Bytes, length: usize) -> Result<TensorInfo> {
        let descr = self.after("descr")?.strip_prefix('\'').and_then(|rest| rest.split_once('\''));
        let (descr, _) = descr.context("an array of records is not a tensor")?;
        ensure!(!descr.starts_with('>'), "dtype {descr} is big-endian; convert the array with `astype`");
        let code = descr.trim_start_matches(['<', '|', '=']);
        let dtype = dtype::of_numpy(code).with_context(|| format!("dtype {descr} is not a tensor's"))?;
        let shape = self.after("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        let (shape, _) = shape.context("the header has no shape")?;
        let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
        let shape: Vec<i64> = sizes.map(str::parse).collect::<Result<_, _>>().context("shape")?;
        let fortran = self.after("fortran_order")?.starts_with("True");
        TensorInfo::dense(name, dtype.kind, shape, fortran, bytes, length)
    }
}
