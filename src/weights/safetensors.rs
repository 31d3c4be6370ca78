//! The safetensors format: locates the tensors of a file, and writes files atomically.

use super::dtype;
use super::info::{Bytes, TensorInfo};
use super::mapped::Mapped;
use crate::atomic;
use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::{Dtype, Metadata, View};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use tch::{Device, Tensor};

/// The format's own limit.
const MAX_HEADER_LENGTH: usize = 100_000_000;

/// A tensor to write; its bytes are copied from its device, contiguous, when they are written.
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

/// Writes named tensors and text metadata to `path`, atomically.
///
/// # Errors
/// A dtype that the format does not have, or a file that cannot be written.
pub fn save(path: &Path, tensors: &[(String, Tensor)], metadata: HashMap<String, String>) -> Result<()> {
    let mut sources = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        sources.push((name, Source::new(tensor).with_context(|| format!("tensor `{name}`"))?));
    }
    atomic::write_with(path, |file| {
        safetensors::serialize_to_file(sources, Some(metadata), file.path())?;
        // It puts a file of its own there, which its owner alone may read.
        let written = File::open(file.path())?;
        written.set_permissions(file.as_file().metadata()?.permissions())?;
        Ok(written.sync_all()?)
    })
}

/// The tensors of a file in the order of their bytes, and the metadata.
///
/// # Errors
/// A file that is not valid safetensors, or a dtype that libtorch does not have.
pub(super) fn read(file: &Mapped) -> Result<(Vec<TensorInfo>, HashMap<String, String>)> {
    let (start, header) = header(file).context("not a valid safetensors file; write or fetch it again")?;
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

/// The offset of the tensors' bytes, and the header.
fn header(file: &Mapped) -> Result<(usize, Metadata)> {
    let size = file.read(0..8)?;
    let size = usize::try_from(u64::from_le_bytes(size.as_slice().try_into()?))?;
    ensure!(size <= MAX_HEADER_LENGTH, "a header of {size} bytes");
    let start = 8 + size;
    // Deserialization checks that the tensors follow each other without gaps.
    let header: Metadata = serde_json::from_slice(&file.read(8..start)?)?;
    let has = file.len() - start;
    ensure!(header.data_len() == has, "{has} bytes of tensors instead of {}", header.data_len());
    Ok((start, header))
}
