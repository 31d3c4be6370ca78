//! The safetensors format: where its tensors are, and files of it written atomically.

use super::dtype;
use super::file::{Bytes, TensorInfo};
use super::mapped::Mapped;
use crate::atomic;
use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::{Dtype, Metadata, View};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use tch::{Device, Tensor};

/// The format has no longer one.
const LONGEST_HEADER: usize = 100_000_000;

/// A tensor's bytes in the order of its shape, fetched from its device when they are written.
struct Source {
    dtype: Dtype,
    shape: Vec<usize>,
    tensor: Tensor,
}

impl Source {
    fn new(tensor: &Tensor) -> Result<Self> {
        let kind = tensor.f_kind()?;
        let known = dtype::of_kind(kind).and_then(|dtype| dtype.safetensors);
        let dtype = known.with_context(|| format!("safetensors has no dtype for {kind:?}"))?;
        let shape = tensor.size().iter().map(|&n| n as usize).collect();
        Ok(Self { dtype, shape, tensor: tensor.detach() })
    }
}

impl View for Source {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = vec![0; self.data_len()];
        self.tensor.to_device(Device::Cpu).contiguous().copy_data_u8(&mut bytes, self.tensor.numel());
        bytes.into()
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * self.tensor.kind().elt_size_in_bytes()
    }
}

/// Writes named tensors and text metadata to `path`; the file is replaced whole or not at all.
///
/// # Errors
/// A dtype that the format does not have, or a file that cannot be written.
pub fn save(path: &Path, tensors: &[(String, Tensor)], metadata: HashMap<String, String>) -> Result<()> {
    let mut sources = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        sources.push((name, Source::new(tensor).with_context(|| format!("tensor `{name}`"))?));
    }
    atomic::write_with(path, |file| Ok(safetensors::serialize_to_file(sources, Some(metadata), file.path())?))
}

/// The tensors of a file in the order of its bytes, and the texts kept beside them.
///
/// # Errors
/// A file that is not sound safetensors, or a dtype that libtorch does not have.
pub(super) fn read(file: &Mapped) -> Result<(Vec<TensorInfo>, HashMap<String, String>)> {
    let (start, header) = header(file).context("not a sound safetensors file; write or fetch it again")?;
    let mut tensors = Vec::new();
    for name in header.offset_keys() {
        let info = header.info(&name).with_context(|| format!("tensor `{name}`"))?;
        let Some(dtype) = dtype::of_safetensors(info.dtype) else {
            bail!("tensor `{name}`: libtorch has no dtype {:?}", info.dtype);
        };
        let shape = info.shape.iter().map(|&n| i64::try_from(n)).collect::<Result<_, _>>()?;
        let (from, to) = info.data_offsets;
        let bytes = Bytes::Stored(start + from..start + to);
        let tensor = TensorInfo::dense(&name, dtype.kind, shape, false, bytes, to - from);
        tensors.push(tensor.with_context(|| format!("tensor `{name}`"))?);
    }
    Ok((tensors, header.metadata().clone().unwrap_or_default()))
}

/// Where the bytes of the tensors begin, and what the file says before them.
fn header(file: &Mapped) -> Result<(usize, Metadata)> {
    let size = file.read(0..8)?;
    let size = usize::try_from(u64::from_le_bytes(size.as_slice().try_into()?))?;
    ensure!(size <= LONGEST_HEADER, "a header of {size} bytes");
    let start = 8 + size;
    // The reading checks that the tensors lie one behind the other.
    let header: Metadata = serde_json::from_slice(&file.read(8..start)?)?;
    let has = file.len() - start;
    ensure!(header.data_len() == has, "{has} bytes of tensors instead of {}", header.data_len());
    Ok((start, header))
}
