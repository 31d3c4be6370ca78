//! Tensors that tch cannot make.

use super::ffi::{check, scalar_type, tv_empty_meta, tv_is_meta};
use anyhow::Result;
use tch::{Kind, Tensor};

/// A tensor with a shape and a dtype but no memory (`device="meta"`): every operation on it only works out shapes.
///
/// Do not ask it for its device: tch has no name for `meta`.
pub fn empty_meta(size: &[i64], kind: Kind) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    // SAFETY: the shim reads `size.len()` numbers and gives a new tensor, which `from_ptr` then owns.
    unsafe {
        check(tv_empty_meta(&mut out, size.as_ptr(), size.len(), scalar_type(kind)))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// Whether a tensor is on the meta device.
pub fn is_meta(tensor: &Tensor) -> Result<bool> {
    let mut out = 0;
    // SAFETY: the shim reads a live tensor and writes one integer.
    check(unsafe { tv_is_meta(tensor.as_ptr(), &mut out) })?;
    Ok(out != 0)
}

/// The same values in channels_last order (`memory_format=torch.channels_last`); the shape (N, C, H, W) stays.
pub fn channels_last(x: &Tensor) -> Result<Tensor> {
    if x.stride().get(1) == Some(&1) {
        return Ok(x.shallow_clone());
    }
    Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}
