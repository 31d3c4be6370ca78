//! Tensors that tch cannot make.

use super::ffi::{check, scalar_type, tv_empty_meta, tv_from_owner, tv_is_meta, tv_zeros_pinned};
use anyhow::{Result, ensure};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::slice;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Values that are scaled in one go: some cache lines.
const RUN: usize = 128;

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

/// A CPU tensor over memory of `owner`, which lives as long as any tensor over that memory.
///
/// # Safety
/// While `owner` lives, the elements that shape and strides reach from `data` on are in memory, at an address that the
/// dtype allows, which tensors may read and write and nothing in Rust has a reference to.
///
/// # Errors
/// Another number of strides than of dimensions.
pub unsafe fn from_owner<T: Send + Sync + 'static>(
    owner: Arc<T>,
    data: *mut u8,
    shape: &[i64],
    strides: &[i64],
    kind: Kind,
) -> Result<Tensor> {
    extern "C" fn release<T>(owner: *mut c_void) {
        // SAFETY: the pointer of `Arc::into_raw` below, released once.
        drop(unsafe { Arc::from_raw(owner.cast_const().cast::<T>()) });
    }
    ensure!(shape.len() == strides.len(), "shape {shape:?} with strides {strides:?}");
    let mut out = std::ptr::null_mut();
    // SAFETY: the memory is as the caller promises; the shim reads as many sizes and strides as there are, releases the
    // owner once, also when it fails, and gives a new tensor, which `from_ptr` then owns.
    unsafe {
        check(tv_from_owner(
            &mut out,
            data.cast(),
            shape.as_ptr(),
            strides.as_ptr(),
            shape.len(),
            scalar_type(kind),
            Arc::into_raw(owner).cast_mut().cast(),
            release::<T>,
        ))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// A new uint8 tensor on the CPU whose bytes, in the order of its shape, `write` writes; what it leaves is 0. `pinned`
/// memory cannot be paged out: [`upload`] of it goes on by itself.
///
/// # Errors
/// A shape that is impossible, or pinned memory without a GPU.
pub fn written<T>(shape: &[i64], pinned: bool, write: impl FnOnce(&mut [u8]) -> T) -> Result<(Tensor, T)> {
    let tensor =
        if pinned { zeros_pinned(shape)? } else { Tensor::f_zeros(shape, (Kind::Uint8, Device::Cpu))? };
    let bytes = match tensor.numel() {
        0 => &mut [],
        // SAFETY: the tensor is new, contiguous and nobody else's, and has so many bytes, all of them zeros.
        count => unsafe { slice::from_raw_parts_mut(tensor.data_ptr().cast(), count) },
    };
    let out = write(bytes);
    Ok((tensor, out))
}

fn zeros_pinned(shape: &[i64]) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    // SAFETY: the shim reads `shape.len()` numbers and gives a new tensor, which `from_ptr` then owns.
    unsafe {
        check(tv_zeros_pinned(&mut out, shape.as_ptr(), shape.len()))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// A CPU tensor on `device` (`tensor.to(device, non_blocking=True)`). A GPU's work on it queues behind the copy, so that
/// nothing waits here: for what is in pinned memory; other memory is first staged.
///
/// # Errors
/// A device that is not there, or that has no memory left.
pub fn upload(tensor: &Tensor, device: Device) -> Result<Tensor> {
    Ok(tensor.f_to_device_(device, tensor.kind(), true, false)?)
}

/// `x · scale + shift`, with a number a channel, of uint8 images (N, C, H, W) on the CPU: float32 in the same order of memory,
/// in one pass.
///
/// # Errors
/// Other tensors, or as many numbers as there are no channels.
pub fn scaled(images: &Tensor, scale: &[f32], shift: &[f32]) -> Result<Tensor> {
    let (_, channels, height, width) = images.size4()?;
    ensure!(
        images.kind() == Kind::Uint8 && images.device() == Device::Cpu,
        "images of {:?} on {:?} instead of bytes on the CPU",
        images.kind(),
        images.device()
    );
    ensure!(
        scale.len() as i64 == channels && shift.len() as i64 == channels,
        "statistics of {} channels for images of {channels}",
        scale.len()
    );
    let is_last = channels > 1 && images.stride()[1] == 1;
    let images =
        if is_last { images.f_permute([0, 2, 3, 1])?.f_contiguous()? } else { images.f_contiguous()? };
    let out = Tensor::f_empty(images.size(), (Kind::Float, Device::Cpu))?;
    let count = images.numel();
    if count > 0 {
        // SAFETY: both are contiguous and have so many values; nobody writes the first meanwhile, the second is new and
        // nobody else's.
        let (bytes, floats) = unsafe {
            (
                slice::from_raw_parts(images.data_ptr().cast::<u8>(), count),
                slice::from_raw_parts_mut(out.data_ptr().cast::<MaybeUninit<f32>>(), count),
            )
        };
        let (channels, plane) = (channels as usize, (height * width) as usize);
        if is_last {
            let repeated = |values: &[f32]| values.repeat(RUN);
            let (scale, shift) = (repeated(scale), repeated(shift));
            for (bytes, floats) in bytes.chunks(scale.len()).zip(floats.chunks_mut(scale.len())) {
                for (((out, &value), scale), shift) in floats.iter_mut().zip(bytes).zip(&scale).zip(&shift) {
                    out.write(f32::from(value) * scale + shift);
                }
            }
        } else {
            for (i, (bytes, floats)) in bytes.chunks(plane).zip(floats.chunks_mut(plane)).enumerate() {
                let (scale, shift) = (scale[i % channels], shift[i % channels]);
                for (out, &value) in floats.iter_mut().zip(bytes) {
                    out.write(f32::from(value) * scale + shift);
                }
            }
        }
    }
    Ok(if is_last { out.f_permute([0, 3, 1, 2])? } else { out })
}
