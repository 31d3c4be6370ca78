//! Shortcuts of residual blocks.

use super::Layer;
use anyhow::{Result, ensure};
use tch::Tensor;

/// A shortcut without parameters (1512.03385, option A): every `stride`-th pixel, and zeros for the added channels. (N,
/// C, H, W) to (N, C + extra, ⌈H/stride⌉, ⌈W/stride⌉).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaddedShortcut {
    stride: i64,
    extra: i64,
}

impl PaddedShortcut {
    /// # Errors
    /// Fewer channels after the block than before it.
    pub fn new(in_channels: i64, out_channels: i64, stride: i64) -> Result<Self> {
        let extra = out_channels - in_channels;
        ensure!(extra >= 0, "shortcut A cannot drop channels ({in_channels} to {out_channels})");
        Ok(Self { stride, extra })
    }
}

impl Layer for PaddedShortcut {
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        let y = x.f_slice(2, None, None, self.stride)?.f_slice(3, None, None, self.stride)?;
        Ok(y.f_constant_pad_nd([0, 0, 0, 0, 0, self.extra])?)
    }
}
