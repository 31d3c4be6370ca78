//! Layers of layers.

use super::Layer;
use anyhow::Result;
use tch::Tensor;

/// One layer after the other, as `torch.nn.Sequential`.
pub struct Sequence(pub Vec<Box<dyn Layer>>);

impl Layer for Sequence {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = x.shallow_clone();
        for layer in &self.0 {
            y = layer.forward(&y, train)?;
        }
        Ok(y)
    }
}

/// Branches over the same input, their outputs concatenated along the channels: what an Inception module is.
pub struct Concat(Vec<Sequence>);

impl Concat {
    pub fn new(branches: Vec<Vec<Box<dyn Layer>>>) -> Self {
        Self(branches.into_iter().map(Sequence).collect())
    }
}

impl Layer for Concat {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let outputs: Vec<Tensor> =
            self.0.iter().map(|branch| branch.forward(x, train)).collect::<Result<_>>()?;
        Ok(Tensor::f_cat(&outputs, 1)?)
    }
}
