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

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::fs;

    #[derive(Deserialize)]
    struct Golden {
        k: usize,
        temperature: f64,
        votes: Vec<f64>,
    }

    /// One number in [0, 1) an index, as `uniform` of tests/goldens/make.py.
    fn uniform(name: &str, shape: [i64; 2]) -> Tensor {
        let hash = |seed: u64, byte: u8| (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
        let number = |index: u64| {
            let mut z = seed.wrapping_add(index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)) as f32
        };
        let numbers: Vec<f32> = (0..(shape[0] * shape[1]) as u64).map(number).collect();
        Tensor::from_slice(&numbers).view(shape)
    }

    #[test]
    fn votes_are_those_of_dino() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/knn.json");
        let goldens: Vec<Golden> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let [train, test] =
            [("train", 60), ("test", 12)].map(|(name, count)| uniform(name, [count, 8]) - 0.5);
        let labels = Tensor::from_slice(&(0..60).map(|i| i * 7 % 5).collect::<Vec<i64>>());
        for Golden { k, temperature, votes } in goldens {
            let knn = Knn::new(&train, &labels, 5, k, temperature).unwrap();
            let found =
                Vec::<f64>::try_from(knn.votes(&test).unwrap().view(-1).to_kind(Kind::Double)).unwrap();
            for (got, want) in found.iter().zip(votes) {
                assert!((got - want).abs() < 1e-6, "k {k}: {got} {want}");
            }
        }
        assert!(Knn::new(&train, &labels, 5, 61, 0.07).is_err());
    }
}
