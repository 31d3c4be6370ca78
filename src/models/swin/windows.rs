//! Partitioning of a feature map into windows, shifted or not, and merging them again.

use super::Config;
use crate::models::Library;
use crate::torch;
use anyhow::Result;
use tch::{Kind, Tensor};

/// What the mask adds where two tokens of a shifted window are not neighbours in the map.
const MASKED: f64 = -100.0;

/// The windows over a map of one size; the map is padded to whole windows at the bottom and right edges.
pub(super) struct Windows {
    window: i64,
    size: [i64; 2],
    padded: [i64; 2],
    /// Rows and columns by which the map is rolled up and to the left; 0 where one window covers a side.
    shift: [i64; 2],
    /// timm pads a map after rolling it, torchvision before.
    roll_first: bool,
}

impl Windows {
    /// Over a map of `size` (height, width).
    pub(super) fn new(config: &Config, window: i64, size: [i64; 2], shifted: bool) -> Self {
        let padded = size.map(|side| (side + window - 1) / window * window);
        let shift = padded.map(|side| if shifted && window < side { window / 2 } else { 0 });
        Self { window, size, padded, shift, roll_first: config.keys == Library::Timm }
    }

    /// (N, H, W, C) to (N · windows, window², C).
    pub(super) fn partition(&self, x: &Tensor) -> Result<Tensor> {
        let [h, w] = self.padded;
        let (n, _, _, c) = x.size4()?;
        let shift = self.shift.map(|side| -side);
        let x = if self.roll_first { self.pad(&roll(x, shift)?)? } else { roll(&self.pad(x)?, shift)? };
        let split = [n, h / self.window, self.window, w / self.window, self.window, c];
        Ok(x.f_reshape(split)?.f_permute([0, 1, 3, 2, 4, 5])?.f_reshape([
            -1,
            self.window * self.window,
            c,
        ])?)
    }

    /// The inverse, to (N, H, W, C).
    pub(super) fn merge(&self, x: &Tensor) -> Result<Tensor> {
        let [h, w] = self.padded;
        let c = x.size()[2];
        let split = [-1, h / self.window, w / self.window, self.window, self.window, c];
        let x = x.f_reshape(split)?.f_permute([0, 1, 3, 2, 4, 5])?.f_reshape([-1, h, w, c])?;
        if self.roll_first { roll(&self.crop(&x)?, self.shift) } else { self.crop(&roll(&x, self.shift)?) }
    }

    /// The mask between tokens of a window that only the roll has brought together: (windows, 1, window², window²) in
    /// the dtype of `like`; `None` without a roll.
    pub(super) fn mask(&self, like: &Tensor) -> Result<Option<Tensor>> {
        if self.shift == [0, 0] || torch::is_meta(like)? {
            return Ok(None);
        }
        let ([h, w], window) = (self.padded, self.window);
        let rows = self.regions(0).f_view([h, 1])?;
        let columns = self.regions(1).f_view([1, w])?;
        let regions = rows.f_mul_scalar(3)?.f_add(&columns)?.f_to_device(like.device())?;
        let regions = regions.f_view([h / window, window, w / window, window])?.f_permute([0, 2, 1, 3])?;
        let regions = regions.f_reshape([-1, 1, window * window])?;
        let apart = regions.f_ne_tensor(&regions.f_transpose(1, 2)?)?;
        Ok(Some(apart.f_to_kind(like.kind())?.f_mul_scalar(MASKED)?.f_unsqueeze(1)?))
    }

    /// Which of three regions each position along one side is in after the roll: before the last window, in the part of
    /// the last window that was already next to it, or in the part that came from the opposite edge.
    fn regions(&self, side: usize) -> Tensor {
        let (length, shift) = (self.padded[side], self.shift[side]);
        let region = |i| i64::from(i >= length - self.window) + i64::from(i >= length - shift);
        Tensor::from_slice(&(0..length).map(region).collect::<Vec<i64>>())
    }

    fn pad(&self, x: &Tensor) -> Result<Tensor> {
        if self.padded == self.size {
            return Ok(x.shallow_clone());
        }
        let [down, right] = [0, 1].map(|side| self.padded[side] - self.size[side]);
        Ok(x.f_constant_pad_nd([0, 0, 0, right, 0, down])?)
    }

    fn crop(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_narrow(1, 0, self.size[0])?.f_narrow(2, 0, self.size[1])?)
    }
}

/// `torch.roll` over height and width.
fn roll(x: &Tensor, shift: [i64; 2]) -> Result<Tensor> {
    // Only the shape matters on the meta device, for which libtorch's C++ API has no roll.
    if shift == [0, 0] || torch::is_meta(x)? {
        return Ok(x.shallow_clone());
    }
    Ok(x.f_roll(shift, [1, 2])?)
}

/// The log-spaced relative coordinates of V2 for a window, scaled so that a window of side `reference` spans ±1: (1,
/// 2·window − 1, 2·window − 1, 2).
pub(super) fn relative_coords_table(window: i64, reference: i64) -> Result<Tensor> {
    let side = Tensor::f_arange_start(1 - window, window, (Kind::Float, tch::Device::Cpu))?;
    let far = side.f_mul_scalar(8.0)?.f_div_scalar((reference - 1).max(1) as f64)?;
    let far = far.f_sign()?.f_mul(&far.f_abs()?.f_add_scalar(1.0)?.f_log2()?)?.f_div_scalar(3.0)?;
    let length = 2 * window - 1;
    let rows = far.f_view([length, 1])?.f_expand([length, length], false)?;
    let columns = far.f_view([1, length])?.f_expand([length, length], false)?;
    Ok(Tensor::f_stack(&[rows, columns], 2)?.f_unsqueeze(0)?)
}
