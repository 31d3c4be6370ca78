//! Strict loading: exactly the tensors of the model, with their shapes.

use super::{Format, StateFile, TensorView, dtype_name};
use anyhow::{Result, bail, ensure};
use serde::Serialize;
use std::collections::HashMap;
use std::path::PathBuf;
use tch::{Kind, Tensor};

/// Buffers that a model computes itself: counters, indices and constants (the filter of blur pooling, Swin
/// v2's key bias). A file need not have them; TorchScript saves some that a state_dict leaves out.
const COMPUTED: [&str; 9] = [
    "num_batches_tracked",
    "relative_position_index",
    "relative_coords_table",
    "attn_mask",
    "n_averaged",
    "filt",
    "k_bias",
    // The counters of thop.
    "total_ops",
    "total_params",
];

pub(super) fn is_computed(name: &str) -> bool {
    COMPUTED.contains(&name.rsplit('.').next().unwrap_or(name))
}

/// Whether all numbers are integers: a model of one dtype has its counters in that, too.
fn is_whole(tensor: &Tensor) -> bool {
    let tensor = tensor.to_kind(Kind::Double);
    tensor.equal(&tensor.trunc())
}

/// The named tensors of a file, which are renamed, reshaped and adapted before they are copied into a model.
pub struct StateDict {
    /// The file they come from, for messages.
    pub path: PathBuf,
    pub format: Format,
    pub tensors: Vec<(String, TensorView)>,
}

impl StateFile {
    /// All tensors, with the names of the file.
    ///
    /// # Errors
    /// Same as [`StateFile::get`].
    pub fn state_dict(&self) -> Result<StateDict> {
        let named = |name: &String| Ok((name.clone(), self.get(name)?));
        let tensors = self.names().iter().map(named).collect::<Result<_>>()?;
        Ok(StateDict { path: self.path().to_owned(), format: self.format(), tensors })
    }
}

/// Differences of a kind that a message lists.
const SHOWN: usize = 5;

/// How a file's tensors differ from a model's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Differences {
    /// Tensors of the model that the file does not have.
    pub missing: Vec<String>,
    /// Tensors of the file that the model does not have.
    pub unexpected: Vec<String>,
    /// Descriptions of the tensors whose shape or class of dtype differs.
    pub unlike: Vec<String>,
}

impl Differences {
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.unlike.is_empty()
    }
}

impl std::fmt::Display for Differences {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let missing = self.missing.iter().map(|name| format!("missing `{name}`")).collect();
        let unexpected = self.unexpected.iter().map(|name| format!("unexpected `{name}`")).collect();
        let kinds = [
            ("missing", missing),
            ("of another shape or type", self.unlike.clone()),
            ("unexpected", unexpected),
        ];
        let shown = kinds.into_iter().flat_map(|(kind, mut all): (_, Vec<String>)| {
            let more = all.len().saturating_sub(SHOWN);
            all.truncate(SHOWN);
            all.extend((more > 0).then(|| format!("{more} more {kind}")));
            all
        });
        f.write_str(&shown.collect::<Vec<_>>().join("; "))
    }
}

/// Compares names, shapes and dtypes. Buffers that a model computes itself may be missing or unexpected.
pub fn compare(state: &StateDict, model: &[(String, Tensor)]) -> Differences {
    let has: HashMap<&str, &TensorView> = state.tensors.iter().map(|(name, t)| (name.as_str(), t)).collect();
    let mut differences = Differences::default();
    for (name, wanted) in model {
        match has.get(name.as_str()) {
            None if is_computed(name) => {}
            None => differences.missing.push(name.clone()),
            Some(tensor) => {
                let (shape, wanted_shape) = (tensor.size(), wanted.size());
                let (kind, wanted_kind) = (tensor.kind(), wanted.kind());
                // Before PyTorch 0.4, a number was a tensor of one.
                let number = wanted_shape.is_empty() && shape == [1];
                if shape != wanted_shape && !number {
                    let text = format!("`{name}` has shape {shape:?}, the model's is {wanted_shape:?}");
                    differences.unlike.push(text);
                } else if tensor.is_complex() != wanted.is_complex()
                    || (tensor.is_floating_point() && !wanted.is_floating_point() && !is_whole(tensor))
                {
                    let (kind, wanted) = (dtype_name(kind), dtype_name(wanted_kind));
                    differences.unlike.push(format!("`{name}` is {kind}, the model's is {wanted}"));
                }
            }
        }
    }
    let known: std::collections::HashSet<&str> = model.iter().map(|(name, _)| name.as_str()).collect();
    let unexpected = state.tensors.iter().map(|(name, _)| name);
    let unexpected = unexpected.filter(|name| !known.contains(name.as_str()) && !is_computed(name));
    differences.unexpected.extend(unexpected.cloned());
    differences
}

/// Copies tensors into those of a model, converted to the model's dtype and memory format. Batch counters
/// missing from an older file are set to zero; other computed buffers that are missing keep the model's
/// values.
///
/// # Errors
/// Missing, unexpected or wrongly shaped tensors; the message has the first of each, and the model is then unchanged.
pub fn load(state: &StateDict, model: &[(String, Tensor)]) -> Result<()> {
    let differences = compare(state, model);
    ensure!(
        differences.is_empty(),
        "{}: the weights do not match the model: {differences}",
        state.path.display()
    );
    let has: HashMap<&str, &TensorView> = state.tensors.iter().map(|(name, t)| (name.as_str(), t)).collect();
    let _no_grad = tch::no_grad_guard();
    for (name, tensor) in model {
        let mut tensor = tensor.shallow_clone();
        match has.get(name.as_str()) {
            Some(source) => {
                tensor.f_copy_(&source.f_view_as(&tensor)?)?;
                source.release();
            }
            None if name.ends_with("num_batches_tracked") => drop(tensor.f_zero_()?),
            None => {}
        }
    }
    Ok(())
}

/// Copies single layers of a file into a model and leaves its other tensors unchanged. Each layer is given by
/// its key in the model and its key in the file, and includes all tensors below it.
///
/// # Errors
/// A layer missing from the model or the file, or tensors of other shapes; the model is then unchanged.
pub fn take_over(state: &StateDict, model: &[(String, Tensor)], layers: &[(String, String)]) -> Result<()> {
    let at = state.path.display();
    let mut copies = Vec::new();
    for (layer, origin) in layers {
        let parts = model.iter().filter_map(|(name, tensor)| {
            let rest = name.strip_prefix(layer.as_str())?;
            (rest.is_empty() || rest.starts_with('.')).then_some((rest, tensor))
        });
        let before = copies.len();
        for (rest, tensor) in parts {
            let wanted = format!("{origin}{rest}");
            let Some((_, source)) = state.tensors.iter().find(|(name, _)| *name == wanted) else {
                bail!("{at}: has no `{wanted}` for the model's `{layer}{rest}`");
            };
            let (shape, wanted_shape) = (source.size(), tensor.size());
            ensure!(
                shape == wanted_shape,
                "{at}: `{wanted}` has shape {shape:?}, the model's `{layer}{rest}` has {wanted_shape:?}"
            );
            copies.push((source, tensor));
        }
        ensure!(copies.len() > before, "{at}: the model has no layer `{layer}` to copy it into");
    }
    let _no_grad = tch::no_grad_guard();
    for (source, tensor) in copies {
        tensor.shallow_clone().f_copy_(source)?;
    }
    Ok(())
}
