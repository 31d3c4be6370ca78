//! Names paired by hand: a YAML file of `model: file`, a layer with all its tensors or a single tensor a line.

use super::load::is_computed;
use super::structure::{self, Named, Pairing, plain, split};
use super::{Format, StateDict, TensorView};
use crate::names::did_you_mean;
use crate::yaml::{Document, flow};
use anyhow::{Context, Result};
use serde_yaml::Value;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use tch::Tensor;

/// Pairs of names in a file of YAML.
#[derive(Clone, Debug)]
pub struct Mapping(Document);

impl Mapping {
    /// Reads the file; its names are checked when it is applied.
    ///
    /// # Errors
    /// A file that cannot be read or is no YAML.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self(Document::read(path, Vec::new())?))
    }

    /// The tensors under the model's names, and the names of the file's tensors that have no line.
    ///
    /// # Errors
    /// A line that is still open, names a layer or tensor that is not there or was named before; tensors of the model
    /// without a line. The message has the line.
    pub fn apply(&self, state: StateDict, model: &[(String, Tensor)]) -> Result<(StateDict, Vec<String>)> {
        let Value::Mapping(lines) = self.0.value() else {
            return Err(self.0.error(&[] as &[&str], "a map has lines of `model: file`"));
        };
        let mut rename: HashMap<String, &str> = HashMap::new();
        let mut taken: HashMap<&str, &str> = HashMap::new();
        for (key, value) in lines {
            let Some(key) = key.as_str() else {
                return Err(self.0.error(&[] as &[&str], format!("`{}` is no name; quote it", flow(key))));
            };
            let wrong = |text: String| self.0.error(&[key], text);
            let file = match value {
                Value::String(file) => file.as_str(),
                Value::Sequence(_) => {
                    return Err(wrong(format!("`{key}` is open: choose one of {}", flow(value))));
                }
                _ => return Err(wrong(format!("`{key}` has no name of the file"))),
            };
            let targets: Vec<&str> = below(model.iter().map(|(name, _)| name.as_str()), key);
            if targets.is_empty() {
                let known = model.iter().flat_map(|(name, _)| [split(name).0, name.as_str()]);
                let hint = did_you_mean(key, known, "see `models show`");
                return Err(self.0.key_error(&[key], format!("the model has no `{key}`; {hint}")));
            }
            let sources: Vec<&str> = below(state.tensors.iter().map(|(name, _)| name.as_str()), file);
            if sources.is_empty() {
                let known = state.tensors.iter().flat_map(|(name, _)| [split(name).0, name.as_str()]);
                let hint = did_you_mean(file, known, "see `weights inspect`");
                return Err(wrong(format!("the file has no `{file}`; {hint}")));
            }
            let alone = targets.len() == 1 && sources.len() == 1;
            for target in targets {
                let source = sources.iter().find(|source| alone || role(source) == role(target));
                let Some(&source) = source else {
                    if is_computed(target) {
                        continue;
                    }
                    return Err(wrong(format!("`{file}` has no {} for `{target}`", role(target))));
                };
                if let Some(before) = taken.insert(source, target) {
                    return Err(wrong(format!("`{source}` is `{before}` already")));
                }
                if let Some(before) = rename.values().find(|known| **known == target) {
                    return Err(self.0.key_error(&[key], format!("`{before}` has a line already")));
                }
                rename.insert(source.to_owned(), target);
            }
        }
        let named: HashSet<&str> = rename.values().copied().collect();
        let without = |name: &&str| !named.contains(name) && !is_computed(name);
        let missing: Vec<&str> = model.iter().map(|(name, _)| name.as_str()).filter(without).collect();
        if let [first, ..] = missing.as_slice() {
            let text = format!("{} tensors of the model have no line, such as `{first}`", missing.len());
            return Err(self.0.error(&[] as &[&str], text));
        }
        let names = state.tensors.iter().map(|(name, _)| name);
        let left = names.filter(|name| !rename.contains_key(*name) && !is_computed(name)).cloned().collect();
        Ok((renamed(state, model, &|name| rename.get(name).copied())?, left))
    }
}

/// The tensors that `key` names: one, or all of a layer.
fn below<'a>(names: impl Iterator<Item = &'a str> + Clone, key: &str) -> Vec<&'a str> {
    match names.clone().find(|name| *name == key) {
        Some(name) => vec![name],
        None => names.filter(|name| layer(name) == key).collect(),
    }
}

/// What the names of a layer's tensors begin with.
fn layer(name: &str) -> &str {
    match split(name) {
        (layer, Some(_)) => layer,
        _ => name.rsplit_once(['.', '/']).map_or("", |(layer, _)| layer),
    }
}

/// What a tensor is in its layer.
fn role(name: &str) -> &str {
    split(name).1.unwrap_or_else(|| name.rsplit(['.', '/']).next().unwrap_or_default())
}

/// The tensors under the model's names, in the model's shapes where these differ by sizes of 1 alone.
pub(super) fn renamed<'a>(
    state: StateDict,
    model: &[(String, Tensor)],
    rename: &dyn Fn(&str) -> Option<&'a str>,
) -> Result<StateDict> {
    let shapes: HashMap<&str, Vec<i64>> = model.iter().map(|(name, t)| (name.as_str(), t.size())).collect();
    let mut tensors = Vec::with_capacity(model.len());
    for (name, tensor) in state.tensors {
        let Some(new) = rename(&name) else { continue };
        let shape = shapes.get(new).with_context(|| format!("`{new}` of no model"))?;
        let tensor = if tensor.size() != *shape && plain("", &tensor.size()) == plain("", shape) {
            tensor.map(|tensor| Ok(tensor.f_reshape(shape)?))?
        } else {
            tensor
        };
        tensors.push((new.to_owned(), tensor));
    }
    Ok(StateDict { tensors, ..state })
}

/// A file's tensors paired with a model's by structure.
pub(super) fn pair(state: &StateDict, model: &[(String, Tensor)]) -> Pairing {
    let has: Vec<Named> = state.tensors.iter().map(|(name, t)| (name.clone(), t.size())).collect();
    let wanted: Vec<Named> = model.iter().map(|(name, t)| (name.clone(), t.size())).collect();
    let authors = matches!(state.format, Format::Torch | Format::TorchLegacy | Format::Torchscript);
    structure::pair(&has, authors, &wanted)
}

/// A map to be edited, and how much of it is.
pub struct Draft {
    pub text: String,
    /// Lines that name one layer or tensor of the file.
    pub paired: usize,
    /// Lines that list several, or none.
    pub open: usize,
}

/// Pairs what has the same name and shape, and by structure what is left.
pub fn draft(mut state: StateDict, model: &[(String, Tensor)]) -> Draft {
    let shapes: HashMap<String, Vec<i64>> = model.iter().map(|(name, t)| (name.clone(), t.size())).collect();
    let is_same = |(name, tensor): &(String, TensorView)| shapes.get(name) == Some(&tensor.size());
    let same: HashSet<String> =
        state.tensors.iter().filter(|tensor| is_same(tensor)).map(|(name, _)| name.clone()).collect();
    state.tensors.retain(|(name, _)| !same.contains(name));
    let others: Vec<(String, Tensor)> = model
        .iter()
        .filter(|(name, _)| !same.contains(name))
        .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
        .collect();
    let Pairing { pairs, open, missing, left, .. } = pair(&state, &others);
    let mut lines: HashMap<&str, String> = HashMap::new();
    lines.extend(same.iter().map(|name| (name.as_str(), spelt(name))));
    lines.extend(pairs.iter().map(|(unit, file)| (unit.name.as_str(), spelt(&file.name))));
    let paired = lines.len();
    for group in &open {
        let candidates = flow(&group.file.iter().map(|name| Value::from(name.as_str())).collect());
        lines.extend(group.model.iter().map(|name| (name.as_str(), candidates.clone())));
    }
    lines.extend(missing.iter().map(|name| (name.as_str(), "null".to_owned())));
    let mut text = format!(
        "# {}: a line is `model: file`, for a layer with all its tensors or for one tensor.\n\
         # Of a list, choose one, each only once; in place of null write what it is. Then pass this file by --map.\n",
        state.path.display()
    );
    let open = lines.len() - paired;
    for name in model.iter().flat_map(|(name, _)| [name.as_str(), split(name).0]) {
        if let Some(file) = lines.remove(name) {
            text += &format!("{}: {file}\n", spelt(name));
        }
    }
    if !left.is_empty() {
        text += &format!("# The file also has {}.\n", left.join(", "));
    }
    Draft { text, paired, open }
}

fn spelt(name: &str) -> String {
    flow(&Value::from(name))
}
