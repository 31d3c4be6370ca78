//! Training augmentation as in torchvision and timm.

mod affine;
mod aug_mix;
mod auto_augment;
mod blur;
mod box_blur;
mod color;
mod crop;
mod effects;
mod erase;
mod mix;
mod operation;
mod placement;
mod rand_augment;
mod step;
mod tone;
mod torchvision;
mod trivial_augment;

pub use affine::{Filling, Sampling};
pub use aug_mix::{AugMix, mix as mix_chains};
pub use auto_augment::{AutoAugment, Policy};
pub use blur::Blur;
pub use color::{ColorJitter, Lighting};
pub use crop::{Places, RandomResizedCrop, Rectangle, ScaleJitter, SquareCrop};
pub use effects::Effects;
pub use erase::{Erasure, RandomErasing};
pub use mix::{Mix, Mixture};
pub use operation::{Operation, Warp};
pub use rand_augment::RandAugment;
pub use step::Augment;
pub(super) use step::{fits, validate};
pub use trivial_augment::TrivialAugment;

use super::image::{Encoded, Interpolation, RgbImage};
use super::{Preprocess, Stream};
use anyhow::Result;

/// Augments a planar image (channels, height, width) into `out`, with random numbers from `stream`.
pub(super) fn augment_planes(
    steps: &[Augment],
    planes: &[u8],
    (height, width): (usize, usize),
    fill: [u8; 3],
    stream: &mut Stream,
    out: &mut [u8],
) -> Result<Effects> {
    let (cropped, steps) = match steps {
        [Augment::RandomResizedCrop(crop), steps @ ..] => {
            (Some(crop_planes(crop, planes, (height, width), stream)?), steps)
        }
        steps => (None, steps),
    };
    let planes = cropped.as_deref().unwrap_or(planes);
    let (placed, rest) = steps.split_at(steps.iter().take_while(|step| step.is_placement()).count());
    placement::place(placed, planes, (height, width), stream, out);
    if rest.is_empty() {
        return Ok(Effects::default());
    }
    let on_bytes = |step: &Augment| !matches!(step, Augment::Lighting(_) | Augment::RandomErasing(_));
    if !rest.iter().any(on_bytes) {
        return Ok(effects(rest, width, height, stream));
    }
    let plane = height * width;
    let pixels = (0..plane).flat_map(|i| [out[i], out[plane + i], out[2 * plane + i]]).collect();
    let mut image = RgbImage { width, height, pixels };
    operate(rest, &mut image, fill, stream);
    for (i, pixel) in image.pixels.chunks_exact(3).enumerate() {
        (0..3).for_each(|channel| out[channel * plane + i] = pixel[channel]);
    }
    Ok(effects(rest, width, height, stream))
}

/// A part of a planar image of 1 or 3 channels, resized to its size; a grey one goes through as three equal channels.
fn crop_planes(
    crop: &RandomResizedCrop,
    planes: &[u8],
    (height, width): (usize, usize),
    stream: &mut Stream,
) -> Result<Vec<u8>> {
    let plane = height * width;
    let channels = planes.len() / plane;
    let pixels =
        (0..plane).flat_map(|i| [0, 1, 2].map(|channel| planes[channel % channels * plane + i])).collect();
    let whole = RgbImage { width, height, pixels };
    let part = crop.apply(&Encoded::decoded(whole), (height, width), Interpolation::Bilinear, stream)?;
    Ok((0..channels).flat_map(|channel| part.pixels.iter().skip(channel).step_by(3).copied()).collect())
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
        Some(Augment::RandomResizedCrop(crop)) => {
            crop.apply(&encoded, (side, side), interpolation, stream)?
        }
        Some(Augment::ScaleJitter(jitter)) => {
            jitter.apply(&encoded.into_whole()?, side, interpolation, stream)?
        }
        Some(Augment::SquareCrop(crop)) => crop.apply(&encoded.into_whole()?, side, interpolation, stream)?,
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
            Augment::VerticalFlip if stream.below(2) == 1 => vec![Operation::VerticalFlip],
            Augment::Gray(probability) if stream.uniform() < *probability => vec![Operation::Gray],
            Augment::Blur(blur) => blur.draw(stream).into_iter().collect(),
            Augment::ColorJitter(jitter) => jitter.draw(stream),
            Augment::AutoAugment(auto) => auto.draw(image.width, image.height, fill, stream),
            Augment::RandAugment(rand) => rand.draw(image.width, image.height, fill, stream),
            Augment::TrivialAugment(trivial) => trivial.draw(stream).into_iter().collect(),
            Augment::ThreeAugment => vec![trivial_augment::three_augment(stream)],
            Augment::AugMix(mix) => {
                mix.apply(image, fill, stream);
                continue;
            }
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
