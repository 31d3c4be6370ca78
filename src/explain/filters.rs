//! The filters of the first convolution (ZFNet, 1311.2901, figure 6).

use super::figure::{grid, signed};
use super::{Network, Panel};
use crate::Usage;
use crate::nn::first_filters;
use anyhow::{Context, Result};
use tch::{Kind, Tensor};

/// A filter whose root mean square is below this share of the median is dead.
const DEAD: f64 = 0.05;

/// The filters of a network's first convolution.
#[derive(Debug)]
pub struct Filters {
    /// The key of their weight.
    pub name: String,
    /// (N, C, h, w) float32.
    pub weights: Tensor,
    /// The root mean square of each filter.
    pub norms: Vec<f64>,
    /// Numbers of the dead ones: their root mean square is below 5 % of the median.
    pub dead: Vec<usize>,
}

impl Filters {
    /// Of one tower after the other, where the network has two.
    ///
    /// # Errors
    /// [`Usage`]: a network without convolution, or whose first one sees neither one colour nor three.
    pub fn of(network: &Network) -> Result<Self> {
        let found = first_filters(network.store())?;
        let (name, weights) = found.context(Usage("this network has no convolution".into()))?;
        let weights = weights.f_to_kind(Kind::Float)?;
        let norms =
            weights.f_square()?.f_flatten(1, -1)?.f_mean_dim([1i64].as_slice(), false, Kind::Double)?;
        let norms = Vec::<f64>::try_from(norms.f_sqrt()?)?;
        let mut sorted = norms.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        let dead = (0..norms.len()).filter(|&i| norms[i] < DEAD * median).collect();
        match weights.size()[1] {
            1 | 3 => Ok(Self { name, weights, norms, dead }),
            channels => Err(Usage(format!("`{name}` sees {channels} channels, which are no colours")).into()),
        }
    }

    /// All filters in a square, each by its own scale: grey is 0.
    ///
    /// # Errors
    /// None but libtorch's.
    pub fn panel(&self, title: &str) -> Result<Panel> {
        let size = self.weights.size();
        let images = (0..size[0]).map(|i| signed(&self.weights.f_get(i)?)).collect::<Result<Vec<_>>>()?;
        let caption = format!("{} of {}×{}, {} dead", size[0], size[2], size[3], self.dead.len());
        let image = grid(&images.iter().collect::<Vec<_>>());
        Ok(Panel { image, caption: vec![title.to_owned(), caption] })
    }
}
