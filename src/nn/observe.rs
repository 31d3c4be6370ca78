//! What is looked at inside a model while it runs: outputs of modules, attention, and other rules for the way back.
//!
//! Layers ask here in every pass; without an observer on their thread that is one comparison. A module is found by its
//! tensors, so that no layer needs to know its name.

use super::store::Store;
use crate::torch;
use anyhow::Result;
use std::cell::RefCell;
use std::collections::HashMap;
use tch::Tensor;

/// What ReLU, max pooling and response norm do on the way back from a feature to the pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backward {
    /// The gradient.
    #[default]
    Gradient,
    /// Guided backpropagation (1412.6806): at a ReLU what is positive, where its input was.
    Guided,
    /// A deconvnet (1311.2901, section 2.1): at a ReLU what is positive, wherever its input was; response norms are left
    /// out. Max pooling puts values back at their maxima, and convolutions take their transposed filters, as they do in the
    /// gradient.
    Deconvnet,
    /// Everything that a feature depends on: activations pass all, and poolings take all of their windows.
    Field,
}

/// What to look at in the evaluation passes of a model that is not frozen.
#[derive(Clone, Debug, Default)]
pub struct Observe {
    /// Modules with a weight of their own, or elements of a sequence, by PyTorch's names: `layer4.1`, `blocks.11.norm1`.
    pub modules: Vec<String>,
    /// Whether attention is computed as matrices, (N, heads, queries, keys).
    pub attention: bool,
    pub backward: Backward,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// The outputs of modules in the order of the pass; what follows works on copies, so that nothing changes them.
    pub outputs: Vec<Output>,
    /// One a layer of attention, in the order of the pass.
    pub attention: Vec<Tensor>,
    /// How many ReLUs there were.
    pub relus: usize,
}

/// The output of a module.
#[derive(Debug)]
pub struct Output {
    pub module: String,
    pub tensor: Tensor,
    /// Whether its channels are its last dimension for certain.
    pub channels_last: bool,
}

struct Observer {
    /// The modules looked for, by the address of their weights.
    weights: HashMap<usize, String>,
    modules: Vec<String>,
    attention: bool,
    backward: Backward,
    seen: Seen,
}

thread_local! {
    static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
}

/// Runs `pass` of the model of `store` on this thread and returns its result with what was seen. Observations do not nest.
pub fn observe<T>(store: &Store, what: Observe, pass: impl FnOnce() -> T) -> (T, Seen) {
    let Observe { modules, attention, backward } = what;
    let state = if modules.is_empty() { Vec::new() } else { store.state_dict() };
    let weights = state.into_iter().filter_map(|(key, tensor)| {
        let module = key.strip_suffix(".weight")?;
        modules.iter().any(|wanted| wanted == module).then(|| (address(&tensor), module.to_owned()))
    });
    let weights = weights.collect();
    OBSERVER.set(Some(Observer { weights, modules, attention, backward, seen: Seen::default() }));
    let ending = Ending;
    let result = pass();
    let seen = OBSERVER.take().map(|observer| observer.seen).unwrap_or_default();
    drop(ending);
    (result, seen)
}

/// Ends an observation also when the pass panics.
struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        OBSERVER.set(None);
    }
}

/// Where a tensor's values are: the same for all that share them.
fn address(tensor: &Tensor) -> usize {
    tensor.data_ptr() as usize
}

impl Observer {
    /// Keeps an output, and returns a copy for the layers behind it, which may write into what they own.
    fn keep(&mut self, module: String, tensor: Tensor, channels_last: bool) -> Result<Tensor> {
        let copy = tensor.f_add_scalar(0.0)?;
        self.seen.outputs.push(Output { module, tensor, channels_last });
        Ok(copy)
    }
}

/// The output of the layer that has this weight.
pub(super) fn weighted(weight: &Tensor, y: Tensor, channels_last: bool) -> Result<Tensor> {
    OBSERVER.with_borrow_mut(|observer| match observer {
        Some(observer) if !observer.weights.is_empty() => match observer.weights.get(&address(weight)) {
            Some(module) => observer.keep(module.clone(), y, channels_last),
            None => Ok(y),
        },
        _ => Ok(y),
    })
}

/// The output of an element of a sequence.
pub(super) fn element(name: impl FnOnce() -> String, y: Tensor) -> Result<Tensor> {
    OBSERVER.with_borrow_mut(|observer| match observer {
        Some(observer) if !observer.modules.is_empty() => {
            let name = name();
            if observer.modules.contains(&name) { observer.keep(name, y, false) } else { Ok(y) }
        }
        _ => Ok(y),
    })
}

/// Whether attention is to be computed as a matrix.
pub(super) fn wants_attention() -> bool {
    OBSERVER.with_borrow(|observer| observer.as_ref().is_some_and(|observer| observer.attention))
}

/// The attention of a layer.
pub(super) fn attention(matrix: &Tensor) {
    OBSERVER.with_borrow_mut(|observer| {
        if let Some(observer) = observer {
            observer.seen.attention.push(matrix.shallow_clone());
        }
    });
}

/// The way back, where it is not the gradient.
pub(super) fn backward() -> Option<Backward> {
    let way = OBSERVER.with_borrow(|observer| observer.as_ref().map(|observer| observer.backward));
    way.filter(|way| *way != Backward::Gradient)
}

/// min(max(x, 0), `most`) with another way back; `None` where it is the gradient.
pub(super) fn rectifier(x: &Tensor, most: f64) -> Result<Option<Tensor>> {
    let Some(way) = backward() else { return Ok(None) };
    OBSERVER.with_borrow_mut(|observer| {
        if let Some(observer) = observer {
            observer.seen.relus += 1;
        }
    });
    match way {
        Backward::Gradient => Ok(None),
        Backward::Field => Ok(Some(x.shallow_clone())),
        Backward::Guided => Ok(Some(torch::rectifier(x, most, true)?)),
        Backward::Deconvnet => Ok(Some(torch::rectifier(x, most, false)?)),
    }
}
