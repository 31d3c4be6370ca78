//! What a file says of its tensors before any is read: names, shapes, dtypes, and where the bytes are.

use super::dtype_name;
use super::pickle::Coding;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::ops::Range;
use tch::Kind;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Safetensors,
    /// A zip of `torch.save`, since PyTorch 1.6.
    Torch,
    /// A stream of pickles and storages of `torch.save`, before PyTorch 1.6.
    TorchLegacy,
    /// An archive of `torch.jit.save`.
    Torchscript,
    /// NumPy's arrays in a zip.
    Npz,
    /// One NumPy array.
    Npy,
    /// A pickle of NumPy's arrays that `torch.save` did not write.
    Pickle,
}

/// The bytes of a tensor.
#[derive(Clone, Debug)]
pub(super) enum Bytes {
    /// As they are, here in the file.
    Stored(Range<usize>),
    /// Packed here in the file; unpacked, `length` bytes follow the first `skip`.
    Packed { packing: Packing, packed: Range<usize>, skip: usize, length: usize },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Packing {
    Deflate,
    /// Bytes as text, in a pickle.
    Text(Coding),
}

/// A tensor of a file, not yet read.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    pub name: String,
    pub kind: Kind,
    pub shape: Vec<i64>,
    /// In elements, from the first byte of `bytes`.
    pub(super) strides: Vec<i64>,
    pub(super) bytes: Bytes,
    /// The numbers are those in the file with the other sign.
    pub(super) negative: bool,
    /// The numbers are the conjugates of those in the file.
    pub(super) conjugate: bool,
    /// Which of the archive's files has the bytes.
    pub(super) file: usize,
}

/// PyTorch has no more dimensions than this.
pub(super) const MAX_DIMENSIONS: usize = 64;

/// The tensors of a state_dict may be larger than the file, where they are packed or share their bytes: by so much, and
/// by so many bytes for small files. More is a bomb.
const MAX_EXPANSION: usize = 32;
const SMALL_EXPANSION: usize = 1 << 28;

/// Words in the keys under which checkpoints keep what optimizers keep.
const OPTIMIZERS: [&str; 2] = ["optim", "scheduler"];
/// What torch.optim's optimizers keep of each parameter.
const SLOTS: [&str; 13] = [
    "step",
    "exp_avg",
    "exp_avg_sq",
    "max_exp_avg_sq",
    "exp_inf",
    "momentum_buffer",
    "square_avg",
    "grad_avg",
    "acc_delta",
    "sum",
    "prev",
    "step_size",
    "mu_product",
];

impl TensorInfo {
    /// A tensor whose elements follow each other in `bytes`, the last dimension fastest, or (`fortran`) the first.
    ///
    /// # Errors
    /// A shape that does not fill the `length` bytes.
    pub(super) fn dense(
        name: &str,
        kind: Kind,
        shape: Vec<i64>,
        fortran: bool,
        bytes: Bytes,
        length: usize,
    ) -> Result<Self> {
        ensure!(shape.len() <= MAX_DIMENSIONS, "{} dimensions", shape.len());
        let mut strides = vec![0; shape.len()];
        let mut numel = 1i64;
        let mut next = |i: usize| {
            strides[i] = numel;
            ensure!(shape[i] >= 0, "a size of {}", shape[i]);
            numel = shape[i].checked_mul(numel).context("a shape that overflows")?;
            anyhow::Ok(())
        };
        if fortran {
            (0..shape.len()).try_for_each(&mut next)?
        } else {
            (0..shape.len()).rev().try_for_each(&mut next)?
        }
        let needs = usize::try_from(numel)?.checked_mul(kind.elt_size_in_bytes());
        ensure!(
            needs == Some(length),
            "shape {shape:?} of {} does not fill {length} bytes",
            dtype_name(kind)
        );
        Ok(Self::new(name, kind, shape, strides, bytes))
    }

    /// A tensor that begins `offset` elements into a storage and walks through it by `strides`.
    ///
    /// # Errors
    /// A walk that leaves the storage.
    pub(super) fn strided(
        name: &str,
        kind: Kind,
        shape: Vec<i64>,
        strides: Vec<i64>,
        storage: Range<usize>,
        offset: i64,
    ) -> Result<Self> {
        ensure!(shape.len() <= MAX_DIMENSIONS, "{} dimensions", shape.len());
        ensure!(shape.len() == strides.len(), "shape {shape:?} with strides {strides:?}");
        let walk = || -> Option<Range<usize>> {
            let (mut numel, mut extent) = (1i64, 1i64);
            for (&size, &stride) in shape.iter().zip(&strides) {
                (size >= 0 && stride >= 0).then_some(())?;
                numel = numel.checked_mul(size)?;
                extent = extent.checked_add((size - 1).max(0).checked_mul(stride)?)?;
            }
            let item = kind.elt_size_in_bytes();
            // Elements may share memory (stride 0), but their count times their size must still be a number of bytes.
            numel.checked_mul(i64::try_from(item).ok()?)?;
            let extent = if numel == 0 { 0 } else { usize::try_from(extent).ok()? };
            let start = storage.start.checked_add(usize::try_from(offset).ok()?.checked_mul(item)?)?;
            let end = start.checked_add(extent.checked_mul(item)?)?;
            (end <= storage.end).then_some(start..end)
        };
        let bytes = walk().with_context(|| {
            let length = storage.len();
            format!(
                "shape {shape:?}, strides {strides:?}, offset {offset} leave the storage of {length} bytes"
            )
        })?;
        Ok(Self::new(name, kind, shape, strides, Bytes::Stored(bytes)))
    }

    fn new(name: &str, kind: Kind, shape: Vec<i64>, strides: Vec<i64>, bytes: Bytes) -> Self {
        let name = name.to_owned();
        Self { name, kind, shape, strides, bytes, negative: false, conjugate: false, file: 0 }
    }

    /// PyTorch's name of the dtype, such as `float32`.
    pub fn dtype(&self) -> &'static str {
        dtype_name(self.kind)
    }
}

/// Tensors that belong together: a state_dict, at its place among the values of the file.
pub struct Group {
    /// The keys that lead to it, joined by dots; `.` is the file as a whole.
    pub key: String,
    pub tensors: Vec<TensorInfo>,
    /// The class of the pickled module that they are the parts of.
    pub class: Option<String>,
    /// Tensors that are not read, sparse, quantized or on the meta device, with PyTorch's functions for them.
    pub unread: Vec<(String, String)>,
}

impl Group {
    pub(super) fn whole(tensors: Vec<TensorInfo>) -> Self {
        Self { key: WHOLE.to_owned(), tensors, class: None, unread: Vec::new() }
    }

    /// Whether they can be the weights of a network, by their names: not what an optimizer keeps, nor lone values.
    pub fn is_network(&self) -> bool {
        let named = |tensor: &TensorInfo| {
            tensor.name.contains('.') || tensor.name.ends_with("weight") || tensor.name.ends_with("bias")
        };
        let parameters = self.tensors.iter().any(|tensor| named(tensor) && !tensor.shape.is_empty());
        self.tensors.len() >= 2 && parameters && !self.is_optimizer()
    }

    /// Whether they are the state of an optimizer, by their keys or their names.
    pub fn is_optimizer(&self) -> bool {
        let lies = self
            .key
            .split('.')
            .map(str::to_ascii_lowercase)
            .any(|key| key == "opt" || OPTIMIZERS.iter().any(|word| key.contains(word)));
        let all = !self.tensors.is_empty() && self.unread.is_empty();
        lies || all && self.tensors.iter().all(|tensor| SLOTS.contains(&tensor.name.as_str()))
    }

    /// Refuses tensors that would take far more memory than a file of `bytes` can mean.
    pub(super) fn check(&self, bytes: usize) -> Result<()> {
        let of = |tensor: &TensorInfo| {
            let size = tensor.kind.elt_size_in_bytes() as u64;
            tensor.shape.iter().fold(size, |all, &n| all.saturating_mul(n.unsigned_abs()))
        };
        let needs = self.tensors.iter().fold(0u64, |all, tensor| all.saturating_add(of(tensor)));
        let most = bytes.saturating_mul(MAX_EXPANSION).saturating_add(SMALL_EXPANSION);
        ensure!(needs <= most as u64, "{needs} bytes of tensors in a file of {bytes}");
        Ok(())
    }
}

/// The key of a file that is itself a state_dict.
pub(super) const WHOLE: &str = ".";
