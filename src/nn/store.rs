//! Where the tensors of a model live: an ordered state_dict, and the paths that name its keys.

use super::init::Init;
use super::switch::Switch;
use super::taps::Taps;
use crate::torch::SharedTensor;
use crate::{locked, torch};
use anyhow::{Result, ensure};
use std::collections::HashSet;
use std::fmt::{self, Display};
use std::ops::Div;
use std::sync::{Arc, Mutex};
use tch::{Device, Kind, Tensor};

/// How the optimizer and the state_dict treat a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Trained by the optimizer.
    Parameter,
    /// Stored in the state_dict, changed only by its layer (running statistics).
    Buffer,
}

/// How the tensors of a new model are allocated.
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

/// All tensors of one model in the order of their creation, which is that of PyTorch's `state_dict()`.
///
/// Clones share the tensors.
#[derive(Clone)]
pub struct Store {
    allocation: Allocation,
    entries: Arc<Mutex<Entries>>,
    /// Of an uninitialised store the tensors that are initialised all the same.
    fresh: Arc<HashSet<String>>,
    switch: Switch,
    taps: Taps,
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

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tensors = locked(&self.entries).list.len();
        f.debug_struct("Store").field("on", &self.allocation).field("tensors", &tensors).finish()
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

    /// The same, with the tensors of these keys initialised.
    pub fn uninitialised_but(device: Device, fresh: &[String]) -> Self {
        Self { fresh: Arc::new(fresh.iter().cloned().collect()), ..Self::uninitialised(device) }
    }

    /// A store whose tensors have shapes but no memory: for counting costs (see [`super::cost`]).
    pub fn meta() -> Self {
        Self::with(Allocation::Meta)
    }

    fn with(allocation: Allocation) -> Self {
        Self {
            allocation,
            entries: Arc::default(),
            fresh: Arc::default(),
            switch: Switch::default(),
            taps: Taps::default(),
        }
    }

    /// The path of the whole model.
    pub fn root(&self) -> Path {
        Path { store: self.clone(), prefix: String::new() }
    }

    /// The device of its tensors; `None` for the meta device.
    pub fn device(&self) -> Option<Device> {
        self.allocation.device()
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

    /// The number of values in all parameters.
    pub fn count_parameters(&self) -> u64 {
        let entries = locked(&self.entries);
        let parameters = entries.list.iter().filter(|(_, role, _)| *role == Role::Parameter);
        parameters.map(|(_, _, tensor)| tensor.numel() as u64).sum()
    }

    /// Converts every convolution weight to channels_last; inputs in that format then keep it throughout.
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

    /// Optimises the model for inference (frozen), unrelated to freezing parameters in training. From here on,
    /// evaluation passes take the fast path: batch norms folded into the convolutions before them, activations and
    /// residual additions inside the kernels, weights in the kernels' own layout. `kind` is the dtype of convolutions
    /// and linear layers: float32 gives the same logits within rounding, bfloat16 trades precision for speed.
    ///
    /// These passes have no gradient. They follow a change of the weights themselves, such as a load; freeze again after a
    /// change of a norm's alone. Training passes are unaffected. Several threads may pass at once; weights are prepared
    /// once for all of them, and for several input sizes where the kernels ask for it.
    pub fn freeze(&self, kind: Kind) {
        self.switch.freeze(kind);
    }

    /// Undoes [`Store::freeze`].
    pub fn thaw(&self) {
        self.switch.thaw();
    }

    /// The dtype in which the model is frozen, if it is.
    pub fn frozen(&self) -> Option<Kind> {
        self.switch.on().map(|on| on.kind)
    }

    /// Frees the floats of the weights that layers have packed for the frozen model, and returns their bytes: half of what
    /// such a model takes. From then on the model is only what it is now: it cannot be thawed, saved, or loaded anew, and
    /// for input sizes that it has not seen it may be slower.
    ///
    /// # Errors
    /// None but libtorch's.
    pub fn drop_floats(&self) -> Result<u64> {
        self.switch.drop_floats()
    }

    /// Whether a pass would need weights that [`Store::drop_floats`] has freed.
    pub fn is_spent(&self) -> bool {
        self.switch.is_spent()
    }

    /// From here on, layers keep what is looked for inside a model (the gates of squeeze-and-excitation), until it is taken;
    /// evaluation passes take the slower path there.
    pub fn look_inside(&self, look: bool) {
        self.taps.set_open(look);
    }

    /// What layers have kept since the last time, by their keys, in the order of the passes.
    pub fn seen_inside(&self) -> Vec<(String, Tensor)> {
        self.taps.take()
    }

    fn insert(&self, name: String, role: Role, size: &[i64], kind: Kind, init: Init) -> Result<Tensor> {
        ensure!(size.iter().all(|&n| n > 0), "`{name}`: invalid shape {size:?}");
        let _no_grad = tch::no_grad_guard();
        let mut tensor = match self.allocation {
            Allocation::Meta => torch::empty_meta(size, kind)?,
            Allocation::Uninitialised(device) if !self.fresh.contains(&name) => {
                Tensor::f_empty(size, (kind, device))?
            }
            Allocation::Initialised(device) | Allocation::Uninitialised(device) => {
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
        ensure!(entries.names.insert(name.clone()), "`{name}`: duplicate tensor name");
        entries.list.push((name, role, tensor.shallow_clone()));
        Ok(tensor)
    }

    /// `values` on the device of this store.
    fn place(&self, values: &Tensor) -> Result<Tensor> {
        Ok(match self.allocation.device() {
            None => torch::empty_meta(&values.size(), values.kind())?,
            Some(device) => values.f_to_device(device)?,
        })
    }
}

/// A prefix in the state_dict: `&p / "layer1" / 0` stands for the keys that begin with `layer1.0.`.
#[derive(Clone)]
pub struct Path {
    store: Store,
    prefix: String,
}

impl Path {
    /// A new float32 parameter at this path.
    ///
    /// # Errors
    /// A size that is not positive, or a duplicate name.
    pub fn parameter(&self, name: &str, size: &[i64], init: Init) -> Result<SharedTensor> {
        Ok(self.store.insert(self.key(name), Role::Parameter, size, Kind::Float, init)?.into())
    }

    /// A new buffer at this path; an empty `size` is a scalar.
    ///
    /// # Errors
    /// As [`Path::parameter`].
    pub fn buffer(&self, name: &str, size: &[i64], kind: Kind, init: Init) -> Result<SharedTensor> {
        Ok(self.store.insert(self.key(name), Role::Buffer, size, kind, init)?.into())
    }

    /// A buffer that the layer computes itself, such as a table of indices: written even if all other values come from
    /// a file.
    ///
    /// # Errors
    /// A duplicate name.
    pub fn constant(&self, name: &str, values: &Tensor) -> Result<SharedTensor> {
        Ok(self.store.register(self.key(name), Role::Buffer, self.store.place(values)?)?.into())
    }

    /// The same for a table that is not in the state_dict (`persistent=False`): only moved to the model's device.
    pub fn hidden_constant(&self, values: &Tensor) -> Result<SharedTensor> {
        Ok(self.store.place(values)?.into())
    }

    /// The switch that tells whether the model is frozen.
    pub(super) fn switch(&self) -> Switch {
        self.store.switch.clone()
    }

    /// Where a layer at this path leaves what is looked for inside it.
    pub(super) fn taps(&self) -> Taps {
        self.store.taps.clone()
    }

    /// The key of the layer itself.
    pub(super) fn name(&self) -> &str {
        &self.prefix
    }

    /// The device on which this path creates tensors; `None` for the meta device.
    pub fn device(&self) -> Option<Device> {
        self.store.allocation.device()
    }

    /// The same path with its tensors on another device, for a model split over several devices.
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
