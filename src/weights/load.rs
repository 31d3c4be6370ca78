//! Strict loading: every tensor of the model, no other, in its shape.

use super::StateFile;
use anyhow::{Result, bail};
use std::collections::HashSet;
use tch::Tensor;

/// Copies a file's tensors into the tensors of a model, in the model's dtype and memory order.
///
/// # Errors
/// Missing, unexpected or wrongly shaped tensors, all of them listed; the model is then as it was.
pub fn load(file: &StateFile, model: &[(String, Tensor)]) -> Result<()> {
    let names: HashSet<&str> = file.names().iter().map(String::as_str).collect();
    let known: HashSet<&str> = model.iter().map(|(name, _)| name.as_str()).collect();
    let mut wrong = Vec::new();
    for (name, tensor) in model {
        if !names.contains(name.as_str()) {
            wrong.push(format!("missing `{name}`"));
            continue;
        }
        let (has, wants) = (file.get(name)?.size(), tensor.size());
        if has != wants {
            wrong.push(format!("`{name}` has shape {has:?}, the model wants {wants:?}"));
        }
    }
    let unexpected = file.names().iter().filter(|name| !known.contains(name.as_str()));
    wrong.extend(unexpected.map(|name| format!("unexpected `{name}`")));
    if !wrong.is_empty() {
        bail!("{}: the weights are not this model's: {}", file.path().display(), wrong.join("; "));
    }
    let _no_grad = tch::no_grad_guard();
    for (name, tensor) in model {
        let source = file.get(name)?;
        tensor.shallow_clone().f_copy_(&source)?;
    }
    Ok(())
}
