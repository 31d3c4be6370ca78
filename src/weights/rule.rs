//! One rule of a naming: how a key is spelt elsewhere, and what becomes of the tensor; see [`super::naming`].

use anyhow::Result;
use tch::Tensor;

/// How the keys of one library are spelt in another.
pub(super) struct Naming {
    /// What the registered names of these models begin with.
    pub models: &'static [&'static str],
    pub from: &'static str,
    pub to: &'static str,
    pub rules: &'static [&'static [Rule]],
}

impl Naming {
    /// Whether there is a way back.
    pub fn is_one_way(&self) -> bool {
        self.rules().any(|rule| rule.change.is_one_way())
    }

    pub fn rules(&self) -> impl Iterator<Item = &'static Rule> {
        self.rules.iter().copied().flatten()
    }
}

/// One prefix of keys in both spellings, and what becomes of the tensors.
pub(super) struct Rule {
    pub from: &'static str,
    /// None: `to` has no such tensor.
    pub to: Option<&'static str>,
    pub change: Change,
}

/// What becomes of a tensor beside its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    Keep,
    /// (out, in·k·k) in `from` is the convolution (out, in, k, k) in `to`; a bias stays as it is.
    Unflatten(i64),
    /// The index buffer that goes with a table of relative positions: `to` does not have it, `from` gets it anew.
    Reindex,
    /// A kernel of Flax or Keras, its outputs last: (h, w, in, out) is (out, in, h, w) in `to`, (…, out) a matrix of
    /// (out, …).
    Transpose,
    /// This part of the tensor in `to`, where parts of one name follow each other: a projection (in, heads, size) to
    /// the heads of attention, (heads · size, in) in `to`, or its bias (heads, size).
    Join(usize),
    /// A tensor for all blocks, which are its first dimension.
    Unstack,
}

/// The same tensor under another name.
pub(super) const fn rename(from: &'static str, to: &'static str) -> Rule {
    Rule { from, to: Some(to), change: Change::Keep }
}

/// A linear layer in `from` that is a convolution of this kernel in `to`.
pub(super) const fn unflatten(from: &'static str, to: &'static str, kernel: i64) -> Rule {
    Rule { from, to: Some(to), change: Change::Unflatten(kernel) }
}

/// A tensor that `to` does not have.
pub(super) const fn without(from: &'static str) -> Rule {
    Rule { from, to: None, change: Change::Keep }
}

/// The buffer of this name in `from`, beside a table of relative positions; `to` has the table alone.
pub(super) const fn position_index(from: &'static str) -> Rule {
    Rule { from, to: None, change: Change::Reindex }
}

/// A kernel whose outputs are its last dimension in `from`, and its first in `to`.
pub(super) const fn transpose(from: &'static str, to: &'static str) -> Rule {
    Rule { from, to: Some(to), change: Change::Transpose }
}

/// A projection to heads that is this part of the tensor in `to`.
pub(super) const fn join(from: &'static str, to: &'static str, part: usize) -> Rule {
    Rule { from, to: Some(to), change: Change::Join(part) }
}

/// Tensors of all blocks in one, `{i}` in `to` counting the blocks.
pub(super) const fn unstack(from: &'static str, to: &'static str) -> Rule {
    Rule { from, to: Some(to), change: Change::Unstack }
}

impl Change {
    /// Whether the way back is not known.
    pub fn is_one_way(self) -> bool {
        matches!(self, Change::Transpose | Change::Join(_) | Change::Unstack)
    }

    /// The tensor as the other naming has it; `back` is from `to` to `from`.
    ///
    /// # Errors
    /// A tensor that cannot be reshaped so.
    pub fn apply(self, tensor: &Tensor, back: bool) -> Result<Tensor> {
        Ok(match self {
            Change::Transpose if tensor.dim() == 4 => tensor.f_permute([3, 2, 0, 1])?,
            Change::Transpose if tensor.dim() > 1 => tensor.f_flatten(0, -2)?.f_transpose(0, 1)?,
            Change::Join(_) if tensor.dim() == 3 => tensor.f_flatten(1, 2)?.f_transpose(0, 1)?,
            Change::Join(_) => tensor.f_flatten(0, -1)?,
            Change::Unflatten(kernel) if !back && tensor.dim() == 2 => {
                tensor.f_reshape([tensor.size()[0], -1, kernel, kernel])?
            }
            Change::Unflatten(_) if back && tensor.dim() == 4 => tensor.f_flatten(1, -1)?,
            _ => tensor.shallow_clone(),
        })
    }
}
