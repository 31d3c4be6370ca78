//! Models optimised for inference (frozen): their weights no longer change, so layers keep them in the layout that
//! suits their kernels best.

use super::Activation;
use super::store::Path;
use super::switch::{On, Switch};
use crate::torch::{self, Pointwise, Window};
use anyhow::Result;
use std::cell::{Ref, RefCell};
use tch::{Device, Kind, Tensor};

/// A layer's weights as prepared for its kernel, built by the first frozen pass that needs them.
pub(super) struct Frozen<K, T> {
    switch: Switch,
    cache: RefCell<Option<Cached<K, T>>>,
}

struct Cached<K, T> {
    count: u64,
    /// The input size that it was built for.
    size: K,
    /// The input size of the last pass.
    last: K,
    value: T,
}

impl<K: Copy + PartialEq, T> Frozen<K, T> {
    pub(super) fn new(switch: Switch) -> Self {
        Self { switch, cache: RefCell::new(None) }
    }

    /// Whether the model is frozen. To be called in every pass: it also frees the cache of a thawed model.
    pub(super) fn on(&self) -> Option<On> {
        let on = self.switch.on();
        if on.is_none() {
            drop(self.cache.take());
        }
        on
    }

    /// The cached value, or what `build` returns for the frozen dtype. A value built for another input size is correct
    /// but slower: it is rebuilt when a size comes twice in a row.
    ///
    /// # Errors
    /// Those of `build`.
    pub(super) fn get(
        &self,
        on: On,
        size: K,
        build: impl FnOnce(Kind) -> Result<T>,
    ) -> Result<Option<Ref<'_, T>>> {
        let On { count, kind } = on;
        let is_current = match self.cache.borrow_mut().as_mut() {
            Some(cached) if cached.count == count => {
                let last = std::mem::replace(&mut cached.last, size);
                cached.size == size || last != size
            }
            _ => false,
        };
        if !is_current {
            let cached = Cached { count, size, last: size, value: build(kind)? };
            *self.cache.borrow_mut() = Some(cached);
        }
        Ok(Ref::filter_map(self.cache.borrow(), |cache| cache.as_ref().map(|cached| &cached.value)).ok())
    }
}

/// A parameter without a packed kernel: float32, and in a frozen model also in the frozen dtype.
pub(super) struct Cast {
    parameter: Tensor,
    frozen: Frozen<(), Tensor>,
}

impl Cast {
    /// Wraps a parameter at `path`.
    pub(super) fn new(path: &Path, parameter: Tensor) -> Self {
        Self { parameter, frozen: Frozen::new(path.switch()) }
    }

    /// The parameter itself, as the optimizer trains it.
    pub(super) fn parameter(&self) -> &Tensor {
        &self.parameter
    }

    /// In the dtype of a frozen model if `cast`; otherwise unchanged.
    pub(super) fn get(&self, cast: bool) -> Result<Tensor> {
        let frozen = match self.frozen.on().filter(|_| cast) {
            Some(on) => self.frozen.get(on, (), |kind| Ok(self.parameter.f_detach()?.f_to_kind(kind)?))?,
            None => None,
        };
        Ok(frozen.as_deref().unwrap_or(&self.parameter).shallow_clone())
    }
}

/// Weight and bias of a convolution or linear layer in the form that the kernel takes.
pub(super) struct Kernel {
    weight: Tensor,
    bias: Option<Tensor>,
    kind: Kind,
    /// In oneDNN's own layout, for the CPU's fused kernels.
    packed: bool,
}

impl Kernel {
    fn new(weight: &Tensor, bias: Option<&Tensor>, kind: Kind) -> Result<Self> {
        let bias = bias.map(|bias| bias.f_detach()?.f_to_kind(kind)).transpose()?;
        Ok(Self { weight: weight.f_detach()?.f_to_kind(kind)?, bias, kind, packed: false })
    }

    /// For a convolution over inputs of size `input`.
    pub(super) fn convolution(
        weight: &Tensor,
        bias: Option<&Tensor>,
        kind: Kind,
        window: Window,
        input: [i64; 4],
    ) -> Result<Self> {
        let kernel = Self::new(weight, bias, kind)?;
        if is_fused(weight, kind) {
            let weight = torch::pack_convolution(&kernel.weight, window, input)?;
            Ok(Self { weight, packed: true, ..kernel })
        } else {
            Ok(Self { weight: torch::channels_last(&kernel.weight)?, ..kernel })
        }
    }

    /// For a linear layer over `rows` rows.
    pub(super) fn linear(weight: &Tensor, bias: Option<&Tensor>, kind: Kind, rows: i64) -> Result<Self> {
        let kernel = Self::new(weight, bias, kind)?;
        if is_fused(weight, kind) {
            Ok(Self { weight: torch::pack_linear(&kernel.weight, rows)?, packed: true, ..kernel })
        } else {
            Ok(kernel)
        }
    }

    /// `activation(convolution(x) + residual)`.
    pub(super) fn convolve(
        &self,
        x: &Tensor,
        window: Window,
        residual: Option<&Tensor>,
        activation: Activation,
    ) -> Result<Tensor> {
        let x = torch::channels_last(&cast(x, self.kind)?)?;
        let residual = residual.map(|residual| cast(residual, self.kind)).transpose()?;
        if !self.packed {
            let Window { padding, stride, dilation, groups } = window;
            let y = x.f_conv2d(&self.weight, self.bias.as_ref(), stride, padding, dilation, groups)?;
            return activation.forward_add(y, residual.as_ref());
        }
        // After an addition, oneDNN's operator supports only ReLU.
        let fused = match activation {
            Activation::Identity | Activation::Relu => activation.pointwise(),
            _ if residual.is_none() => activation.pointwise(),
            _ => None,
        };
        let (now, later) = split(activation, fused);
        let residual = residual.map(|residual| torch::channels_last(&residual)).transpose()?;
        let y =
            torch::fused_convolution(&x, &self.weight, self.bias.as_ref(), window, residual.as_ref(), now)?;
        later.forward(y)
    }

    /// `activation(x · weightᵀ + bias)` over the last dimension.
    pub(super) fn multiply(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let x = cast(x, self.kind)?;
        if !self.packed {
            return activation.forward(x.f_linear(&self.weight, self.bias.as_ref())?);
        }
        let (now, later) = split(activation, activation.pointwise());
        later.forward(torch::fused_linear(&x, &self.weight, self.bias.as_ref(), now)?)
    }
}

fn is_fused(weight: &Tensor, kind: Kind) -> bool {
    weight.device() == Device::Cpu && torch::has_fused_kernels(kind)
}

/// What the kernel applies itself, and what is left to apply after it.
fn split(activation: Activation, fused: Option<Pointwise>) -> (Pointwise, Activation) {
    match fused {
        Some(fused) => (fused, Activation::Identity),
        None => (Pointwise::NONE, activation),
    }
}

fn cast(x: &Tensor, kind: Kind) -> Result<Tensor> {
    if x.kind() == kind { Ok(x.shallow_clone()) } else { Ok(x.f_to_kind(kind)?) }
}
