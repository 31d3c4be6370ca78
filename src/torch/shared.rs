//! Tensors that many threads read at once.

use std::ops::Deref;
use tch::Tensor;

/// A tensor that several threads may read at once. tch's is only `Send`.
#[derive(Debug)]
pub struct SharedTensor(Tensor);

// SAFETY: libtorch reads a tensor in many threads at once, and counts its owners atomically. Through a shared reference
// nothing is written: what writes in place takes `&mut Tensor`, which this type never gives.
unsafe impl Sync for SharedTensor {}

impl From<Tensor> for SharedTensor {
    fn from(tensor: Tensor) -> Self {
        Self(tensor)
    }
}

impl Deref for SharedTensor {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        &self.0
    }
}
