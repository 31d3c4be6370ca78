//! What a forward pass costs, counted by the layers themselves while it runs.
//!
//! MACs are the multiply-adds of convolutions, linear layers and attention products (QKᵀ and AV); normalisation,
//! biases, activation functions and pooling are not counted, as in the papers. Activations are the output values of
//! convolutions and linear layers (pycls's count, 2003.13678). With a [`super::Store::meta`] a pass allocates nothing
//! and computes only shapes.

use std::cell::Cell;
use std::ops::AddAssign;

/// Multiply-adds and activations of a pass over one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub macs: u64,
    pub activations: u64,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.macs += other.macs;
        self.activations += other.activations;
    }
}

thread_local! {
    static RUNNING: Cell<Option<Cost>> = const { Cell::new(None) };
}

/// Runs `pass` and returns its result with the cost that its layers counted on this thread. Measurements do not nest.
pub fn measure<T>(pass: impl FnOnce() -> T) -> (T, Cost) {
    RUNNING.set(Some(Cost::default()));
    let result = pass();
    (result, RUNNING.take().unwrap_or_default())
}

/// Called by a layer with its multiply-adds and outputs: adds to the count, if one is running on this thread.
/// A model is counted on the meta device, for which libtorch lacks some operators: a layer that needs one of these gives
/// [`crate::torch::empty_meta`] of its output's shape there.
pub fn record(macs: i64, activations: i64) {
    if let Some(mut sum) = RUNNING.get() {
        sum += Cost { macs: macs.unsigned_abs(), activations: activations.unsigned_abs() };
        RUNNING.set(Some(sum));
    }
}
