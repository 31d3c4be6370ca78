//! TensorBoard event files: scalars, histograms, images and the HParams page.

#[cfg(not(feature = "tensorboard"))]
mod silent;
#[cfg(feature = "tensorboard")]
mod writer;

#[cfg(not(feature = "tensorboard"))]
pub use silent::EventWriter;
#[cfg(feature = "tensorboard")]
pub use writer::EventWriter;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// A value on the HParams page.
#[derive(Clone, Debug, PartialEq)]
pub enum HParam {
    Bool(bool),
    Number(f64),
    Text(String),
}

/// Bins of a histogram.
const BINS: i64 = 30;

/// How values are spread: bins of equal width from the least to the greatest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    pub min: f64,
    pub max: f64,
    pub sum: f64,
    pub sum_squares: f64,
    /// How many values each bin has; a single one where all values are equal.
    pub bins: Vec<f64>,
}

impl Histogram {
    /// Of all values of a tensor.
    ///
    /// # Errors
    /// A tensor without values, or with some that are not finite.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        let values =
            tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_flatten(0, -1)?;
        ensure!(values.numel() > 0, "a histogram of nothing");
        let number = |tensor: Tensor| tensor.f_double_value(&[]);
        let (min, max) = (number(values.f_min()?)?, number(values.f_max()?)?);
        ensure!(min.is_finite() && max.is_finite(), "a histogram of values that are not finite");
        let bins = match max > min {
            true => Vec::<f64>::try_from(values.f_histc(BINS)?)?,
            false => vec![values.numel() as f64],
        };
        let sum = number(values.f_sum(Kind::Double)?)?;
        Ok(Self { min, max, sum, sum_squares: number(values.f_square()?.f_sum(Kind::Double)?)?, bins })
    }
}
