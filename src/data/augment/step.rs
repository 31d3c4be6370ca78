//! An augmentation step as YAML spells it, and which steps go together.

use super::{ColorJitter, Lighting, RandAugment, RandomErasing, RandomResizedCrop, ScaleJitter};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

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

impl Augment {
    pub(super) fn is_placement(&self) -> bool {
        matches!(self, Self::PadCrop(_) | Self::Flip)
    }

    pub(super) fn is_crop(&self) -> bool {
        matches!(self, Self::RandomResizedCrop(_) | Self::ScaleJitter(_))
    }
}

/// Checks the steps for images in memory with this many channels or, given `side`, for image files that
/// become squares of that side.
///
/// # Errors
/// A step that is invalid, out of place, or does not apply to such images.
pub(in crate::data) fn validate(steps: &[Augment], channels: usize, side: Option<usize>) -> Result<()> {
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
