//! Batch norm and what follows it in one operator: float32 on the CPU in channels_last order.

use super::ffi::{check, or_null, tv_affine_relu, tv_batch_norm_relu};
use anyhow::Result;
use std::ptr;
use tch::Tensor;

/// The tensors (C) and numbers of a batch norm, with the meanings of `torch.nn.BatchNorm2d`.
#[derive(Clone, Copy)]
pub struct BatchNorm<'a> {
    pub weight: &'a Tensor,
    pub bias: &'a Tensor,
    pub running_mean: &'a Tensor,
    pub running_var: &'a Tensor,
    pub momentum: f64,
    pub eps: f64,
}

/// A training pass of `norm(x) + residual` over (N, C, H, W), then ReLU if `relu`; updates the running statistics.
/// Differentiable once. Returns `None` and does nothing for other dtypes, devices and memory formats, which need
/// libtorch's own operators.
pub fn batch_norm_relu(
    x: &Tensor,
    norm: BatchNorm,
    residual: Option<&Tensor>,
    relu: bool,
) -> Result<Option<Tensor>> {
    let mut out = ptr::null_mut();
    // SAFETY: the shim checks dtypes, devices and sizes of these live tensors; the one it returns is owned here.
    unsafe {
        check(tv_batch_norm_relu(
            &mut out,
            x.as_ptr(),
            or_null(residual),
            norm.weight.as_ptr(),
            norm.bias.as_ptr(),
            norm.running_mean.as_ptr(),
            norm.running_var.as_ptr(),
            norm.momentum,
            norm.eps,
            i32::from(relu),
        ))?;
        Ok((!out.is_null()).then(|| Tensor::from_ptr(out)))
    }
}

/// `x · scale + shift` over (N, C, H, W), then ReLU if `relu`, without gradient. Returns `None` for the same inputs as
/// [`batch_norm_relu`].
pub fn affine_relu(x: &Tensor, scale: &Tensor, shift: &Tensor, relu: bool) -> Result<Option<Tensor>> {
    let mut out = ptr::null_mut();
    // SAFETY: as above.
    unsafe {
        check(tv_affine_relu(&mut out, x.as_ptr(), scale.as_ptr(), shift.as_ptr(), i32::from(relu)))?;
        Ok((!out.is_null()).then(|| Tensor::from_ptr(out)))
    }
}
