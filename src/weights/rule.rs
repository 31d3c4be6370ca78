//! The rules of a naming: prefixes of keys in two libraries, and the conversion of their tensors; see
//! [`super::naming`].

use anyhow::Result;
use tch::Tensor;

/// The mapping of one library's keys to another's.
pub(super) struct Naming {
    /// Prefixes of the registered names of the models it applies to.
    pub models: &'static [&'static str],
    pub from: &'static str,
    pub to: &'static str,
    pub rules: &'static [&'static [Rule]],
}

impl Naming {
    /// Whether the mapping cannot be reversed.
    pub fn is_one_way(&self) -> bool {
        self.rules().any(|rule| rule.change.is_one_way())
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

impl Change {
    /// Whether the conversion cannot be reversed.
    pub fn is_one_way(self) -> bool {
        matches!(self, Change::Transpose | Change::Join(_) | Change::Unstack)
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
            Change::Unflatten(_) if back && tensor.dim() == 4 => tensor.f_flatten(1, -1)?,
            _ => tensor.shallow_clone(),
        })
    }
}
