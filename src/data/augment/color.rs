//! Random changes of colour.

use super::Operation;
use crate::Invalid;
use crate::data::Stream;
use serde::{Deserialize, Serialize};

/// Brightness, contrast, saturation and hue by random factors, in random order (torchvision's `ColorJitter`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColorJitter {
    /// The factor is drawn from [max(0, 1 − x), 1 + x]; x = 0 leaves the image unchanged.
    pub brightness: f64,
    pub contrast: f64,
    pub saturation: f64,
    /// The shift is drawn from [−x, x], as a fraction of the colour circle; x is at most 0.5.
    pub hue: f64,
    /// Of changing an image at all.
    #[serde(skip_serializing_if = "is_one")]
    pub probability: f64,
}

fn is_one(probability: &f64) -> bool {
    *probability == 1.0
}

impl Default for ColorJitter {
    fn default() -> Self {
        Self { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0, probability: 1.0 }
    }
}

impl ColorJitter {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        let Self { brightness, contrast, saturation, hue, probability } = *self;
        for (key, x) in [("brightness", brightness), ("contrast", contrast), ("saturation", saturation)] {
            if !(x >= 0.0 && x.is_finite()) {
                return Err(Invalid::value(key, format!("{x} is not a number from 0 up")));
            }
        }
        for (key, x, most) in [("hue", hue, 0.5), ("probability", probability, 1.0)] {
            if !(0.0..=most).contains(&x) {
                return Err(Invalid::value(key, format!("{x} is not between 0 and {most}")));
            }
        }
        Ok(())
    }

    /// Draws the operations for one image.
    pub fn draw(&self, stream: &mut Stream) -> Vec<Operation> {
        if self.probability < 1.0 && stream.uniform() >= self.probability {
            return Vec::new();
        }
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

/// Adds normally distributed multiples of the principal components of the colours to all pixels (AlexNet,
/// section 4.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lighting {
    /// Standard deviation of the multiples.
    pub std: f64,
    /// Compute the components from the training images before the first epoch.
    pub training_set: bool,
    /// Of the covariance of the colours, for pixels in [0, 1]. Default: ImageNet's.
    pub eigenvalues: [f64; 3],
    /// One row per colour, one column per eigenvector.
    pub eigenvectors: [[f64; 3]; 3],
}

impl Default for Lighting {
    fn default() -> Self {
        Self {
            std: 0.1,
            training_set: false,
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
    /// Sets the components to the principal components of this covariance of colours, in descending order.
    pub fn set_components(&mut self, covariance: [[f64; 3]; 3]) {
        let (values, vectors) = eigen(covariance);
        let mut order = [0, 1, 2];
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
        self.eigenvalues = order.map(|i| values[i].max(0.0));
        self.eigenvectors = vectors.map(|row| order.map(|i| row[i]));
    }

    /// Draws the offsets of red, green and blue, for pixels in [0, 1].
    pub fn draw(&self, stream: &mut Stream) -> [f32; 3] {
        let multiples = self.eigenvalues.map(|value| value * self.std * stream.normal());
        self.eigenvectors.map(|row| {
            row.iter().zip(&multiples).map(|(component, multiple)| component * multiple).sum::<f64>() as f32
        })
    }
}

/// Eigenvalues of a symmetric matrix, and its eigenvectors as columns (Jacobi eigenvalue algorithm).
fn eigen(mut a: [[f64; 3]; 3]) -> ([f64; 3], [[f64; 3]; 3]) {
    const SWEEPS: usize = 32;
    let mut vectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for (p, q) in [(0, 1), (0, 2), (1, 2)].into_iter().cycle().take(3 * SWEEPS) {
        // The rotation that zeroes the element (p, q).
        let angle = 0.5 * (2.0 * a[p][q]).atan2(a[q][q] - a[p][p]);
        let (sin, cos) = angle.sin_cos();
        let rotate = |x: f64, y: f64| (cos * x - sin * y, sin * x + cos * y);
        for row in a.iter_mut().chain(&mut vectors) {
            (row[p], row[q]) = rotate(row[p], row[q]);
        }
        let rows = (a[p], a[q]);
        a[p] = std::array::from_fn(|i| rotate(rows.0[i], rows.1[i]).0);
        a[q] = std::array::from_fn(|i| rotate(rows.0[i], rows.1[i]).1);
    }
    ([a[0][0], a[1][1], a[2][2]], vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_the_eigenvectors_of_the_covariance() {
        let covariance = [[0.09, 0.07, 0.05], [0.07, 0.08, 0.06], [0.05, 0.06, 0.11]];
        let mut lighting = Lighting::default();
        lighting.set_components(covariance);
        let Lighting { eigenvalues, eigenvectors, .. } = lighting;
        assert!(eigenvalues.is_sorted_by(|a, b| a > b), "{eigenvalues:?}");
        for (i, value) in eigenvalues.iter().enumerate() {
            let vector = eigenvectors.map(|row| row[i]);
            assert!((vector.map(|x| x * x).iter().sum::<f64>() - 1.0).abs() < 1e-12);
            for (row, x) in covariance.iter().zip(vector) {
                let product: f64 = row.iter().zip(vector).map(|(a, x)| a * x).sum();
                assert!((product - value * x).abs() < 1e-12, "{value} {vector:?}");
            }
        }
    }
}
