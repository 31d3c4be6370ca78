//! NumPy's arrays: `.npy` alone, or many of them in a `.npz`, as the original ViT and BiT releases are.

use super::dtype;
use super::file::{Bytes, TensorInfo};
use super::mapped::Mapped;
use super::zip::Member;
use anyhow::{Context, Result, bail, ensure};
use flate2::read::DeflateDecoder;
use std::io::Read;
use std::ops::Range;

/// What an array begins with.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
/// NumPy itself refuses longer headers than 10,000 characters.
const LONGEST_HEADER: usize = 1 << 16;

/// The array that fills `range` of the file.
pub(super) fn array(file: &Mapped, name: &str, range: Range<usize>) -> Result<TensorInfo> {
    let (header, used) = Header::read(file.stream(range.clone()))?;
    let place = range.start + used..range.end;
    header.tensor(name, Bytes::Stored(place.clone()), place.len())
}

/// The arrays of a `.npz` by their names.
pub(super) fn arrays(file: &Mapped, members: &[Member]) -> Result<Vec<TensorInfo>> {
    let mut tensors = Vec::new();
    for member in members {
        let Some(name) = member.name.strip_suffix(".npy") else { continue };
        let tensor = match member.deflated {
            false => array(file, name, member.bytes.clone()),
            true => deflated(file, name, member),
        };
        tensors.push(tensor.with_context(|| format!("array `{name}`"))?);
    }
    Ok(tensors)
}

fn deflated(file: &Mapped, name: &str, member: &Member) -> Result<TensorInfo> {
    let (header, used) = Header::read(DeflateDecoder::new(file.stream(member.bytes.clone())))?;
    let length = member.length.checked_sub(used).context("the array is cut")?;
    header.tensor(name, Bytes::Deflated { packed: member.bytes.clone(), skip: used, length }, length)
}

/// Unpacks what a deflated array holds after its header.
pub(super) fn inflate(packed: impl Read, skip: usize, length: usize) -> Result<Vec<u8>> {
    let mut unpacked = DeflateDecoder::new(packed);
    let skipped = std::io::copy(&mut unpacked.by_ref().take(skip as u64), &mut std::io::sink())?;
    ensure!(skipped == skip as u64, "the packed bytes end early");
    let mut bytes = Vec::new();
    unpacked.take(length as u64).read_to_end(&mut bytes).context("the packed bytes are damaged")?;
    ensure!(bytes.len() == length, "the packed bytes end early");
    Ok(bytes)
}

/// The header of an array: a Python literal such as `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
struct Header {
    text: String,
}

impl Header {
    /// Reads the header and says how many bytes it took.
    fn read(mut from: impl Read) -> Result<(Self, usize)> {
        let mut start = [0; 8];
        from.read_exact(&mut start).context("the array is cut")?;
        ensure!(start.starts_with(MAGIC), "not a NumPy array");
        let (length, used) = match start[6] {
            1 => {
                let mut length = [0; 2];
                from.read_exact(&mut length).context("the array is cut")?;
                (u16::from_le_bytes(length).into(), 10)
            }
            2 | 3 => {
                let mut length = [0; 4];
                from.read_exact(&mut length).context("the array is cut")?;
                (u32::from_le_bytes(length) as usize, 12)
            }
            version => bail!("version {version} of NumPy's format is not known"),
        };
        ensure!(length <= LONGEST_HEADER, "a header of {length} bytes");
        let mut text = vec![0; length];
        from.read_exact(&mut text).context("the array is cut")?;
        Ok((Self { text: String::from_utf8(text).context("a header that is not UTF-8")? }, used + length))
    }

    /// What stands after `'key':`.
    fn after(&self, key: &str) -> Result<&str> {
        let found = self.text.split_once(&format!("'{key}':"));
        let (_, rest) = found.with_context(|| format!("a header without `{key}`: {}", self.text.trim()))?;
        Ok(rest.trim_start())
    }

    fn tensor(&self, name: &str, bytes: Bytes, length: usize) -> Result<TensorInfo> {
        let descr = self.after("descr")?.strip_prefix('\'').and_then(|rest| rest.split_once('\''));
        let (descr, _) = descr.context("an array of records is no tensor")?;
        ensure!(!descr.starts_with('>'), "dtype {descr} is big-endian; convert it with `astype`");
        let code = descr.trim_start_matches(['<', '|', '=']);
        let dtype = dtype::of_numpy(code).with_context(|| format!("dtype {descr} is no tensor's"))?;
        let shape = self.after("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        let (shape, _) = shape.context("a header without a shape")?;
        let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
        let shape: Vec<i64> = sizes.map(str::parse).collect::<Result<_, _>>().context("shape")?;
        let fortran = self.after("fortran_order")?.starts_with("True");
        TensorInfo::dense(name, dtype.kind, shape, fortran, bytes, length)
    }
}
