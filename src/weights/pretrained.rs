//! A model with its weights from a file.

use super::{Classes, StateFile, adapt, load, recognise};
use crate::models::{Model, ModelSpec};
use crate::nn::Store;
use anyhow::Result;
use tch::Device;

/// A model whose weights came from a file.
pub struct Pretrained {
    pub model: Box<dyn Model>,
    pub store: Store,
    /// Whose names the file has for the tensors.
    pub naming: String,
    /// Tensors of the classifier that start anew, because the file's has other classes.
    pub fresh: Vec<String>,
}

/// Builds the model of `spec` on the CPU with the weights of a file, whatever library named them, adapted where `spec`
/// differs from the pretrained model in classes, input channels or input size. A new classifier starts as its layer
/// does, from the global generator.
///
/// # Errors
/// Fields that make no network, or weights that are not this model's, with all that differs.
pub fn pretrained(spec: &ModelSpec, file: &StateFile, classes: Classes) -> Result<Pretrained> {
    let architecture = spec.resolve()?;
    let store = match spec.set.is_empty() {
        true => Store::uninitialised(Device::Cpu),
        false => Store::new(Device::Cpu),
    };
    let model = architecture.build(&store)?;
    let mut wanted = store.state_dict();
    let (naming, mut state) = recognise(architecture.name, file.state_dict()?, &wanted)?;
    let fresh = adapt(&mut state, spec, &wanted, classes)?;
    wanted.retain(|(name, _)| !fresh.contains(name));
    load(&state, &wanted)?;
    Ok(Pretrained { model, store, naming, fresh })
}
