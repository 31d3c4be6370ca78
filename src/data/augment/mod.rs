//! Training augmentation, as torchvision and timm define it.

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

/// One step of the augmentation, done in the order given; in YAML `augment: [random_resized_crop: {}, flip]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Augment {
    /// Pads every side with zeros (black) by so many pixels and crops the old size anywhere. For images of one size.
    PadCrop(u32),
    /// Mirrors every second picture left to right.
    Flip,
    /// For images of all sizes, which otherwise take the evaluation's crop.
    RandomResizedCrop(RandomResizedCrop),
    ScaleJitter(ScaleJitter),
    ColorJitter(ColorJitter),
    RandAugment(RandAugment),
    /// On normalised pixels, after all steps on bytes.
    Lighting(Lighting),
    /// On normalised pixels, after all others.
    RandomErasing(RandomErasing),
}

/// What is done to one picture after normalisation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// Added to red, green and blue, where white is 1.
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

/// Checks the steps for images of one size with so many channels, or for pictures of all sizes that become squares.
///
/// # Errors
/// A step that is impossible, or impossible there or for such images.
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
                ensure!(i == 0 || !step.is_crop(), "`data.augment`: a crop comes first");
            }
            None => {
                ensure!(
                    !step.is_crop(),
                    "`data.augment`: {step:?} is for pictures of all sizes; use pad_crop"
                );
                let first = steps[..i].iter().all(Augment::is_placement);
                ensure!(!pads || first, "`data.augment`: pad_crop comes first, after flip at most");
                let any_channels = step.is_placement() || matches!(step, Augment::RandomErasing(_));
                ensure!(
                    any_channels || channels == 3,
                    "`data.augment`: {step:?} needs images in colour, and these have {channels} channel(s)"
                );
            }
        }
    }
    Ok(())
}

/// Writes an image of (channels, height, width) into `out`, augmented by the numbers of `stream`.
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

/// The square that training takes of a picture, augmented by the numbers of `stream`.
///
/// # Errors
/// As [`super::image::decode`] and [`RgbImage::resize`].
pub(super) fn augment_picture(
    steps: &[Augment],
    picture: Encoded,
    preprocess: &Preprocess,
    fill: [u8; 3],
    stream: &mut Stream,
) -> Result<(RgbImage, Effects)> {
    let side = usize::try_from(preprocess.input[1])?;
    let interpolation = preprocess.interpolation;
    let mut image = match steps.first() {
        Some(Augment::RandomResizedCrop(crop)) => crop.apply(&picture, side, interpolation, stream)?,
        Some(Augment::ScaleJitter(jitter)) => {
            jitter.apply(&picture.into_whole()?, side, interpolation, stream)?
        }
        _ => preprocess.crop(&picture.into_whole()?)?,
    };
    operate(steps, &mut image, fill, stream);
    let effects = effects(steps, side, side, stream);
    Ok((image, effects))
}

/// The steps on bytes of a picture in its final size.
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

/// The steps after normalisation.
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
    /// Does them to one normalised picture (C, H, W).
    ///
    /// # Errors
    /// Another shape than the effects were drawn for.
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
