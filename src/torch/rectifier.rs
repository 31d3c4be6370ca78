//! ReLU whose way back is not its gradient.

use super::ffi::{check, tv_rectifier};
use anyhow::Result;
use std::ptr;
use tch::Tensor;

/// min(max(x, 0), `most`). On the way back it passes what is positive: all of it, or, `masked`, where x was between 0 and
/// `most`.
pub fn rectifier(x: &Tensor, most: f64, masked: bool) -> Result<Tensor> {
    let mut out = ptr::null_mut();
    // SAFETY: `x` is live; the tensor that the shim returns is owned here.
    unsafe {
        check(tv_rectifier(&mut out, x.as_ptr(), most, masked.into()))?;
        Ok(Tensor::from_ptr(out))
    }
}
