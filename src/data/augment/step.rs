//! An augmentation step as YAML spells it, and which steps go together.

use super::{
    AugMix, AutoAugment, Blur, ColorJitter, Lighting, RandAugment, RandomErasing, RandomResizedCrop,
    ScaleJitter, SquareCrop, TrivialAugment,
};
use crate::Invalid;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// An augmentation step. Steps are applied in the given order: `augment: [random_resized_crop: {}, flip]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Augment {
    /// Pads every side with this many black pixels and takes a random crop of the original size. Only for
    /// images of one size.
    PadCrop(u32),
    /// As `pad_crop`, with the picture mirrored at its edges in place of black (Wide ResNet, 1605.07146).
    ReflectCrop(u32),
    /// Flips an image horizontally with probability 1/2.
    Flip,
    /// Flips an image vertically with probability 1/2.
    VerticalFlip,
    /// Makes an image grey, in three equal channels, with this probability.
    Gray(f64),
    Blur(Blur),
    /// For image files, which otherwise get the evaluation crop.
    RandomResizedCrop(RandomResizedCrop),
    /// For image files, as `random_resized_crop`.
    ScaleJitter(ScaleJitter),
    /// For image files, as `random_resized_crop`.
    SquareCrop(SquareCrop),
    ColorJitter(ColorJitter),
    AutoAugment(AutoAugment),
    RandAugment(RandAugment),
    TrivialAugment(TrivialAugment),
    /// Grey, solarised or blurred, by one third each (DeiT III, 2204.07118); its recipe has `color_jitter` after it.
    ThreeAugment,
    AugMix(AugMix),
    /// Applied to normalised pixels, after all steps on bytes.
    Lighting(Lighting),
    /// Applied to normalised pixels, after all other steps.
    RandomErasing(RandomErasing),
}

impl Augment {
    /// As YAML has it.
    fn name(&self) -> &'static str {
        match self {
            Self::PadCrop(_) => "pad_crop",
            Self::ReflectCrop(_) => "reflect_crop",
            Self::Flip => "flip",
            Self::VerticalFlip => "vertical_flip",
            Self::Gray(_) => "gray",
            Self::Blur(_) => "blur",
            Self::RandomResizedCrop(_) => "random_resized_crop",
            Self::ScaleJitter(_) => "scale_jitter",
            Self::SquareCrop(_) => "square_crop",
            Self::ColorJitter(_) => "color_jitter",
            Self::AutoAugment(_) => "auto_augment",
            Self::RandAugment(_) => "rand_augment",
            Self::TrivialAugment(_) => "trivial_augment",
            Self::ThreeAugment => "three_augment",
            Self::AugMix(_) => "aug_mix",
            Self::Lighting(_) => "lighting",
            Self::RandomErasing(_) => "random_erasing",
        }
    }

    pub(super) fn is_placement(&self) -> bool {
        matches!(self, Self::PadCrop(_) | Self::ReflectCrop(_) | Self::Flip)
    }

    pub(super) fn is_crop(&self) -> bool {
        matches!(self, Self::RandomResizedCrop(_) | Self::ScaleJitter(_) | Self::SquareCrop(_))
    }
}

/// Checks what can be known of the steps without the images.
///
/// # Errors
/// A number out of range, as an [`Invalid`].
pub(in crate::data) fn validate(steps: &[Augment]) -> Result<()> {
    steps.iter().enumerate().try_for_each(|(i, step)| {
        let own = match step {
            Augment::PadCrop(_)
            | Augment::ReflectCrop(_)
            | Augment::Flip
            | Augment::VerticalFlip
            | Augment::AutoAugment(_)
            | Augment::ThreeAugment
            | Augment::Lighting(_) => Ok(()),
            Augment::RandomResizedCrop(crop) => crop.validate(),
            Augment::ScaleJitter(jitter) => jitter.validate(),
            Augment::SquareCrop(crop) => crop.validate(),
            Augment::ColorJitter(jitter) => jitter.validate(),
            Augment::Gray(probability) if !(0.0..=1.0).contains(probability) => {
                let at = format!("data.augment.{i}.gray");
                return Err(Invalid::value(&at, format!("{probability} is not between 0 and 1")).into());
            }
            Augment::Gray(_) => Ok(()),
            Augment::Blur(blur) => blur.validate(),
            Augment::RandAugment(rand) => rand.validate(),
            Augment::TrivialAugment(trivial) => trivial.validate(),
            Augment::AugMix(mix) => mix.validate(),
            Augment::RandomErasing(erasing) => erasing.validate(),
        };
        own.map_err(|invalid| invalid.below(&format!("data.augment.{i}.{}", step.name())).into())
    })
}

/// Checks the steps for images in memory with this many channels or, given `side`, for image files that
/// become squares of that side.
///
/// # Errors
/// A step that is out of place, or does not apply to such images, as an [`Invalid`].
pub(in crate::data) fn fits(steps: &[Augment], channels: usize, side: Option<usize>) -> Result<()> {
    for (i, step) in steps.iter().enumerate() {
        let valid = |holds: bool, message: &str| {
            let message = format!("`{}` {message}", step.name());
            ensure!(holds, Invalid::value(&format!("data.augment.{i}"), message));
            Ok(())
        };
        let pads = matches!(step, Augment::PadCrop(_) | Augment::ReflectCrop(_));
        match side {
            Some(side) => {
                valid(!pads, "is for images of one size; for these write `random_resized_crop`")?;
                valid(i == 0 || !step.is_crop(), "must come first")?;
                let least = match step {
                    Augment::ScaleJitter(ScaleJitter { min, .. }) => Some(("min", *min)),
                    Augment::SquareCrop(SquareCrop { resize, .. }) => Some(("resize", *resize)),
                    _ => None,
                };
                if let Some((key, least)) = least {
                    let message = format!("has `{key}` {least}, which is below the image size {side}");
                    valid(side <= least as usize, &message)?;
                }
            }
            None => {
                let resized = matches!(step, Augment::RandomResizedCrop(_));
                valid(
                    !step.is_crop() || resized,
                    "is for images of any size; for these write `pad_crop: 4`",
                )?;
                valid(!resized || i == 0, "must come first")?;
                let message = format!("takes images of 1 or 3 channels, and these have {channels}");
                valid(!resized || channels == 1 || channels == 3, &message)?;
                let first = steps[..i].iter().all(Augment::is_placement);
                valid(!pads || first, "must come before all other steps but `flip`")?;
                let any_channels =
                    step.is_placement() || resized || matches!(step, Augment::RandomErasing(_));
                let message = format!("takes images of 3 channels, and these have {channels}");
                valid(any_channels || channels == 3, &message)?;
            }
        }
    }
    Ok(())
}
