//! How far features move when a picture is shifted, scaled and turned (ZFNet, 1311.2901, figure 5).

use super::Network;
use crate::nn::Backward;
use anyhow::Result;
use serde::Serialize;
use tch::{Device, Kind, Tensor};

/// What is done to a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Down, in pixels of a picture of 224.
    Shift,
    /// By a factor.
    Scale,
    /// Against the clock, in degrees.
    Rotation,
}

impl Change {
    pub const ALL: [Self; 3] = [Self::Shift, Self::Scale, Self::Rotation];

    /// The paper's range: ±60 pixels, 1 to 1.8 times, a whole turn.
    pub fn range(self) -> [f64; 2] {
        match self {
            Self::Shift => [-60.0, 60.0],
            Self::Scale => [1.0, 1.8],
            Self::Rotation => [0.0, 360.0],
        }
    }

    /// What its values are.
    pub fn label(self) -> &'static str {
        match self {
            Self::Shift => "vertical shift (pixels of 224)",
            Self::Scale => "scale",
            Self::Rotation => "rotation (degrees)",
        }
    }

    /// From places of the output to those of the input, as `affine_grid` takes them (1, 2, 3).
    fn matrix(self, value: f64) -> [f32; 6] {
        let (turn, zoom, down) = match self {
            Self::Shift => (0.0, 1.0, value / 112.0),
            Self::Scale => (0.0, 1.0 / value, 0.0),
            Self::Rotation => (value.to_radians(), 1.0, 0.0),
        };
        let (sin, cos) = (zoom * turn.sin(), zoom * turn.cos());
        [cos, -sin, 0.0, sin, cos, -down].map(|x| x as f32)
    }
}

/// What a change does to one picture, value by value.
#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    pub change: Change,
    pub values: Vec<f64>,
    /// Euclidean distance of each layer's output to that of the picture as it is.
    pub distances: Vec<Vec<f64>>,
    /// P(class).
    pub probability: Vec<f64>,
}

/// The curves of a picture (1, C, H, W) over `steps` values of each change, at these layers. Pixels from outside are the
/// mean colour.
///
/// # Errors
/// A layer that the model does not have.
pub fn invariance(
    network: &Network,
    x: &Tensor,
    class: i64,
    layers: &[String],
    steps: usize,
) -> Result<Vec<Curve>> {
    let _no_grad = tch::no_grad_guard();
    network.store().thaw();
    let look = |x: &Tensor| -> Result<(Vec<Tensor>, f64)> {
        let pass = network.pass(x, layers, false, Backward::Gradient)?;
        let probability = pass.logits.f_softmax(1, Kind::Float)?.f_double_value(&[0, class])?;
        let features = pass.features.into_iter().map(|feature| feature.tensor).collect();
        Ok((features, probability))
    };
    let (whole, _) = look(x)?;
    let curve = |change: Change| -> Result<Curve> {
        let [from, to] = change.range();
        let share = |i: usize| i as f64 / steps.saturating_sub(1).max(1) as f64;
        let values: Vec<f64> = (0..steps).map(|i| from + share(i) * (to - from)).collect();
        let mut curve =
            Curve { change, values, distances: vec![Vec::new(); layers.len()], probability: Vec::new() };
        for &value in &curve.values {
            let matrix =
                Tensor::from_slice(&change.matrix(value)).f_view([1, 2, 3])?.f_to_device(x.device())?;
            let places = Tensor::f_affine_grid_generator(&matrix, x.size(), false)?;
            let (features, probability) = look(&x.f_grid_sampler(&places, 0, 0, false)?)?;
            for ((distances, a), b) in curve.distances.iter_mut().zip(&features).zip(&whole) {
                let apart = a.f_sub(b)?.f_norm()?.f_to_device(Device::Cpu)?;
                distances.push(apart.f_double_value(&[])?);
            }
            curve.probability.push(probability);
        }
        Ok(curve)
    };
    Change::ALL.into_iter().map(curve).collect()
}
