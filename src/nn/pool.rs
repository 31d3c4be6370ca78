//! Pooling over (N, C, H, W).

use super::observe::{self, Backward};
use super::{Layer, cost};
use crate::torch;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
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
    /// Stride equal to the kernel, no padding, floor.
    pub fn new(kernel: i64) -> Self {
        Self { kernel, stride: kernel, padding: 0, ceil_mode: false }
    }
}

impl Layer for MaxPool2d {
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        let (kernel, stride, padding) = ([self.kernel; 2], [self.stride; 2], [self.padding; 2]);
        if observe::backward() == Some(Backward::Field) {
            return Ok(x.f_avg_pool2d(kernel, stride, padding, self.ceil_mode, true, None::<i64>)?);
        }
        SWITCHES.with_borrow_mut(|switches| match switches {
            None => Ok(x.f_max_pool2d(kernel, stride, padding, [1; 2], self.ceil_mode)?),
            Some(switches) => {
                let (y, positions) =
                    x.f_max_pool2d_with_indices(kernel, stride, padding, [1; 2], self.ceil_mode)?;
                switches.push(positions);
                Ok(y)
            }
        })
    }
}

thread_local! {
    static SWITCHES: RefCell<Option<Vec<Tensor>>> = const { RefCell::new(None) };
}

/// Runs `pass` and returns its result with the switches of its max poolings in order, which a deconvnet needs
/// (1311.2901, section 2.1): for every output value the position of its maximum in the input map, row · width + column,
/// int64 (N, C, H, W). Recorded on this thread only; recordings do not nest.
pub fn record_switches<T>(pass: impl FnOnce() -> T) -> (T, Vec<Tensor>) {
    SWITCHES.set(Some(Vec::new()));
    let result = pass();
    (result, SWITCHES.take().unwrap_or_default())
}

/// Inverts max pooling: puts each value of `x` (N, C, H, W) at the position of its maximum in maps of this height and
/// width, zeros elsewhere. Where windows overlap, values with the same maximum add up.
pub fn max_unpool(x: &Tensor, switches: &Tensor, [height, width]: [i64; 2]) -> Result<Tensor> {
    let (n, c, _, _) = x.size4()?;
    let maps = Tensor::f_zeros([n, c, height * width], (x.kind(), x.device()))?;
    let maps = maps.f_scatter_add(2, &switches.f_flatten(2, -1)?, &x.f_flatten(2, -1)?)?;
    Ok(maps.f_reshape([n, c, height, width])?)
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
    /// Stride equal to the kernel, no padding, floor.
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

/// A binomial 3×3 blur, then every `stride`-th pixel (1904.11486); zero padding, as timm's `blurpc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlurPool2d {
    pub stride: i64,
}

impl Layer for BlurPool2d {
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        let (n, c, h, w) = x.size4()?;
        let side = |size: i64| (size - 1) / self.stride + 1;
        let y = if torch::is_meta(x)? {
            torch::empty_meta(&[n, c, side(h), side(w)], x.kind())?
        } else {
            let row = Tensor::from_slice(&[0.25f32, 0.5, 0.25]);
            let blur = row.f_outer(&row)?.f_to_device(x.device())?.f_to_kind(x.kind())?;
            let blur = blur.f_expand([c, 1, 3, 3], false)?;
            x.f_conv2d(&blur, None::<Tensor>, [self.stride; 2], [1; 2], [1; 2], c)?
        };
        let outputs = y.numel() as i64;
        cost::record(9 * outputs, outputs);
        Ok(y)
    }
}

/// Downsampling without aliasing, in place of a convolution's stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AntiAlias {
    /// The mean of stride × stride pixels.
    Average,
    /// [`BlurPool2d`].
    Blur,
}

impl AntiAlias {
    /// The filter that keeps one pixel of `stride` × `stride`.
    pub fn layer(self, stride: i64) -> Box<dyn Layer> {
        match self {
            AntiAlias::Average => Box::new(AvgPool2d::new(stride)),
            AntiAlias::Blur => Box::new(BlurPool2d { stride }),
        }
    }
}

/// `torch.nn.AdaptiveAvgPool2d`: (N, C, H, W) to (N, C, height, width).
pub fn adaptive_avg_pool(x: &Tensor, size: [i64; 2]) -> Result<Tensor> {
    let (n, c, _, _) = x.size4()?;
    Ok(if torch::is_meta(x)? {
        torch::empty_meta(&[n, c, size[0], size[1]], x.kind())?
    } else {
        x.f_adaptive_avg_pool2d(size)?
    })
}

/// The mean over height and width: (N, C, H, W) to (N, C).
pub fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_adaptive_avg_pool2d([1, 1])?.f_flatten(1, -1)?)
}
