//! The head of most convolutional nets.

use super::pool::global_avg_pool;
use super::{Dropout, Layer, Linear};
use anyhow::Result;
use tch::Tensor;

/// Global average pooling, dropout and one fully connected layer: (N, C, H, W) to logits (N, classes), or to the
/// averages (N, C) without the layer.
pub struct Classifier {
    dropout: Dropout,
    linear: Option<Linear>,
}

impl Classifier {
    /// # Errors
    /// A dropout probability outside [0, 1).
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
