//! What augmentation does to pictures after normalisation.

use super::{Erasure, Rectangle};
use crate::data::Statistics;
use crate::torch;
use anyhow::Result;
use tch::Tensor;

/// What is done to one picture after normalisation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// Added to red, green and blue, where white is 1.
    pub light: Option<[f32; 3]>,
    pub erased: Vec<(Rectangle, Erasure)>,
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
