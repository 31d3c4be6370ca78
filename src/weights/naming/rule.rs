//! The rules of a naming: prefixes of keys in two libraries, and the conversion of their tensors; see
//! [`super`].

use crate::weights::TensorView;
use anyhow::{Context, Result};
use tch::Tensor;

/// The mapping of one library's keys to another's.
pub(super) struct Naming {
    /// Prefixes of the registered names of the models it applies to.
    pub models: &'static [&'static str],
    pub from: &'static str,
    pub to: &'static str,
    pub rules: &'static [&'static [Rule]],
    /// Whether files with these names are read but never written.
    pub one_way: bool,
    /// The module that most keys of `from` are under, for a library that also saves it alone.
    pub base: &'static str,
    /// A block's key in the naming that counts blocks by stage, where the other counts them through.
    pub grid: Option<&'static str>,
    /// A layer's key in `from` and in `to`, where other layers without tensors stand between them.
    pub ranks: Option<[&'static str; 2]>,
    /// Fields of the model's configuration that `from`'s network has otherwise.
    pub fields: &'static [(&'static str, &'static str)],
    /// What is done to the weights of this library that is more than another name, for people.
    pub note: Option<&'static str>,
    /// What no rule of one tensor can say, after the rules.
    pub rework: Option<Rework>,
}

pub(super) type Rework = fn(Vec<(String, TensorView)>) -> Result<Vec<(String, TensorView)>>;

/// ImageNet's classes with the background.
pub(super) const BACKGROUND_ROWS: i64 = 1001;

/// What a naming has unless it says otherwise.
pub(super) const NAMING: Naming = Naming {
    models: &[],
    from: "",
    to: "",
    rules: &[],
    one_way: false,
    base: "",
    grid: None,
    ranks: None,
    fields: &[],
    note: None,
    rework: None,
};

/// The same for names that are read but never written.
pub(super) const READ: Naming = Naming { one_way: true, ..NAMING };

impl Naming {
    /// Whether the mapping cannot be reversed.
    pub fn is_one_way(&self) -> bool {
        self.one_way || self.rules().any(|rule| rule.change.is_one_way())
    }

    /// A key of `from` without the base.
    pub fn inner<'a>(&self, key: &'a str) -> &'a str {
        key.strip_prefix(self.base).and_then(|key| key.strip_prefix('.')).unwrap_or(key)
    }

    pub fn rules(&self) -> impl Iterator<Item = &'static Rule> {
        self.rules.iter().copied().flatten()
    }
}

/// One prefix of keys in both namings, and the conversion of the tensors.
pub(super) struct Rule {
    pub from: &'static str,
    /// `None` if `to` has no such tensor.
    pub to: Option<&'static str>,
    pub change: Change,
}

/// The conversion of a tensor besides its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    Keep,
    /// A linear weight (out, in·k·k) in `from` is a convolution (out, in, k, k) in `to`; a bias is unchanged.
    Unflatten(i64),
    /// The index buffer of a table of relative positions: `to` lacks it, and it is recomputed for `from`.
    Reindex,
    /// A kernel of Flax or Keras with the outputs last: in `to`, (h, w, in, out) is (out, in, h, w), and
    /// (…, out) a matrix (out, …).
    Transpose,
    /// One part of a tensor that `to` concatenates: a projection (in, heads, size) to the heads of attention,
    /// which is (heads · size, in) in `to`, or its bias (heads, size).
    Join(usize),
    /// A vector that may have dimensions of 1 before it in `from`.
    Flatten,
    /// A tensor stacked over all blocks in its first dimension.
    Unstack,
    /// One part, along the first dimension, of a tensor that `to` concatenates.
    Concat(usize),
    /// A tensor that has this many dimensions of 1 more before it in `to`.
    Lead(usize),
    /// A tensor that has this many dimensions of 1 more after it in `to`.
    Trail(usize),
    /// The first two dimensions are exchanged.
    Exchange,
    /// A first convolution for channels in the opposite order: BGR in `from`, RGB in `to`.
    Flip,
    /// A classifier whose first row is the background; it is left out where there are [`BACKGROUND_ROWS`].
    Background,
    /// OpenMMLab's patch merging: `nn.Unfold` has the four pixels of a channel together, and goes through rows first.
    Unfold,
    /// A convolution of 1×1 in `from` is a linear layer in `to`.
    Matrix,
    /// A kernel of 1×1 in `from` is the middle of one of 3×3, padded by a pixel, in `to`.
    Ring,
    /// `from` has no such tensor, since it would be zero.
    Zero,
}

/// The same tensor under another name.
pub(super) const fn rename(from: &'static str, to: &'static str) -> Rule {
    Rule { from, to: Some(to), change: Change::Keep }
}

/// A linear layer in `from` that is a convolution with this kernel size in `to`.
pub(super) const fn unflatten(from: &'static str, to: &'static str, kernel: i64) -> Rule {
    Rule { from, to: Some(to), change: Change::Unflatten(kernel) }
}

/// A tensor that `to` does not have.
pub(super) const fn without(from: &'static str) -> Rule {
    Rule { from, to: None, change: Change::Keep }
}

/// The index buffer in `from` of a table of relative positions; `to` has only the table.
pub(super) const fn position_index(from: &'static str) -> Rule {
    Rule { from, to: None, change: Change::Reindex }
}

/// A kernel whose outputs are the last dimension in `from` and the first in `to`.
pub(super) const fn transpose(from: &'static str, to: &'static str) -> Rule {
    Rule { from, to: Some(to), change: Change::Transpose }
}

/// A projection to heads that is part `part` of a tensor in `to`.
pub(super) const fn join(from: &'static str, to: &'static str, part: usize) -> Rule {
    Rule { from, to: Some(to), change: Change::Join(part) }
}

/// A vector with dimensions of 1 before it.
pub(super) const fn flatten(from: &'static str, to: &'static str) -> Rule {
    Rule { from, to: Some(to), change: Change::Flatten }
}

/// A tensor stacked over all blocks; `{i}` in `to` is the index of the block.
pub(super) const fn unstack(from: &'static str, to: &'static str) -> Rule {
    Rule { from, to: Some(to), change: Change::Unstack }
}

/// One part of a tensor that `to` concatenates along its first dimension, as q, k and v.
pub(super) const fn concatenated(from: &'static str, to: &'static str, part: usize) -> Rule {
    Rule { from, to: Some(to), change: Change::Concat(part) }
}

/// Another conversion.
pub(super) const fn change(from: &'static str, to: &'static str, change: Change) -> Rule {
    Rule { from, to: Some(to), change }
}

/// A tensor of zeros in `to` that `from` leaves out.
pub(super) const fn zero(to: &'static str) -> Rule {
    Rule { from: "", to: Some(to), change: Change::Zero }
}

impl Change {
    /// Whether the conversion cannot be reversed.
    pub fn is_one_way(self) -> bool {
        matches!(
            self,
            Change::Transpose
                | Change::Join(_)
                | Change::Unstack
                | Change::Concat(_)
                | Change::Background
                | Change::Unfold
                | Change::Matrix
                | Change::Ring
                | Change::Zero
        )
    }

    /// Converts a tensor for the other naming; `back` means from `to` to `from`.
    ///
    /// # Errors
    /// A tensor whose shape does not permit it.
    pub fn apply(self, tensor: &Tensor, back: bool) -> Result<Tensor> {
        Ok(match self {
            Change::Transpose if tensor.dim() == 4 => tensor.f_permute([3, 2, 0, 1])?,
            Change::Transpose if tensor.dim() > 1 => tensor.f_flatten(0, -2)?.f_transpose(0, 1)?,
            Change::Join(_) if tensor.dim() == 3 => tensor.f_flatten(1, 2)?.f_transpose(0, 1)?,
            Change::Join(_) => tensor.f_flatten(0, -1)?,
            Change::Flatten if !back => tensor.f_flatten(0, -1)?,
            Change::Unflatten(kernel) if !back && tensor.dim() == 2 => {
                tensor.f_reshape([tensor.size()[0], -1, kernel, kernel])?
            }
            Change::Lead(n) if !back => (0..n).try_fold(tensor.shallow_clone(), |t, _| t.f_unsqueeze(0))?,
            Change::Lead(n) => (0..n).try_fold(tensor.shallow_clone(), |t, _| t.f_squeeze_dim(0))?,
            Change::Trail(n) if !back => (0..n).try_fold(tensor.shallow_clone(), |t, _| t.f_unsqueeze(-1))?,
            Change::Trail(n) => (0..n).try_fold(tensor.shallow_clone(), |t, _| t.f_squeeze_dim(-1))?,
            Change::Matrix if !back && tensor.dim() == 4 => tensor.f_flatten(1, -1)?,
            Change::Ring if tensor.size().get(2..) == Some(&[1, 1]) => {
                tensor.f_constant_pad_nd([1, 1, 1, 1])?
            }
            Change::Exchange => tensor.f_transpose(0, 1)?,
            Change::Flip => tensor.f_flip([1])?,
            Change::Background if tensor.size().first() == Some(&BACKGROUND_ROWS) => {
                tensor.f_narrow(0, 1, BACKGROUND_ROWS - 1)?
            }
            // (…, 4C) with columns (channel, row, column) to (column, row, channel).
            Change::Unfold => {
                let size = tensor.size();
                let (columns, rest) = size.split_last().context("a scalar")?;
                let split = [rest, &[columns / 4, 2, 2]].concat();
                tensor.f_reshape(split)?.f_transpose(-3, -1)?.f_reshape(size)?
            }
            Change::Unflatten(_) if back && tensor.dim() == 4 => tensor.f_flatten(1, -1)?,
            _ => tensor.shallow_clone(),
        })
    }
}
