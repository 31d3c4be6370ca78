//! Mean and standard deviation of the channels of images, and normalisation by them.

use crate::torch;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// Mean and standard deviation (std) for pixels in [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// One per channel, or a mean image (channels, height, width).
    pub mean: Vec<f32>,
    /// One per channel.
    pub std: Vec<f32>,
}

impl Statistics {
    /// The mean colour in 8 bits; the same value in all channels for grey images.
    pub fn color(&self) -> [u8; 3] {
        let level = |i: usize| {
            (255.0 * self.mean.get(i).or(self.mean.first()).unwrap_or(&0.0)).round_ties_even() as u8
        };
        [level(0), level(1), level(2)]
    }
}

/// `(x / 255 − mean) / std` of uint8 images (N, C, H, W), as float32 on the device. The bytes are copied
/// there and converted on it.
///
/// # Errors
/// Images whose channels, or size if there is a mean image, differ from those of the statistics.
pub fn normalise(images: &Tensor, statistics: &Statistics, device: Device) -> Result<Tensor> {
    let Statistics { mean, std } = statistics;
    let scale: Vec<f32> = std.iter().map(|std| 1.0 / (255.0 * std)).collect();
    // One mean per channel, or one per pixel.
    let plane = (mean.len() / std.len().max(1)).max(1);
    let shift = mean.chunks(plane).zip(std).flat_map(|(mean, std)| mean.iter().map(move |mean| -mean / std));
    let shift: Vec<f32> = shift.collect();
    if plane == 1 && device == Device::Cpu {
        return torch::scaled(images, &scale, &shift);
    }
    let on_device = |values: &[f32], shape: &[i64]| -> Result<Tensor> {
        Ok(torch::upload(&Tensor::f_from_slice(values)?, device)?.f_reshape(shape)?)
    };
    let size = images.size();
    let shape = if plane == 1 { [1, -1, 1, 1] } else { [1, size[1], size[2], size[3]] };
    let mut pixels = torch::upload(images, device)?.f_to_kind(Kind::Float)?;
    let mut pixels = pixels.f_mul_(&on_device(&scale, &[1, -1, 1, 1])?)?;
    Ok(pixels.f_add_(&on_device(&shift, &shape)?)?)
}

/// Normalised images (N, C, H, W) as a network takes them: of this height and width, in channels_last order.
///
/// # Errors
/// Tensors of another shape.
pub(crate) fn fitted(images: &Tensor, [height, width]: [i64; 2]) -> Result<Tensor> {
    if images.size()[2..] == [height, width] {
        return torch::channels_last(images);
    }
    torch::channels_last(&images.f_internal_upsample_bilinear2d_aa([height, width], false, None, None)?)
}
