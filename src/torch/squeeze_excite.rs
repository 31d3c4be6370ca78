//! Squeeze-and-excitation in one operator: float32 on the CPU in channels_last order.

use super::ffi::{check, or_null, tv_squeeze_excite};
use super::{Pointwise, SharedTensor};
use anyhow::Result;
use std::ptr;
use tch::Tensor;

/// A matrix product over the channels: weight (in, out), bias (out), and the function after it.
pub struct Product {
    pub weight: SharedTensor,
    pub bias: Option<SharedTensor>,
    pub after: Pointwise,
}

/// `x · expand(reduce(mean))` over (N, C, H, W), the mean of each channel's pixels, without gradient. Returns `None`
/// for other dtypes, devices, memory formats and functions, which need libtorch's own operators.
pub fn squeeze_excite(x: &Tensor, reduce: &Product, expand: &Product) -> Result<Option<Tensor>> {
    let mut out = ptr::null_mut();
    // SAFETY: the shim checks dtypes, devices and sizes of these live tensors; the strings end with NUL; the tensor it
    // returns is owned here.
    unsafe {
        check(tv_squeeze_excite(
            &mut out,
            x.as_ptr(),
            reduce.weight.as_ptr(),
            or_null(reduce.bias.as_deref()),
            expand.weight.as_ptr(),
            or_null(expand.bias.as_deref()),
            reduce.after.name.as_ptr(),
            expand.after.name.as_ptr(),
        ))?;
        Ok((!out.is_null()).then(|| Tensor::from_ptr(out)))
    }
}
