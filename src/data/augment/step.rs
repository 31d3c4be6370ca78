//! One step of the augmentation as YAML spells it, and which steps go together.

use super::{ColorJitter, Lighting, RandAugment, RandomErasing, RandomResizedCrop, ScaleJitter};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

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

impl Augment {
    pub(super) fn is_placement(&self) -> bool {
        matches!(self, Self::PadCrop(_) | Self::Flip)
    }

    pub(super) fn is_crop(&self) -> bool {
        matches!(self, Self::RandomResizedCrop(_) | Self::ScaleJitter(_))
    }
}

/// Checks the steps for images of one size with so many channels, or for pictures of all sizes that become squares.
///
/// # Errors
/// A step that is impossible, or impossible there or for such images.
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
