//! The safetensors format: locates the tensors of a file, and writes files atomically.

use super::dtype;
use super::info::{Bytes, TensorInfo};
use crate::atomic;
use anyhow::{Context, Result, anyhow, bail};
use safetensors::tensor::{Dtype, SafeTensors, View};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use tch::{Device, Tensor};

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
    atomic::write_with(path, |file| Ok(safetensors::serialize_to_file(sources, Some(metadata), file.path())?))
}

/// The tensors of a file in the order of their bytes, and the metadata.
///
/// # Errors
/// A file that is not valid safetensors, or a dtype that libtorch does not have.
pub(super) fn read(file: &[u8]) -> Result<(Vec<TensorInfo>, HashMap<String, String>)> {
    let (header_size, header) = SafeTensors::read_metadata(file)
        .map_err(|e| anyhow!("not a valid safetensors file ({e}); write or fetch it again"))?;
    // The file begins with the size of the header, in 8 bytes.
    let start = 8 + header_size;
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
