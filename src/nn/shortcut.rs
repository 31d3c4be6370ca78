//! Shortcuts of residual blocks.

use super::Layer;
use super::activation::Activation;
use super::conv_norm::ConvNorm;
use super::dropout::DropPath;
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

/// The way around a block where it keeps the shape, with stochastic depth of the branch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Skip(Option<DropPath>);

impl Skip {
    /// None: the block's output is the branch's.
    pub const NONE: Self = Self(None);

    /// A way around that leaves the branch out with probability `drop_path` in training.
    ///
    /// # Errors
    /// A probability outside [0, 1).
    pub fn new(drop_path: f64) -> Result<Self> {
        Ok(Self(Some(DropPath::new(drop_path)?)))
    }

    /// The block's output from its input `x` and its branch's output.
    ///
    /// # Errors
    /// Shapes that differ.
    pub fn forward(self, x: &Tensor, branch: Tensor, train: bool) -> Result<Tensor> {
        match self.0 {
            Some(drop_path) => Ok(drop_path.forward(&branch, train)?.f_add(x)?),
            None => Ok(branch),
        }
    }

    /// The same where the branch ends with the convolution `last` of `y`: one step when nothing is dropped.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn project(self, x: &Tensor, y: &Tensor, last: &ConvNorm, train: bool) -> Result<Tensor> {
        match self.0 {
            Some(_) if !train => last.forward_add(y, x, Activation::Identity, train),
            _ => self.forward(x, last.forward(y, Activation::Identity, train)?, train),
        }
    }
}
