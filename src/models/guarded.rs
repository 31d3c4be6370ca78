//! A network that keeps what freezing promises: its passes have no gradient, and take the images that others take.

use super::Model;
use crate::nn::{Head, Layer, Outputs, Store};
use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

/// A network and the store of its tensors, which knows whether they are frozen.
pub(super) struct Guarded {
    net: Box<dyn Model>,
    store: Store,
}

impl Guarded {
    pub fn new(net: Box<dyn Model>, store: &Store) -> Self {
        Self { net, store: store.clone() }
    }

    /// `pass` over `x`, without a gradient if it is a frozen one.
    fn pass<T>(&self, x: &Tensor, train: bool, pass: impl FnOnce(&dyn Model) -> Result<T>) -> Result<T> {
        ensure!(
            !self.store.is_spent(),
            "the model's float weights were dropped: it can only stay frozen as it was"
        );
        let Some(kind) = self.store.frozen().filter(|_| !train) else {
            return pass(self.net.as_ref());
        };
        // Frozen kernels cast what they are given: bytes would pass for images without a word.
        let given = x.kind();
        ensure!(
            given == Kind::Float || given == kind,
            "images are {given:?}; the frozen model takes Float or {kind:?}"
        );
        let _no_grad = tch::no_grad_guard();
        pass(self.net.as_ref())
    }
}

impl Model for Guarded {
    fn stages(&self) -> Vec<(&str, &dyn Layer)> {
        self.net.stages()
    }

    fn head(&self) -> &dyn Head {
        self.net.head()
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.pass(x, train, |net| net.forward(x, train))
    }

    fn outputs(&self, x: &Tensor, train: bool) -> Result<Outputs> {
        self.pass(x, train, |net| net.outputs(x, train))
    }

    fn auxiliaries(&self) -> Vec<(&str, &dyn Layer)> {
        self.net.auxiliaries()
    }

    fn forward_auxiliary(&self, x: &Tensor, train: bool) -> Result<(Tensor, Vec<Tensor>)> {
        self.pass(x, train, |net| net.forward_auxiliary(x, train))
    }

    fn token_logits(&self, x: &Tensor, train: bool) -> Result<Option<[Tensor; 2]>> {
        self.pass(x, train, |net| net.token_logits(x, train))
    }

    fn features(&self, x: &Tensor, train: bool) -> Result<Vec<(String, Tensor)>> {
        self.pass(x, train, |net| net.features(x, train))
    }
}
