//! The end of most convolutional nets.

use super::pool::global_avg_pool;
use super::{Dropout, Layer, Linear};
use anyhow::Result;
use tch::Tensor;

/// Global average, dropout and one fully connected layer: (N, C, H, W) to logits (N, classes); without the layer, the
/// averages (N, C).
pub struct Classifier {
    dropout: Dropout,
    linear: Option<Linear>,
}

impl Classifier {
    /// # Errors
    /// A probability of dropout outside [0, 1).
    pub fn new(linear: impl Into<Option<Linear>>, dropout: f64) -> Result<Self> {
        Ok(Self { dropout: Dropout::new(dropout)?, linear: linear.into() })
    }
}

impl Layer for Classifier {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let features = self.dropout.forward(&global_avg_pool(x)?, train)?;
        match &self.linear {
            Some(linear) => linear.forward(&features, train),
            None => Ok(features),
        }
    }
}
