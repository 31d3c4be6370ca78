//! Random changes of colour.

use super::Operation;
use crate::data::Stream;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Brightness, contrast, saturation and hue by random factors, in random order (torchvision's `ColorJitter`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColorJitter {
    /// The factor is in [1 − x, 1 + x], not below 0; 0 leaves the picture alone.
    pub brightness: f64,
    pub contrast: f64,
    pub saturation: f64,
    /// The shift is in [−x, x] of the colour circle, x up to 0.5.
    pub hue: f64,
}

impl ColorJitter {
    pub(super) fn validate(&self) -> Result<()> {
        let Self { brightness, contrast, saturation, hue } = *self;
        let sound = |x: f64| x >= 0.0 && x.is_finite();
        ensure!(
            [brightness, contrast, saturation, hue].into_iter().all(sound) && hue <= 0.5,
            "`color_jitter`: {self:?} must not be negative, hue not above 0.5"
        );
        Ok(())
    }

    /// The operations on one picture.
    pub fn draw(&self, stream: &mut Stream) -> Vec<Operation> {
        let mut factor = |x: f64| (x > 0.0).then(|| stream.between((1.0 - x).max(0.0), 1.0 + x));
        let (brightness, contrast, saturation) =
            (factor(self.brightness), factor(self.contrast), factor(self.saturation));
        let hue = (self.hue > 0.0).then(|| stream.between(-self.hue, self.hue));
        let mut operations: Vec<Operation> = [
            brightness.map(Operation::Brightness),
            contrast.map(Operation::Contrast),
            saturation.map(Operation::Color),
            hue.map(Operation::Hue),
        ]
        .into_iter()
        .flatten()
        .collect();
        stream.shuffle(&mut operations);
        operations
    }
}

/// Adds multiples of the principal components of the colours to all pixels, normally distributed (AlexNet, section 4.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lighting {
    /// Standard deviation of the multiples.
    pub std: f64,
    /// Of the colours' covariance, where white is 1; ImageNet's when absent.
    pub eigenvalues: [f64; 3],
    /// A row a colour, a column an eigenvector.
    pub eigenvectors: [[f64; 3]; 3],
}

impl Default for Lighting {
    fn default() -> Self {
        Self {
            std: 0.1,
            eigenvalues: [0.2175, 0.0188, 0.0045],
            eigenvectors: [
                [-0.5675, 0.7192, 0.4009],
                [-0.5808, -0.0045, -0.8140],
                [-0.5836, -0.6948, 0.4203],
            ],
        }
    }
}

impl Lighting {
    /// What is added to red, green and blue, where white is 1.
    pub fn draw(&self, stream: &mut Stream) -> [f32; 3] {
        let multiples = self.eigenvalues.map(|value| value * self.std * stream.normal());
        self.eigenvectors.map(|row| {
            row.iter().zip(&multiples).map(|(component, multiple)| component * multiple).sum::<f64>() as f32
        })
    }
}
