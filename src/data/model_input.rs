//! From pictures to the input of a network, as it was trained.

use super::image::{Interpolation, RgbImage, luma};
use super::preprocess::stacked;
use super::statistics::fitted;
use super::{CropMode, Preprocess, Statistics, normalise};
use crate::{Usage, torch};
use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fmt;
use tch::{Device, Kind, Tensor};

/// The whole way from a picture of any size to the input of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInput {
    /// From a picture to an image with 8 bits a channel, of `preprocess.input` (C, H, W).
    pub preprocess: Preprocess,
    /// How images are normalised.
    pub statistics: Statistics,
    /// Of images of one size, which are taken whole: height and width that they are resized to when they are normalised.
    /// Absent for pictures of any size, which `preprocess` brings to that of the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<[i64; 2]>,
}

impl From<Preprocess> for ModelInput {
    /// Of a network for pictures of any size.
    fn from(preprocess: Preprocess) -> Self {
        Self { statistics: preprocess.statistics(), preprocess, size: None }
    }
}

impl ModelInput {
    /// Of a network for images (C, H, W) of one size: a picture of another size is resized to theirs as a whole.
    pub fn of_images(images: [i64; 3], statistics: Statistics, size: [i64; 2]) -> Self {
        let channel = |values: &[f32], i: usize| f64::from(*values.get(i).or(values.first()).unwrap_or(&0.0));
        // A mean image has no one colour.
        let mean =
            if statistics.mean.len() == statistics.std.len() { statistics.mean.as_slice() } else { &[] };
        let preprocess = Preprocess {
            input: images,
            resize: images[1],
            interpolation: Interpolation::Bilinear,
            crop_mode: CropMode::Squash,
            crop_pct: 1.0,
            mean: std::array::from_fn(|i| channel(mean, i)),
            std: std::array::from_fn(|i| channel(&statistics.std, i)),
        };
        Self { preprocess, statistics, size: Some(size) }
    }

    /// The shape (C, H, W) of what the network sees.
    pub fn shape(&self) -> [i64; 3] {
        let [channels, height, width] = self.preprocess.input;
        let [height, width] = self.size.unwrap_or([height, width]);
        [channels, height, width]
    }

    /// One picture of the mean colour, (1, C, H, W).
    ///
    /// # Errors
    /// None but libtorch's.
    pub fn blank(&self, device: Device) -> Result<Tensor> {
        let [channels, height, width] = self.shape();
        Ok(Tensor::f_zeros([1, channels, height, width], (Kind::Float, device))?)
    }

    /// For several views of a picture: images that are taken whole are resized at once to the size that the network sees,
    /// and have a border of the mean colour where a view is larger. A mean image fits views of the images' own size alone.
    pub fn of_pictures(&self) -> Self {
        if self.size.is_none() {
            return self.clone();
        }
        let has_image = self.statistics.mean.len() != self.statistics.std.len();
        let input = if has_image { self.preprocess.input } else { self.shape() };
        let preprocess =
            Preprocess { input, resize: input[1], crop_mode: CropMode::Border, ..self.preprocess.clone() };
        let size = self.size.filter(|_| has_image);
        Self { preprocess, statistics: self.statistics.clone(), size }
    }

    /// The network's input (N, C, H, W) for images in uint8 (N, C, H, W), float32 in channels_last order.
    ///
    /// # Errors
    /// Images of other channels, or of another size where there is a mean image.
    pub fn of_tensor(&self, images: &Tensor, device: Device) -> Result<Tensor> {
        let images = normalise(images, &self.statistics, device)?;
        self.size.map_or_else(|| torch::channels_last(&images), |size| fitted(&images, size))
    }

    /// The network's input (N, C, H, W) for RGB images of one size, such as views of pictures.
    ///
    /// # Errors
    /// No images, images of several sizes, and as [`Self::of_tensor`].
    pub fn of_views<'a>(
        &self,
        views: impl IntoIterator<Item = &'a RgbImage>,
        device: Device,
    ) -> Result<Tensor> {
        let images = stacked(views)?;
        match self.preprocess.input[0] {
            3 => self.of_tensor(&images, device),
            1 => self.of_tensor(&grey(&images)?, device),
            channels => bail!("pictures are made RGB or grey, and this model takes {channels} channels"),
        }
    }
}

/// How pictures become the input, where it is not as a network was trained; what is absent stays as it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputSettings {
    /// Height and width.
    pub size: Option<i64>,
    /// The fraction of the resized side that the crop keeps.
    pub crop: Option<f64>,
    pub interpolation: Option<Interpolation>,
    /// One a channel, for pixels in [0, 1].
    pub mean: Option<Vec<f32>>,
    /// As `mean`.
    pub std: Option<Vec<f32>>,
}

impl InputSettings {
    /// The input with these settings.
    ///
    /// # Errors
    /// [`Usage`] for values out of range, or that do not apply to images of one size.
    pub fn apply(&self, input: ModelInput) -> Result<ModelInput> {
        let ModelInput { mut preprocess, mut statistics, mut size } = input;
        if let Some(side) = self.size {
            ensure!((1..=4096).contains(&side), Usage(format!("a size of {side} is not between 1 and 4096")));
        }
        if size.is_some() {
            let text = "a crop and an interpolation are for pictures of any size: this model's images are taken whole";
            ensure!(self.crop.is_none() && self.interpolation.is_none(), Usage(text.into()));
            size = self.size.map(|side| [side, side]).or(size);
        } else {
            if let Some(crop) = self.crop {
                ensure!(
                    (0.1..=1.0).contains(&crop),
                    Usage(format!("a crop of {crop} is not between 0.1 and 1"))
                );
                preprocess.crop_pct = crop;
            }
            if self.size.is_some() || self.crop.is_some() {
                let side = self.size.unwrap_or(preprocess.input[1]);
                preprocess = preprocess.at(side);
            }
            preprocess.interpolation = self.interpolation.unwrap_or(preprocess.interpolation);
        }
        let channels = statistics.std.len();
        for (what, given, used) in
            [("mean", &self.mean, &mut statistics.mean), ("std", &self.std, &mut statistics.std)]
        {
            if let Some(values) = given {
                let (count, is_std) = (values.len(), what == "std");
                ensure!(
                    count == channels,
                    Usage(format!("a {what} of {count} values for {channels} channels"))
                );
                ensure!(
                    !is_std || values.iter().all(|&x| x > 0.0),
                    Usage(format!("a std of {values:?} is not positive"))
                );
                used.clone_from(values);
                let three = |i: usize| f64::from(*values.get(i).unwrap_or(&values[0]));
                *(if is_std { &mut preprocess.std } else { &mut preprocess.mean }) =
                    std::array::from_fn(three);
            }
        }
        Ok(ModelInput { preprocess, statistics, size })
    }
}

impl fmt::Display for InputSettings {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { size, crop, interpolation, mean, std } = self;
        let given = [
            size.map(|size| format!("size {size}")),
            crop.map(|crop| format!("crop {crop}")),
            interpolation.map(|interpolation| format!("interpolation {interpolation:?}").to_lowercase()),
            mean.as_ref().map(|mean| format!("mean {mean:?}")),
            std.as_ref().map(|std| format!("std {std:?}")),
        ];
        f.write_str(&given.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// uint8 RGB images (N, 3, H, W) as grey ones (N, 1, H, W).
fn grey(images: &Tensor) -> Result<Tensor> {
    let pixels = Vec::<u8>::try_from(images.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_view(-1)?)?;
    let grey: Vec<u8> = pixels.chunks_exact(3).map(luma).collect();
    let size = images.size();
    Ok(Tensor::f_from_slice(&grey)?.f_view([size[0], 1, size[2], size[3]])?)
}
