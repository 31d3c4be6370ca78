//! Pooling over (N, C, H, W).

use super::Layer;
use crate::torch;
use anyhow::Result;
use tch::Tensor;

/// `torch.nn.MaxPool2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2d {
    pub kernel: i64,
    pub stride: i64,
    pub padding: i64,
    pub ceil_mode: bool,
}

impl MaxPool2d {
    /// Stride as the kernel, no padding, floor.
    pub fn new(kernel: i64) -> Self {
        Self { kernel, stride: kernel, padding: 0, ceil_mode: false }
    }
}

impl Layer for MaxPool2d {
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        let (kernel, stride, padding) = ([self.kernel; 2], [self.stride; 2], [self.padding; 2]);
        Ok(x.f_max_pool2d(kernel, stride, padding, [1; 2], self.ceil_mode)?)
    }
}

/// `torch.nn.AvgPool2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool2d {
    pub kernel: i64,
    pub stride: i64,
    pub padding: i64,
    pub ceil_mode: bool,
    /// Whether padded zeros count in the average.
    pub count_include_pad: bool,
}

impl AvgPool2d {
    /// Stride as the kernel, no padding, floor.
    pub fn new(kernel: i64) -> Self {
        Self { kernel, stride: kernel, padding: 0, ceil_mode: false, count_include_pad: true }
    }
}

impl Layer for AvgPool2d {
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        let (kernel, stride, padding) = ([self.kernel; 2], [self.stride; 2], [self.padding; 2]);
        // A divisor_override, even of 1, would make this a sum.
        Ok(x.f_avg_pool2d(kernel, stride, padding, self.ceil_mode, self.count_include_pad, None::<i64>)?)
    }
}

/// `torch.nn.AdaptiveAvgPool2d`: (N, C, H, W) to (N, C, height, width).
pub fn adaptive_avg_pool(x: &Tensor, size: [i64; 2]) -> Result<Tensor> {
    let (n, c, _, _) = x.size4()?;
    Ok(match torch::is_meta(x)? {
        true => torch::empty_meta(&[n, c, size[0], size[1]], x.kind())?,
        false => x.f_adaptive_avg_pool2d(size)?,
    })
}

/// The mean over height and width: (N, C, H, W) to (N, C).
pub fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_adaptive_avg_pool2d([1, 1])?.f_flatten(1, -1)?)
}
