//! Training augmentation as in torchvision and timm.

mod affine;
mod color;
mod crop;
mod erase;
mod mix;
mod operation;
mod placement;
mod rand_augment;
mod tone;

pub use color::{ColorJitter, Lighting};
pub use crop::{RandomResizedCrop, Rectangle, ScaleJitter};
pub use erase::{Erasure, RandomErasing};
pub use mix::{Mix, Mixture};
pub use operation::{Filling, Operation, Warp};
pub use rand_augment::RandAugment;

use super::image::{Encoded, RgbImage};
use super::{Preprocess, Statistics, Stream};
use crate::torch;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// An augmentation step. Steps are applied in the given order: `augment: [random_resized_crop: {}, flip]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Augment {
    /// Pads every side with this many black pixels and takes a random crop of the original size. Only for
    /// images of one size.
    PadCrop(u32),
    /// Flips an image horizontally with probability 1/2.
    Flip,
    /// For image files, which otherwise get the evaluation crop.
    RandomResizedCrop(RandomResizedCrop),
    /// For image files, as `random_resized_crop`.
    ScaleJitter(ScaleJitter),
    ColorJitter(ColorJitter),
    RandAugment(RandAugment),
    /// Applied to normalised pixels, after all steps on bytes.
    Lighting(Lighting),
    /// Applied to normalised pixels, after all other steps.
    RandomErasing(RandomErasing),
}

/// The steps on one image that follow normalisation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// Added to red, green and blue, for pixels in [0, 1].
    pub light: Option<[f32; 3]>,
    pub erased: Vec<(Rectangle, Erasure)>,
}

impl Augment {
    fn is_placement(&self) -> bool {
        matches!(self, Self::PadCrop(_) | Self::Flip)
    }

    fn is_crop(&self) -> bool {
        matches!(self, Self::RandomResizedCrop(_) | Self::ScaleJitter(_))
    }
}

/// Checks the steps for images in memory with this many channels or, given `side`, for image files that
/// become squares of that side.
///
/// # Errors
/// A step that is invalid, out of place, or does not apply to such images.
pub(super) fn validate(steps: &[Augment], channels: usize, side: Option<usize>) -> Result<()> {
    for (i, step) in steps.iter().enumerate() {
        match step {
            Augment::PadCrop(_) | Augment::Flip => {}
            Augment::RandomResizedCrop(crop) => crop.validate()?,
            Augment::ScaleJitter(jitter) => jitter.validate(side.unwrap_or(0))?,
            Augment::ColorJitter(jitter) => jitter.validate()?,
            Augment::RandAugment(rand) => rand.validate()?,
            Augment::Lighting(_) => {}
            Augment::RandomErasing(erasing) => erasing.validate()?,
        }
        let pads = matches!(step, Augment::PadCrop(_));
        match side {
            Some(_) => {
                ensure!(!pads, "`data.augment`: pad_crop is for images of one size; use random_resized_crop");
                ensure!(i == 0 || !step.is_crop(), "`data.augment`: the crop must come first");
            }
            None => {
                ensure!(!step.is_crop(), "`data.augment`: {step:?} is for images of any size; use pad_crop");
                let first = steps[..i].iter().all(Augment::is_placement);
                ensure!(!pads || first, "`data.augment`: only flip and pad_crop may precede pad_crop");
                let any_channels = step.is_placement() || matches!(step, Augment::RandomErasing(_));
                ensure!(
                    any_channels || channels == 3,
                    "`data.augment`: {step:?} needs colour images, but these have {channels} channel(s)"
                );
            }
        }
    }
    Ok(())
}

/// Augments a planar image (channels, height, width) into `out`, with random numbers from `stream`.
pub(super) fn augment_planes(
    steps: &[Augment],
    planes: &[u8],
    (height, width): (usize, usize),
    fill: [u8; 3],
    stream: &mut Stream,
    out: &mut [u8],
) -> Effects {
    let (placed, rest) = steps.split_at(steps.iter().take_while(|step| step.is_placement()).count());
    placement::place(placed, planes, (height, width), stream, out);
    if rest.is_empty() {
        return Effects::default();
    }
    let on_bytes = |step: &Augment| !matches!(step, Augment::Lighting(_) | Augment::RandomErasing(_));
    if !rest.iter().any(on_bytes) {
        return effects(rest, width, height, stream);
    }
    let plane = height * width;
    let pixels = (0..plane).flat_map(|i| [out[i], out[plane + i], out[2 * plane + i]]).collect();
    let mut image = RgbImage { width, height, pixels };
    operate(rest, &mut image, fill, stream);
    for (i, pixel) in image.pixels.chunks_exact(3).enumerate() {
        (0..3).for_each(|channel| out[channel * plane + i] = pixel[channel]);
    }
    effects(rest, width, height, stream)
}

/// Crops an image for training and augments it with random numbers from `stream`.
///
/// # Errors
/// Same as [`super::image::decode`] and [`RgbImage::resize`].
pub(super) fn augment_image(
    steps: &[Augment],
    encoded: Encoded,
    preprocess: &Preprocess,
    fill: [u8; 3],
    stream: &mut Stream,
) -> Result<(RgbImage, Effects)> {
    let side = usize::try_from(preprocess.input[1])?;
    let interpolation = preprocess.interpolation;
    let mut image = match steps.first() {
        Some(Augment::RandomResizedCrop(crop)) => crop.apply(&encoded, side, interpolation, stream)?,
        Some(Augment::ScaleJitter(jitter)) => {
            jitter.apply(&encoded.into_whole()?, side, interpolation, stream)?
        }
        _ => preprocess.crop(&encoded.into_whole()?)?,
    };
    operate(steps, &mut image, fill, stream);
    let effects = effects(steps, side, side, stream);
    Ok((image, effects))
}

/// Applies the steps on bytes to an image at its final size.
fn operate(steps: &[Augment], image: &mut RgbImage, fill: [u8; 3], stream: &mut Stream) {
    for step in steps {
        let operations = match step {
            Augment::Flip if stream.below(2) == 1 => vec![Operation::Flip],
            Augment::ColorJitter(jitter) => jitter.draw(stream),
            Augment::RandAugment(rand) => rand.draw(image.width, image.height, fill, stream),
            _ => continue,
        };
        operations.into_iter().for_each(|operation| operation.apply(image));
    }
}

/// Draws the steps that follow normalisation.
fn effects(steps: &[Augment], width: usize, height: usize, stream: &mut Stream) -> Effects {
    let mut effects = Effects::default();
    for step in steps {
        match step {
            Augment::Lighting(lighting) => {
                let light = effects.light.get_or_insert([0.0; 3]);
                light.iter_mut().zip(lighting.draw(stream)).for_each(|(sum, more)| *sum += more);
            }
            Augment::RandomErasing(erasing) => {
                let drawn = erasing.draw(width, height, stream).into_iter();
                effects.erased.extend(drawn.map(|part| (part, erasing.mode)));
            }
            _ => {}
        }
    }
    effects
}

impl Effects {
    /// Applies them to one normalised image (C, H, W), in place.
    ///
    /// # Errors
    /// An image of another shape than the effects were drawn for.
    pub fn apply(&self, image: &Tensor, statistics: &Statistics) -> Result<()> {
        if let Some(light) = self.light {
            let light: Vec<f32> = light.iter().zip(&statistics.std).map(|(light, std)| light / std).collect();
            let light =
                torch::upload(&Tensor::f_from_slice(&light)?, image.device())?.f_reshape([-1, 1, 1])?;
            let _lit = image.shallow_clone().f_add_(&light)?;
        }
        self.erased.iter().try_for_each(|&(part, mode)| mode.apply(image, part))
    }
}
