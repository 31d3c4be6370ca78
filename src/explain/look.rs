//! A picture as the network sees it, and the classes that are asked about.

use super::figure::picture;
use crate::Usage;
use crate::classifier::Classifier;
use crate::data::image::RgbImage;
use crate::names::did_you_mean;
use anyhow::Result;
use std::fmt;
use tch::{Device, Kind, Tensor};

/// A picture on its way into the network.
pub struct Look {
    /// (1, C, H, W), normalised.
    pub input: Tensor,
    /// The part that the network sees, of the input's size.
    pub shown: RgbImage,
}

impl Look {
    /// By the classifier's own preprocessing.
    ///
    /// # Errors
    /// A picture that the model does not take.
    pub fn at(classifier: &Classifier, image: &RgbImage) -> Result<Self> {
        let way = classifier.input();
        let crop = way.preprocess.crop(image)?;
        let input = way.of_views([&crop], classifier.device())?;
        let [height, width] = [input.size()[2], input.size()[3]];
        let shown = match [crop.height as i64, crop.width as i64] == [height, width] {
            true => crop,
            false => {
                let shape = [1, crop.height as i64, crop.width as i64, 3];
                let pixels = Tensor::from_slice(&crop.pixels).f_view(shape)?.f_permute([0, 3, 1, 2])?;
                let pixels = pixels.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?;
                picture(&pixels.f_upsample_bilinear2d([height, width], false, None, None)?.f_squeeze_dim(0)?)?
            }
        };
        Ok(Self { input, shown })
    }

    /// The input without its normalisation: (C, H, W) from 0 to 1.
    pub fn pixels(&self) -> Result<Tensor> {
        let (height, width) = (self.shown.height as i64, self.shown.width as i64);
        let pixels =
            Tensor::from_slice(&self.shown.pixels).f_view([height, width, 3])?.f_permute([2, 0, 1])?;
        Ok(pixels.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?)
    }
}

/// A class that is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// The most probable one of each picture.
    Top,
    Id(i64),
}

impl Class {
    /// `top`, the number of an output, or a label, of which one of several names between commas is enough.
    ///
    /// # Errors
    /// [`Usage`]: no such class, with the nearest.
    pub fn of(text: &str, classifier: &Classifier) -> Result<Self> {
        let classes = classifier.classes();
        if text == "top" {
            return Ok(Self::Top);
        }
        if let Ok(id) = text.parse::<i64>() {
            let message = format!("no class {id}: the model has {classes}, from 0 to {}", classes.max(1) - 1);
            return match (0..classes as i64).contains(&id) {
                true => Ok(Self::Id(id)),
                false => Err(Usage(message).into()),
            };
        }
        let labels = classifier.labels().unwrap_or_default();
        let is = |label: &String| {
            label.eq_ignore_ascii_case(text)
                || label.split(',').any(|name| name.trim().eq_ignore_ascii_case(text))
        };
        if let Some(id) = labels.iter().position(is) {
            return Ok(Self::Id(id as i64));
        }
        let names = labels.iter().flat_map(|label| label.split(',')).map(str::trim);
        let rest = match labels.is_empty() {
            true => "its classes have no names here: write a number".to_owned(),
            false => format!("write a label, a number from 0 to {}, or top", classes - 1),
        };
        Err(Usage(format!("no class is called `{text}`; {}", did_you_mean(text, names, &rest))).into())
    }

    /// One class a picture, by the logits (N, classes).
    ///
    /// # Errors
    /// None but libtorch's.
    pub fn chosen(&self, logits: &Tensor) -> Result<Vec<i64>> {
        Ok(match self {
            Self::Top => Vec::<i64>::try_from(logits.f_argmax(1, false)?.f_to_device(Device::Cpu)?)?,
            Self::Id(id) => vec![*id; logits.size()[0] as usize],
        })
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Top => f.write_str("top"),
            Self::Id(id) => write!(f, "{id}"),
        }
    }
}
