//! Blurring some of the images.

use super::Operation;
use crate::Invalid;
use crate::data::Stream;
use serde::{Deserialize, Serialize};

/// Blurs an image now and then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Blur {
    pub probability: f64,
    /// Between which the standard deviation is drawn, in pixels.
    pub radius: [f64; 2],
}

impl Default for Blur {
    fn default() -> Self {
        Self { probability: 0.5, radius: [0.1, 2.0] }
    }
}

impl Blur {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        let Self { probability, radius: [least, most] } = *self;
        if !(0.0..=1.0).contains(&probability) {
            return Err(Invalid::value("probability", format!("{probability} is not between 0 and 1")));
        }
        match 0.0 <= least && least <= most && most <= 100.0 {
            true => Ok(()),
            false => {
                Err(Invalid::value("radius", format!("[{least}, {most}] does not rise from 0 up to 100")))
            }
        }
    }

    pub(super) fn draw(&self, stream: &mut Stream) -> Option<Operation> {
        let [least, most] = self.radius;
        (stream.uniform() < self.probability).then(|| Operation::Blur(stream.between(least, most)))
    }
}
