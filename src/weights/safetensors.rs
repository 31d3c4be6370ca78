//! The safetensors format: read through a memory map, written atomically.

use crate::atomic;
use anyhow::{Context, Result, anyhow, bail, ensure};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, View};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// The kinds that both libraries know.
const KINDS: [(Dtype, Kind); 11] = [
    (Dtype::F32, Kind::Float),
    (Dtype::F64, Kind::Double),
    (Dtype::F16, Kind::Half),
    (Dtype::BF16, Kind::BFloat16),
    (Dtype::I64, Kind::Int64),
    (Dtype::I32, Kind::Int),
    (Dtype::I16, Kind::Int16),
    (Dtype::I8, Kind::Int8),
    (Dtype::U8, Kind::Uint8),
    (Dtype::BOOL, Kind::Bool),
    (Dtype::C64, Kind::ComplexFloat),
];

/// A tensor's bytes in the order of its shape, fetched from its device when they are written.
struct Source {
    dtype: Dtype,
    shape: Vec<usize>,
    tensor: Tensor,
}

impl Source {
    fn new(tensor: &Tensor) -> Result<Self> {
        let kind = tensor.f_kind()?;
        let known = KINDS.iter().find(|(_, k)| *k == kind);
        let (dtype, _) = known.ok_or_else(|| anyhow!("safetensors has no dtype for {kind:?}"))?;
        let shape = tensor.size().iter().map(|&n| n as usize).collect();
        Ok(Self { dtype: *dtype, shape, tensor: tensor.detach() })
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

/// A safetensors file, mapped into memory.
pub struct StateFile {
    path: PathBuf,
    map: Mmap,
    header: Metadata,
    /// Where the tensors' bytes begin.
    start: usize,
    names: Vec<String>,
}

impl StateFile {
    /// Opens and checks a file; no tensor is read.
    ///
    /// # Errors
    /// A file that is missing or is not sound safetensors.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("{}: cannot be opened", path.display()))?;
        // SAFETY: files of ours are replaced, never written in place, so the mapped bytes do not change.
        let map = unsafe { Mmap::map(&file) }.with_context(|| format!("{}", path.display()))?;
        let (header_size, header) = SafeTensors::read_metadata(&map).map_err(|e| {
            anyhow!("{}: not a sound safetensors file ({e}); write or fetch it again", path.display())
        })?;
        let names = header.offset_keys();
        // The file begins with the size of the header, in 8 bytes.
        Ok(Self { path: path.to_owned(), map, start: 8 + header_size, header, names })
    }

    /// Where the tensors come from, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The keys, in the order of the file.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A text kept beside the tensors.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// A tensor that reads the mapped file, on the CPU.
    ///
    /// # Errors
    /// A name that the file does not have, or a dtype that libtorch does not have.
    pub fn get(&self, name: &str) -> Result<TensorView<'_>> {
        let at = || format!("{}: tensor `{name}`", self.path.display());
        let info = self.header.info(name).with_context(|| format!("{}: not in the file", at()))?;
        let Some(&(_, kind)) = KINDS.iter().find(|(dtype, _)| *dtype == info.dtype) else {
            bail!("{}: libtorch has no dtype {:?}", at(), info.dtype);
        };
        let (from, to) = info.data_offsets;
        let bytes = self.map.get(self.start + from..self.start + to).with_context(at)?;
        let size: Vec<i64> = info.shape.iter().map(|&n| n as i64).collect();
        let numel: usize = info.shape.iter().product();
        ensure!(bytes.len() == numel * kind.elt_size_in_bytes(), "{}: wrong length", at());
        let mut strides = vec![1; size.len()];
        for i in (1..size.len()).rev() {
            strides[i - 1] = strides[i] * size[i];
        }
        // SAFETY: the bytes are there (checked) for as long as `self`, which the view borrows.
        let tensor = unsafe { Tensor::f_from_blob(bytes.as_ptr(), &size, &strides, kind, Device::Cpu)? };
        Ok(TensorView { tensor, _file: self })
    }
}

/// A read-only tensor over the bytes of a [`StateFile`]. Copy it to keep it.
pub struct TensorView<'a> {
    tensor: Tensor,
    _file: &'a StateFile,
}

impl Deref for TensorView<'_> {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        &self.tensor
    }
}
