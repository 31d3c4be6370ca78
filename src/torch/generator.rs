//! The state of libtorch's random generators, which tch can only seed.

use super::ffi::{check, tv_generator_state, tv_set_generator_state};
use anyhow::Result;
use std::ffi::c_int;
use std::ptr;
use tch::{Device, Tensor};

/// Where the default generator of a device stood.
#[derive(Debug)]
pub struct GeneratorState {
    state: Tensor,
    /// The index of the GPU, or -1.
    index: c_int,
}

impl GeneratorState {
    /// # Errors
    /// A device that is not there.
    pub fn save(device: Device) -> Result<Self> {
        let index = match device {
            Device::Cuda(index) => c_int::try_from(index)?,
            _ => -1,
        };
        let mut out = ptr::null_mut();
        // SAFETY: the tensor that the shim returns is owned here.
        let state = unsafe {
            check(tv_generator_state(&mut out, index))?;
            Tensor::from_ptr(out)
        };
        Ok(Self { state, index })
    }

    /// Puts the generator there again.
    ///
    /// # Errors
    /// As of libtorch.
    pub fn restore(&self) -> Result<()> {
        // SAFETY: the shim reads a live tensor.
        check(unsafe { tv_set_generator_state(self.state.as_ptr(), self.index) })
    }
}
