//! One network optimised for inference, for many threads.

use super::Model;
use crate::nn::{Outputs, Store};
use anyhow::Result;
use std::fmt;
use std::sync::Arc;
use tch::{Kind, Tensor};

/// A frozen network. Clones share its weights, which are packed once for all threads: each may run a batch of its own.
///
/// ```
/// use tch::{Device, Kind, Tensor};
/// use tchvision::models::{Frozen, ModelSpec};
/// use tchvision::nn::Store;
///
/// # fn main() -> anyhow::Result<()> {
/// let store = Store::new(Device::Cpu);
/// let model = ModelSpec::new("paper/resnet20").resolve()?.build(&store)?;
/// let frozen = Frozen::new(model, &store, Kind::Float);
/// frozen.prepare(&[[1, 3, 32, 32], [8, 3, 32, 32]])?; // the first request is then as fast as any
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| frozen.forward(&Tensor::zeros([1, 3, 32, 32], (Kind::Float, Device::Cpu))));
///     }
/// });
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Frozen {
    model: Arc<dyn Model>,
    store: Store,
}

impl Frozen {
    /// Freezes a model whose tensors are in `store`. `kind` is what convolutions and linear layers compute in: float32, or
    /// bfloat16, which rounds.
    pub fn new(model: Box<dyn Model>, store: &Store, kind: Kind) -> Self {
        store.freeze(kind);
        Self { model: model.into(), store: store.clone() }
    }

    /// Packs the weights for inputs (N, C, H, W) of these shapes, by passes over zeros. Without it the first pass of a shape
    /// is slower.
    ///
    /// # Errors
    /// A shape that the model does not take.
    pub fn prepare(&self, shapes: &[[i64; 4]]) -> Result<()> {
        let device = self.store.device().unwrap_or(tch::Device::Cpu);
        for shape in shapes {
            let _logits = self.forward(&Tensor::f_zeros(shape, (Kind::Float, device))?)?;
        }
        Ok(())
    }

    /// Frees the floats of all weights that are packed by now, and returns their bytes; see [`Store::drop_floats`].
    ///
    /// # Errors
    /// None but libtorch's.
    pub fn drop_floats(&self) -> Result<u64> {
        self.store.drop_floats()
    }

    /// The logits (N, classes) of a batch (N, C, H, W).
    ///
    /// # Errors
    /// Images of another shape or dtype than the model takes, and a store that was thawed after its floats were dropped.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        self.model.forward(images, false)
    }

    /// The logits, and the pooled vectors (N, D) that the classifier takes, in one pass.
    ///
    /// # Errors
    /// As [`Frozen::forward`].
    pub fn outputs(&self, images: &Tensor) -> Result<Outputs> {
        self.model.outputs(images, false)
    }

    /// The output of every stage, by name.
    ///
    /// # Errors
    /// As [`Frozen::forward`].
    pub fn features(&self, images: &Tensor) -> Result<Vec<(String, Tensor)>> {
        self.model.features(images, false)
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages: Vec<&str> = self.model.stages().iter().map(|(name, _)| *name).collect();
        f.debug_struct("Frozen").field("dtype", &self.store.frozen()).field("stages", &stages).finish()
    }
}
