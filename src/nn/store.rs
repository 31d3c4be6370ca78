//! Where the tensors of a model live: an ordered state_dict, and the paths that name its keys.

use super::init::Init;
use super::switch::Switch;
use crate::{locked, torch};
use anyhow::{Result, ensure};
use std::collections::HashSet;
use std::fmt::Display;
use std::ops::Div;
use std::sync::{Arc, Mutex};
use tch::{Device, Kind, Tensor};

/// What an optimizer and a state_dict make of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Trained by the optimizer.
    Parameter,
    /// Kept in the state_dict, changed by the layer alone (running statistics).
    Buffer,
}

/// How the tensors of a new model come to be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Allocation {
    Initialised(Device),
    Uninitialised(Device),
    Meta,
}

#[derive(Default)]
struct Entries {
    list: Vec<(String, Role, Tensor)>,
    names: HashSet<String>,
}

/// All tensors of one model in the order in which it creates them, which is PyTorch's order of `state_dict()`.
///
/// Clones share the tensors.
#[derive(Clone)]
pub struct Store {
    allocation: Allocation,
    entries: Arc<Mutex<Entries>>,
    switch: Switch,
}

impl Allocation {
    fn device(self) -> Option<Device> {
        match self {
            Allocation::Initialised(device) | Allocation::Uninitialised(device) => Some(device),
            Allocation::Meta => None,
        }
    }

    fn on(self, device: Device) -> Self {
        match self {
            Allocation::Initialised(_) => Allocation::Initialised(device),
            Allocation::Uninitialised(_) => Allocation::Uninitialised(device),
            Allocation::Meta => Allocation::Meta,
        }
    }
}

impl Store {
    /// A store whose tensors are float32 on `device`, initialised by their layers from the global generator
    /// (seed it with [`tch::manual_seed`] first).
    pub fn new(device: Device) -> Self {
        Self::with(Allocation::Initialised(device))
    }

    /// A store whose tensors are allocated but not written: for a model whose weights come from a file.
    pub fn uninitialised(device: Device) -> Self {
        Self::with(Allocation::Uninitialised(device))
    }

    /// A store whose tensors have shapes but no memory: for counting (see [`super::cost`]).
    pub fn meta() -> Self {
        Self::with(Allocation::Meta)
    }

    fn with(allocation: Allocation) -> Self {
        Self { allocation, entries: Arc::default(), switch: Switch::default() }
    }

    /// The path of the whole model.
    pub fn root(&self) -> Path {
        Path { store: self.clone(), prefix: String::new() }
    }

    /// Every tensor with its key, parameters and buffers, in order; the tensors are shared, not copied.
    pub fn state_dict(&self) -> Vec<(String, Tensor)> {
        self.select(|_| true)
    }

    /// The tensors that an optimizer trains, with their keys.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        self.select(|role| role == Role::Parameter)
    }

    /// The tensors that layers keep beside their parameters, with their keys.
    pub fn buffers(&self) -> Vec<(String, Tensor)> {
        self.select(|role| role == Role::Buffer)
    }

    fn select(&self, keep: impl Fn(Role) -> bool) -> Vec<(String, Tensor)> {
        let entries = locked(&self.entries);
        let kept = entries.list.iter().filter(|(_, role, _)| keep(*role));
        kept.map(|(name, _, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }

    /// The number of trained values.
    pub fn count_parameters(&self) -> u64 {
        let entries = locked(&self.entries);
        let parameters = entries.list.iter().filter(|(_, role, _)| *role == Role::Parameter);
        parameters.map(|(_, _, tensor)| tensor.numel() as u64).sum()
    }

    /// Puts every convolution weight into channels_last order; inputs in that order then stay in it throughout.
    pub fn channels_last(&self) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        for (_, mut parameter) in self.parameters() {
            if parameter.dim() == 4 {
                let reordered = torch::channels_last(&parameter.detach())?;
                parameter.set_data(&reordered);
            }
        }
        Ok(())
    }

    /// From here on, evaluation passes of this store's model take the fast path: batch norms folded into the
    /// convolutions before them, activations and residual sums inside the kernels, weights in the kernels' own order.
    /// `kind` is the dtype of convolutions and linear layers: float32 gives the same logits within rounding, bfloat16
    /// trades digits for speed.
    ///
    /// The passes have no gradient, and their weights are those of the first pass: after a change of weights freeze
    /// again. Training passes are as before.
    pub fn freeze(&self, kind: Kind) {
        self.switch.freeze(kind);
    }

    /// Ends [`Store::freeze`].
    pub fn thaw(&self) {
        self.switch.thaw();
    }

    fn insert(&self, name: String, role: Role, size: &[i64], kind: Kind, init: Init) -> Result<Tensor> {
        ensure!(size.iter().all(|&n| n > 0), "`{name}`: impossible shape {size:?}");
        let _no_grad = tch::no_grad_guard();
        let mut tensor = match self.allocation {
            Allocation::Meta => torch::empty_meta(size, kind)?,
            Allocation::Uninitialised(device) => Tensor::f_empty(size, (kind, device))?,
            Allocation::Initialised(device) => {
                let mut tensor = Tensor::f_empty(size, (kind, device))?;
                init.fill(&mut tensor)?;
                tensor
            }
        };
        if role == Role::Parameter && self.allocation != Allocation::Meta {
            tensor = tensor.f_set_requires_grad(true)?;
        }
        self.register(name, role, tensor)
    }

    fn register(&self, name: String, role: Role, tensor: Tensor) -> Result<Tensor> {
        let mut entries = locked(&self.entries);
        ensure!(entries.names.insert(name.clone()), "`{name}`: two tensors of one name");
        entries.list.push((name, role, tensor.shallow_clone()));
        Ok(tensor)
    }

    /// `values` where the tensors of this store are.
    fn place(&self, values: &Tensor) -> Result<Tensor> {
        Ok(match self.allocation.device() {
            None => torch::empty_meta(&values.size(), values.kind())?,
            Some(device) => values.f_to_device(device)?,
        })
    }
}

/// A place in the state_dict: `&p / "layer1" / 0` names the keys that begin with `layer1.0.`.
#[derive(Clone)]
pub struct Path {
    store: Store,
    prefix: String,
}

impl Path {
    /// A new float32 parameter at this path.
    ///
    /// # Errors
    /// A size that is not positive, or a name given twice.
    pub fn parameter(&self, name: &str, size: &[i64], init: Init) -> Result<Tensor> {
        self.store.insert(self.key(name), Role::Parameter, size, Kind::Float, init)
    }

    /// A new buffer at this path; an empty `size` is a scalar.
    ///
    /// # Errors
    /// As [`Path::parameter`].
    pub fn buffer(&self, name: &str, size: &[i64], kind: Kind, init: Init) -> Result<Tensor> {
        self.store.insert(self.key(name), Role::Buffer, size, kind, init)
    }

    /// A buffer that the layer works out for itself, such as a table of indices: written even where the values of all
    /// others come from a file.
    ///
    /// # Errors
    /// A name given twice.
    pub fn constant(&self, name: &str, values: &Tensor) -> Result<Tensor> {
        self.store.register(self.key(name), Role::Buffer, self.store.place(values)?)
    }

    /// The same for a table that is not in the state_dict (`persistent=False`): only brought to the model's device.
    pub fn hidden_constant(&self, values: &Tensor) -> Result<Tensor> {
        self.store.place(values)
    }

    /// Whether the model is frozen.
    pub(super) fn switch(&self) -> Switch {
        self.store.switch.clone()
    }

    /// Where the tensors of this path are made; none on the meta device.
    pub fn device(&self) -> Option<Device> {
        self.store.allocation.device()
    }

    /// The same place in the state_dict, for tensors on another device: a model over several of them.
    pub fn on(&self, device: Device) -> Path {
        let allocation = self.store.allocation.on(device);
        Path { store: Store { allocation, ..self.store.clone() }, prefix: self.prefix.clone() }
    }

    fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }
}

impl<T: Display> Div<T> for &Path {
    type Output = Path;

    fn div(self, name: T) -> Path {
        Path { store: self.store.clone(), prefix: self.key(&name.to_string()) }
    }
}

impl<T: Display> Div<T> for Path {
    type Output = Path;

    fn div(self, name: T) -> Path {
        &self / name
    }
}
