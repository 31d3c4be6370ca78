//! oneDNN's fused kernels on the CPU: a convolution or linear layer with weights in the kernel's own layout, and what
//! follows it, in one call. They have no gradient.

use super::ffi::{
    check, or_null, tv_fused_convolution, tv_fused_linear, tv_has_mkldnn, tv_is_packed_alike,
    tv_pack_convolution, tv_pack_linear,
};
use anyhow::{Result, ensure};
use std::ffi::CStr;
use std::ptr;
use tch::{Kind, Tensor};

/// Whether this libtorch has the kernels, and this processor supports them for tensors of `kind`.
pub fn has_fused_kernels(kind: Kind) -> bool {
    // SAFETY: returns a constant.
    let compiled = unsafe { tv_has_mkldnn() != 0 };
    compiled && (kind == Kind::Float || kind == Kind::BFloat16 && has_bfloat16())
}

/// Whether the processor has instructions that multiply bfloat16, so that it is faster than float32.
pub fn computes_in_bfloat16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether oneDNN has kernels for bfloat16 here, fast or not.
fn has_bfloat16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// An elementwise function under oneDNN's name, its parameters, and which algorithm computes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pointwise {
    pub name: &'static CStr,
    pub scalars: &'static [f64],
    pub algorithm: Option<&'static CStr>,
}

impl Pointwise {
    /// No function.
    pub const NONE: Pointwise = Pointwise::named(c"none");

    /// A function without parameters.
    pub const fn named(name: &'static CStr) -> Self {
        Self { name, scalars: &[], algorithm: None }
    }
}

/// The geometry of a convolution: (height, width) each; `padding` zeros on both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    pub padding: [i64; 2],
    pub stride: [i64; 2],
    pub dilation: [i64; 2],
    pub groups: i64,
}

/// `weight` (out, in/groups, kh, kw) in the layout that is best for the kernel for inputs of size `input` (N, C, H, W);
/// usable only by [`fused_convolution`].
pub fn pack_convolution(weight: &Tensor, window: Window, input: [i64; 4]) -> Result<Tensor> {
    let Window { padding, stride, dilation, groups } = window;
    let mut out = ptr::null_mut();
    // SAFETY: the shim reads arrays of 2 and 4 numbers and a live tensor; the tensor it returns is owned here.
    unsafe {
        check(tv_pack_convolution(
            &mut out,
            weight.as_ptr(),
            padding.as_ptr(),
            stride.as_ptr(),
            dilation.as_ptr(),
            groups,
            input.as_ptr(),
        ))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// `after(convolution(x) + other)` with a packed weight. With `other`, of the output's shape, `after` is ReLU or none.
pub fn fused_convolution(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    window: Window,
    other: Option<&Tensor>,
    after: Pointwise,
) -> Result<Tensor> {
    ensure!(x.dim() == 4, "a convolution takes (N, C, H, W), not {:?}", x.size());
    let Window { padding, stride, dilation, groups } = window;
    let mut out = ptr::null_mut();
    // SAFETY: as in `pack_convolution`; the strings end with NUL, and `scalars` has the given length.
    unsafe {
        check(tv_fused_convolution(
            &mut out,
            x.as_ptr(),
            weight.as_ptr(),
            or_null(bias),
            or_null(other),
            padding.as_ptr(),
            stride.as_ptr(),
            dilation.as_ptr(),
            groups,
            after.name.as_ptr(),
            after.scalars.as_ptr(),
            after.scalars.len(),
            after.algorithm.map_or(ptr::null(), CStr::as_ptr),
        ))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// `weight` (out, in) in the layout that is best for the kernel for `rows` rows; usable only by [`fused_linear`].
pub fn pack_linear(weight: &Tensor, rows: i64) -> Result<Tensor> {
    let mut out = ptr::null_mut();
    // SAFETY: the shim reads a live tensor; the tensor it returns is owned here.
    unsafe {
        check(tv_pack_linear(&mut out, weight.as_ptr(), rows))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// Whether two packed weights of the same values are the same bytes, because they have the same layout.
pub fn is_packed_alike(a: &Tensor, b: &Tensor) -> Result<bool> {
    let mut same = 0;
    // SAFETY: the shim reads two live tensors, and writes one number.
    unsafe { check(tv_is_packed_alike(&mut same, a.as_ptr(), b.as_ptr()))? };
    Ok(same != 0)
}

/// `after(x · weightᵀ + bias)` with a packed weight.
pub fn fused_linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, after: Pointwise) -> Result<Tensor> {
    let mut out = ptr::null_mut();
    // SAFETY: as in `fused_convolution`.
    unsafe {
        check(tv_fused_linear(
            &mut out,
            x.as_ptr(),
            weight.as_ptr(),
            or_null(bias),
            after.name.as_ptr(),
            after.scalars.as_ptr(),
            after.scalars.len(),
            after.algorithm.map_or(ptr::null(), CStr::as_ptr),
        ))?;
        Ok(Tensor::from_ptr(out))
    }
}
