//! The switch that freezes and thaws the layers of one model.

use crate::locked;
use crate::torch::SharedTensor;
use anyhow::Result;
use std::sync::{Arc, Mutex};
use tch::{Kind, Tensor};

/// Whether the layers of one model are frozen, with a count of the freezes: weights prepared for an earlier one are
/// stale.
#[derive(Clone, Default)]
pub(super) struct Switch(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// How often the model has been frozen.
    count: u64,
    kind: Option<Kind>,
    /// Weights that their layers have packed.
    packed: Vec<SharedTensor>,
    /// The freeze for which the floats of packed weights were dropped.
    dropped: Option<u64>,
}

/// A switch that is on: the count of freezes and the dtype.
#[derive(Clone, Copy)]
pub(super) struct On {
    pub count: u64,
    pub kind: Kind,
    /// Whether the floats of packed weights are gone: nothing can be packed again.
    pub dropped: bool,
}

impl Switch {
    pub fn on(&self) -> Option<On> {
        let State { count, kind, dropped, .. } = *locked(&self.0);
        kind.map(|kind| On { count, kind, dropped: dropped.is_some() })
    }

    pub fn freeze(&self, kind: Kind) {
        let mut state = locked(&self.0);
        (state.count, state.kind) = (state.count + 1, Some(kind));
        state.packed.clear();
    }

    pub fn thaw(&self) {
        let mut state = locked(&self.0);
        state.kind = None;
        state.packed.clear();
    }

    /// A layer keeps this weight in its kernel's layout.
    pub fn packed(&self, weight: &Tensor) {
        locked(&self.0).packed.push(weight.shallow_clone().into());
    }

    /// Frees the floats of packed weights, and returns the bytes that they took. In their place stands one number for all
    /// values, which is none.
    pub fn drop_floats(&self) -> Result<u64> {
        let mut state = locked(&self.0);
        let mut bytes = 0;
        let _no_grad = tch::no_grad_guard();
        for weight in std::mem::take(&mut state.packed) {
            let mut weight = weight.shallow_clone();
            bytes += weight.numel() as u64 * weight.kind().elt_size_in_bytes() as u64;
            let none = Tensor::f_full([1], f64::NAN, (weight.kind(), weight.device()))?;
            weight.set_data(&none.f_expand(weight.size(), false)?);
        }
        state.dropped = Some(state.count);
        Ok(bytes)
    }

    /// Whether passes would need floats that were dropped.
    pub fn is_spent(&self) -> bool {
        let state = locked(&self.0);
        state.dropped.is_some_and(|count| state.kind.is_none() || state.count != count)
    }
}
