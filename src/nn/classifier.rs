//! Heads: from the last stage's features to the logits, by way of one pooled vector an image.

use super::pool::global_avg_pool;
use super::{Dropout, Layer, Linear};
use anyhow::{Result, ensure};
use tch::Tensor;

/// What a head makes of a batch, in one pass.
#[derive(Debug)]
pub struct Outputs {
    /// What the classifier takes, one vector an image: (N, D). What timm gives for `num_classes=0`.
    pub pooled: Tensor,
    /// (N, classes); the pooled vectors themselves where there is no classifier.
    pub logits: Tensor,
}

/// The layers after the last stage; as a [`Layer`] it gives the logits.
pub trait Head: Layer {
    /// Pooled vectors and logits of the last stage's features.
    ///
    /// # Errors
    /// A shape that the head cannot take.
    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs>;
}

impl<H: Head> Layer for H {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        Ok(self.outputs(x, train)?.logits)
    }
}

/// Dropout and one linear layer: pooled vectors (N, D) to logits (N, classes). For 0 classes it hands on what it takes.
pub struct Logits {
    dropout: Dropout,
    linear: Option<Linear>,
}

impl Logits {
    /// `linear` makes the layer, unless there are no classes.
    ///
    /// # Errors
    /// A negative number of classes, a dropout probability outside [0, 1), and those of `linear`.
    pub fn new(classes: i64, dropout: f64, linear: impl FnOnce() -> Result<Linear>) -> Result<Self> {
        ensure!(classes >= 0, "`num_classes` {classes} must not be negative");
        let linear = if classes > 0 { Some(linear()?) } else { None };
        Ok(Self { dropout: Dropout::new(dropout)?, linear })
    }

    /// Pooled vectors and their logits.
    ///
    /// # Errors
    /// Another width than the layer takes.
    pub fn of(&self, pooled: Tensor, train: bool) -> Result<Outputs> {
        let logits = match &self.linear {
            Some(linear) => linear.forward(&self.dropout.forward(&pooled, train)?, train)?,
            None => pooled.shallow_clone(),
        };
        Ok(Outputs { pooled, logits })
    }
}

/// The head of most convolutional nets: global average pooling, dropout and one linear layer.
pub struct Classifier(Logits);

impl Classifier {
    /// # Errors
    /// As [`Logits::new`].
    pub fn new(classes: i64, dropout: f64, linear: impl FnOnce() -> Result<Linear>) -> Result<Self> {
        Ok(Self(Logits::new(classes, dropout, linear)?))
    }
}

impl Head for Box<dyn Head> {
    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs> {
        self.as_ref().outputs(x, train)
    }
}

impl Head for Classifier {
    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs> {
        self.0.of(global_avg_pool(x)?, train)
    }
}
