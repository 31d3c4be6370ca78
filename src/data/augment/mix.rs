//! Mixup (1710.09412) and CutMix (1905.04899) of a batch with itself in reverse order, as in timm.

use super::Rectangle;
use crate::Invalid;
use crate::data::Stream;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// `mix: {mixup: 0.8, cutmix: 1.0}`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// Both parameters of the beta distribution of mixup's share; 0 turns mixup off.
    pub mixup: f64,
    /// As `mixup`, for CutMix.
    pub cutmix: f64,
    /// Probability that a batch is mixed.
    pub probability: f64,
    /// Probability of CutMix if both are on.
    pub switch: f64,
    /// The epoch, counted from 0, from which on nothing is mixed any more; never when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_epoch: Option<u64>,
}

impl Default for Mix {
    fn default() -> Self {
        Self { mixup: 0.0, cutmix: 0.0, probability: 1.0, switch: 0.5, off_epoch: None }
    }
}

/// How one batch is mixed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    /// The weight of the image's own label in the target and, in mixup, of the image itself.
    pub share: f64,
    /// The rectangle that CutMix takes from the other image; `None` for mixup, which blends the whole images.
    pub part: Option<Rectangle>,
}

impl Mix {
    /// # Errors
    /// A parameter out of range, or both methods off.
    pub fn validate(&self) -> Result<()> {
        let Self { mixup, cutmix, probability, switch, .. } = *self;
        for (key, x, most) in [
            ("mixup", mixup, 1000.0),
            ("cutmix", cutmix, 1000.0),
            ("probability", probability, 1.0),
            ("switch", switch, 1.0),
        ] {
            let message = format!("{x} is not between 0 and {most}");
            ensure!((0.0..=most).contains(&x), Invalid::value(&format!("data.mix.{key}"), message));
        }
        let message = "neither `mixup` nor `cutmix` is above 0; set one, such as `data.mix.mixup: 0.2`";
        ensure!(mixup > 0.0 || cutmix > 0.0, Invalid::value("data.mix", message));
        Ok(())
    }

    /// Draws how a batch of images of this size is mixed; `None` leaves it unchanged.
    pub fn draw(&self, width: usize, height: usize, stream: &mut Stream) -> Option<Mixture> {
        if stream.uniform() >= self.probability {
            return None;
        }
        let cut = self.mixup == 0.0 || self.cutmix > 0.0 && stream.uniform() < self.switch;
        let share = stream.beta(if cut { self.cutmix } else { self.mixup });
        if !cut {
            return Some(Mixture { share, part: None });
        }
        let mut span = |side: usize| {
            let cut = (side as f64 * (1.0 - share).sqrt()) as usize;
            let centre = stream.below(side as u64) as usize;
            (centre.saturating_sub(cut / 2), (centre + cut.div_ceil(2)).min(side))
        };
        let ((top, bottom), (left, right)) = (span(height), span(width));
        let part = Rectangle { left, top, width: right - left, height: bottom - top };
        // The share follows from the visible part of the rectangle, which may be clipped at the edge.
        let shown = (part.width * part.height) as f64 / (width * height) as f64;
        Some(Mixture { share: 1.0 - shown, part: Some(part) })
    }
}

impl Mixture {
    /// Mixes images (N, C, H, W) and returns them with the targets (N, classes) in float32 for labels (N).
    ///
    /// # Errors
    /// Shapes that do not match, or a label that is not below `classes`.
    pub fn apply(&self, images: &Tensor, labels: &Tensor, classes: i64) -> Result<(Tensor, Tensor)> {
        let mix = |own: &Tensor, other: &Tensor| -> Result<Tensor> {
            Ok((own.f_mul_scalar(self.share)?).f_add(&other.f_mul_scalar(1.0 - self.share)?)?)
        };
        let targets = labels.f_one_hot(classes)?.f_to_kind(Kind::Float)?;
        let targets = mix(&targets, &targets.f_flip([0])?)?;
        let other = images.f_flip([0])?;
        let Some(Rectangle { left, top, width, height }) = self.part else {
            return Ok((mix(images, &other)?, targets));
        };
        let images = images.f_detach_copy()?;
        let part = |images: &Tensor| -> Result<Tensor> {
            let rows = images.f_narrow(2, top as i64, height as i64)?;
            Ok(rows.f_narrow(3, left as i64, width as i64)?)
        };
        part(&images)?.f_copy_(&part(&other)?)?;
        Ok((images, targets))
    }
}
