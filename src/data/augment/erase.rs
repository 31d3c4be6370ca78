//! Random erasing (1708.04896) as in timm: on normalised pixels, where 0 is the mean colour.

use super::Rectangle;
use crate::Invalid;
use crate::data::Stream;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use tch::Tensor;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomErasing {
    pub probability: f64,
    /// Minimum and maximum fraction of the image's area, for all rectangles together.
    pub area: [f64; 2],
    /// Minimum height over width; the maximum is its inverse.
    pub min_aspect: f64,
    pub mode: Erasure,
    /// Minimum and maximum number of rectangles.
    pub count: [u32; 2],
}

/// What the erased pixels are replaced by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Erasure {
    /// The mean colour.
    #[default]
    Const,
    /// One normally distributed colour.
    Rand,
    /// A normally distributed colour per pixel.
    Pixel,
}

impl Default for RandomErasing {
    fn default() -> Self {
        Self {
            probability: 0.5,
            area: [0.02, 1.0 / 3.0],
            min_aspect: 0.3,
            mode: Erasure::Const,
            count: [1, 1],
        }
    }
}

impl RandomErasing {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        let Self { probability, area: [least, most], min_aspect, count: [few, many], .. } = *self;
        let valid = |holds: bool, key: &str, message: String| match holds {
            true => Ok(()),
            false => Err(Invalid::value(key, message)),
        };
        let unit = 0.0..=1.0;
        valid(unit.contains(&probability), "probability", format!("{probability} is not between 0 and 1"))?;
        let ordered = 0.0 <= least && least <= most && most <= 1.0;
        let message = format!("[{least}, {most}] is not a smaller and a larger number between 0 and 1");
        valid(ordered, "area", message)?;
        let message = format!("{min_aspect} is not above 0 and up to 1");
        valid(0.0 < min_aspect && min_aspect <= 1.0, "min_aspect", message)?;
        let message = format!("[{few}, {many}] is not a smaller and a larger number between 1 and 100");
        valid((1..=many).contains(&few) && many <= 100, "count", message)
    }

    /// Draws the rectangles for an image of this size.
    pub fn draw(&self, width: usize, height: usize, stream: &mut Stream) -> Vec<Rectangle> {
        if stream.uniform() >= self.probability {
            return Vec::new();
        }
        let [few, many] = self.count.map(u64::from);
        let count = few + stream.below(many - few + 1);
        let aspect = self.min_aspect.ln();
        let mut rectangle = || {
            for _ in 0..10 {
                let area =
                    stream.between(self.area[0], self.area[1]) * (width * height) as f64 / count as f64;
                let ratio = stream.between(aspect, -aspect).exp();
                let high = (area * ratio).sqrt().round_ties_even() as usize;
                let wide = (area / ratio).sqrt().round_ties_even() as usize;
                if wide < width && high < height {
                    let top = stream.below((height - high + 1) as u64) as usize;
                    let left = stream.below((width - wide + 1) as u64) as usize;
                    return Some(Rectangle { left, top, width: wide, height: high });
                }
            }
            None
        };
        (0..count).filter_map(|_| rectangle()).collect()
    }
}

impl Erasure {
    /// Erases a rectangle of one normalised image (C, H, W). Colours come from libtorch's generator.
    pub(super) fn apply(self, image: &Tensor, part: Rectangle) -> Result<()> {
        let Rectangle { left, top, width, height } = part;
        let mut pixels =
            image.f_narrow(1, top as i64, height as i64)?.f_narrow(2, left as i64, width as i64)?;
        let options = (image.kind(), image.device());
        match self {
            Self::Const => {
                let _erased = pixels.f_zero_()?;
            }
            Self::Rand => pixels.f_copy_(&Tensor::f_randn([image.size()[0], 1, 1], options)?)?,
            Self::Pixel => pixels.f_copy_(&Tensor::f_randn(pixels.size(), options)?)?,
        }
        Ok(())
    }
}
