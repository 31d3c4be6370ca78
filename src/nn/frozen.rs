//! Models optimised for inference (frozen): their weights no longer change, so layers keep them in the layout that
//! suits their kernels best.

use super::Activation;
use super::store::Path;
use super::switch::{On, Switch};
use crate::locked;
use crate::torch::{self, Pointwise, SharedTensor, Window};
use anyhow::{Error, Result};
use std::sync::{Arc, Mutex};
use tch::{Device, Kind, Tensor};

/// How many input sizes a layer has weights prepared for.
const SIZES: usize = 8;

/// A layer's weights as prepared for its kernel, built by the frozen passes that need them, for all threads.
pub(super) struct Frozen<K, T> {
    switch: Switch,
    prepared: Mutex<Prepared<K, T>>,
}

struct Prepared<K, T> {
    /// The freeze and the version of the weights that they were built from.
    of: (u64, i64),
    /// By input size, the one used last first.
    sizes: Vec<Sized<K, T>>,
}

struct Sized<K, T> {
    size: K,
    value: Arc<T>,
    /// Whether the value is the best for this size, not what another size had.
    own: bool,
}

/// What can be prepared for several input sizes.
pub(super) trait Prepare: Send + Sync {
    /// Whether `self`, prepared from the same weights, can stand for `other` at no cost.
    fn is_like(&self, _other: &Self) -> Result<bool> {
        Ok(false)
    }
}

impl<K: Copy + PartialEq, T: Prepare> Frozen<K, T> {
    pub(super) fn new(switch: Switch) -> Self {
        Self { switch, prepared: Mutex::new(Prepared { of: (0, 0), sizes: Vec::new() }) }
    }

    /// Whether the model is frozen. To be called in every pass: it also frees what a thawed model had prepared.
    pub(super) fn on(&self) -> Option<On> {
        let on = self.switch.on();
        if on.is_none() {
            locked(&self.prepared).sizes.clear();
        }
        on
    }

    /// What is prepared, or what `build` returns for the frozen dtype and the values that `weight` has now. Each size has its
    /// own, unless that is the same, so that the bits of a pass do not depend on those before it. Where sizes are many, what
    /// was built for another is correct but can be slower: a size then gets its own when it comes for the second time.
    ///
    /// # Errors
    /// Those of `build`.
    pub(super) fn get(
        &self,
        on: On,
        weight: &Tensor,
        size: K,
        build: impl FnOnce(Kind) -> Result<T>,
    ) -> Result<Arc<T>> {
        let of = (on.count, weight.f_internal_version().unwrap_or(0));
        let mut prepared = locked(&self.prepared);
        if prepared.of != of {
            *prepared = Prepared { of, sizes: Vec::new() };
        }
        let sizes = &mut prepared.sizes;
        if let Some(first) = sizes.first().filter(|first| first.size == size && first.own) {
            return Ok(first.value.clone());
        }
        let is_full = sizes.len() >= SIZES;
        let known = sizes.iter().position(|known| known.size == size).map(|i| sizes.remove(i));
        let used = match (known, sizes.first()) {
            (Some(known), _) if known.own || on.dropped => known,
            (None, Some(other)) if on.dropped || is_full => {
                Sized { size, value: other.value.clone(), own: false }
            }
            _ => {
                let value = build(on.kind)?;
                let mut like = None;
                for other in sizes.iter().filter(|other| other.own) {
                    if other.value.is_like(&value)? {
                        like = Some(other.value.clone());
                        break;
                    }
                }
                Sized { size, value: like.unwrap_or_else(|| Arc::new(value)), own: true }
            }
        };
        let value = used.value.clone();
        sizes.insert(0, used);
        sizes.truncate(SIZES);
        Ok(value)
    }

    /// Tells that the kernel has all that it needs of this weight.
    pub(super) fn packed(&self, weight: &Tensor) {
        self.switch.packed(weight);
    }
}

/// A parameter without a packed kernel: float32, and in a frozen model also in the frozen dtype.
pub(super) struct Cast {
    parameter: SharedTensor,
    frozen: Frozen<(), SharedTensor>,
}

impl Prepare for SharedTensor {}

impl Cast {
    /// Wraps a parameter at `path`.
    pub(super) fn new(path: &Path, parameter: SharedTensor) -> Self {
        Self { parameter, frozen: Frozen::new(path.switch()) }
    }

    /// The parameter itself, as the optimizer trains it.
    pub(super) fn parameter(&self) -> &Tensor {
        &self.parameter
    }

    /// In the dtype of a frozen model if `cast`; otherwise unchanged.
    pub(super) fn get(&self, cast: bool) -> Result<Tensor> {
        let Some(on) = self.frozen.on().filter(|_| cast) else {
            return Ok(self.parameter.shallow_clone());
        };
        let build = |kind| Ok(self.parameter.f_detach()?.f_to_kind(kind)?.into());
        Ok(self.frozen.get(on, &self.parameter, (), build)?.shallow_clone())
    }
}

/// Weight and bias of a convolution or linear layer in the form that the kernel takes.
pub(super) struct Kernel {
    weight: SharedTensor,
    bias: Option<SharedTensor>,
    kind: Kind,
    /// In oneDNN's own layout, for the CPU's fused kernels.
    packed: bool,
}

impl Prepare for Kernel {
    fn is_like(&self, other: &Self) -> Result<bool> {
        match (self.packed, other.packed) {
            (true, true) => torch::is_packed_alike(&self.weight, &other.weight),
            (packed, other) => Ok(packed == other),
        }
    }
}

impl Kernel {
    /// Whether the weight is in oneDNN's own layout: nothing else is needed of the floats.
    pub(super) fn is_packed(&self) -> bool {
        self.packed
    }

    fn new(weight: &Tensor, bias: Option<&Tensor>, kind: Kind) -> Result<Self> {
        let cast = |tensor: &Tensor| Ok::<SharedTensor, Error>(tensor.f_detach()?.f_to_kind(kind)?.into());
        Ok(Self { weight: cast(weight)?, bias: bias.map(cast).transpose()?, kind, packed: false })
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
            Ok(Self { weight: weight.into(), packed: true, ..kernel })
        } else {
            Ok(Self { weight: torch::channels_last(&kernel.weight)?.into(), ..kernel })
        }
    }

    /// For a linear layer over `rows` rows.
    pub(super) fn linear(weight: &Tensor, bias: Option<&Tensor>, kind: Kind, rows: i64) -> Result<Self> {
        let kernel = Self::new(weight, bias, kind)?;
        if is_fused(weight, kind) {
            Ok(Self { weight: torch::pack_linear(&kernel.weight, rows)?.into(), packed: true, ..kernel })
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
            let y = x.f_conv2d(&self.weight, self.bias.as_deref(), stride, padding, dilation, groups)?;
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
            torch::fused_convolution(&x, &self.weight, self.bias.as_deref(), window, residual.as_ref(), now)?;
        later.forward(y)
    }

    /// `activation(x · weightᵀ + bias)` over the last dimension.
    pub(super) fn multiply(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let x = cast(x, self.kind)?;
        if !self.packed {
            return activation.forward(x.f_linear(&self.weight, self.bias.as_deref())?);
        }
        let (now, later) = split(activation, activation.pointwise());
        later.forward(torch::fused_linear(&x, &self.weight, self.bias.as_deref(), now)?)
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
