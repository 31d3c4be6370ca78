//! Weighted nearest neighbours among the features of training pictures, as DINO's `eval_knn.py` (2104.14294).

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

/// The features of training pictures, and how many neighbours vote.
pub struct Knn {
    /// Of length 1, (D, N).
    features: Tensor,
    labels: Tensor,
    classes: i64,
    k: i64,
    temperature: f64,
}

impl Knn {
    /// Of features (N, D) and labels (N) below `classes`; DINO takes 20 neighbours and a temperature of 0.07.
    ///
    /// # Errors
    /// Fewer pictures than neighbours.
    pub fn new(
        features: &Tensor,
        labels: &Tensor,
        classes: usize,
        k: usize,
        temperature: f64,
    ) -> Result<Self> {
        let count = features.size()[0];
        let k = k as i64;
        ensure!((1..=count).contains(&k), "{k} neighbours among {count} training pictures");
        let features = normalised(features)?.f_tr()?.f_contiguous()?;
        Ok(Self { features, labels: labels.shallow_clone(), classes: classes as i64, k, temperature })
    }

    /// The share of each class in the votes (N, classes) for features (N, D): neighbours count by the exponential of their
    /// cosine over the temperature.
    ///
    /// # Errors
    /// Features of another width.
    pub fn votes(&self, features: &Tensor) -> Result<Tensor> {
        let similarity = normalised(features)?.f_matmul(&self.features)?;
        let (near, places) = similarity.f_topk(self.k, 1, true, true)?;
        let labels = self.labels.f_index_select(0, &places.f_view(-1)?)?.f_view(places.size().as_slice())?;
        let weights = near.f_div_scalar(self.temperature)?.f_exp()?;
        let votes = Tensor::f_zeros([features.size()[0], self.classes], (Kind::Float, features.device()))?;
        let votes = votes.f_scatter_add(1, &labels, &weights)?;
        Ok(votes.f_div(&votes.f_sum_dim_intlist(&[1i64][..], true, Kind::Float)?)?)
    }
}

/// Rows of length 1.
fn normalised(rows: &Tensor) -> Result<Tensor> {
    let rows = rows.f_to_kind(Kind::Float)?;
    let length = rows.f_norm_scalaropt_dim(2.0, &[1i64][..], true)?.f_clamp_min(1e-12)?;
    Ok(rows.f_div(&length)?)
}
