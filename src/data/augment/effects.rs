//! The steps of augmentation that follow normalisation.

use super::{Erasure, Rectangle};
use crate::data::Statistics;
use crate::torch;
use anyhow::Result;
use tch::Tensor;

/// The steps on one image that follow normalisation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// Added to red, green and blue, for pixels in [0, 1].
    pub light: Option<[f32; 3]>,
    pub erased: Vec<(Rectangle, Erasure)>,
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
