//! Automatic mixed precision with a chosen dtype, also on the CPU.

use super::ffi::{check, scalar_type, tv_autocast};
use anyhow::Result;
use tch::{Device, Kind};

/// Autocast for this thread, from its creation until it is dropped (`torch.autocast(device, dtype)`).
pub struct Autocast {
    cuda: i32,
    was_enabled: i32,
    was_dtype: i32,
}

impl Autocast {
    /// Matrix products and convolutions on `device` run in `kind` (bfloat16 or half) until the guard is dropped.
    pub fn new(device: Device, kind: Kind) -> Result<Self> {
        let cuda = i32::from(device.is_cuda());
        let (mut was_enabled, mut was_dtype) = (0, 0);
        // SAFETY: plain integers in and out.
        check(unsafe { tv_autocast(cuda, 1, scalar_type(kind), &mut was_enabled, &mut was_dtype) })?;
        Ok(Self { cuda, was_enabled, was_dtype })
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        let (mut enabled, mut dtype) = (0, 0);
        // SAFETY: as above. A failure here leaves autocast on; a drop cannot report it.
        let _ = check(unsafe {
            tv_autocast(self.cuda, self.was_enabled, self.was_dtype, &mut enabled, &mut dtype)
        });
    }
}
