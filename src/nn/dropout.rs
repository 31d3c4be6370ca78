//! Regularisation by dropping values or branches at random in training.

use super::Layer;
use anyhow::{Result, ensure};
use tch::Tensor;

fn probability(name: &str, p: f64) -> Result<f64> {
    ensure!((0.0..1.0).contains(&p), "{name}: probability {p} is not in [0, 1)");
    Ok(p)
}

/// `torch.nn.Dropout`: drops single values and scales the others by 1/(1−p).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    p: f64,
}

impl Dropout {
    /// # Errors
    /// A probability outside [0, 1).
    pub fn new(p: f64) -> Result<Self> {
        Ok(Self { p: probability("dropout", p)? })
    }
}

impl Layer for Dropout {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if !train || self.p == 0.0 {
            return Ok(x.shallow_clone());
        }
        Ok(x.f_dropout(self.p, true)?)
    }
}

/// Stochastic depth (1603.09382): drops a residual branch for whole samples and scales the others by 1/(1−p), as timm's
/// `DropPath`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropPath {
    p: f64,
}

impl DropPath {
    /// # Errors
    /// A probability outside [0, 1).
    pub fn new(p: f64) -> Result<Self> {
        Ok(Self { p: probability("drop path", p)? })
    }

    /// Whether a pass drops anything: a branch that stays whole can end in one step with the addition.
    pub fn drops(&self, train: bool) -> bool {
        train && self.p > 0.0
    }
}

impl Layer for DropPath {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if !self.drops(train) {
            return Ok(x.shallow_clone());
        }
        let keep = 1.0 - self.p;
        let mut size = vec![1; x.dim()];
        size[0] = x.size()[0];
        let mut mask = x.f_new_empty(size, (x.kind(), x.device()))?;
        Ok(x.f_mul(&mask.f_bernoulli_float_(keep)?.f_div_scalar_(keep)?)?)
    }
}
