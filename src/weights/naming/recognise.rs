//! Finds the network of a model in a file that may hold more, and gives its tensors the model's names.

use super::reading::{Reading, network};
use super::rule::BACKGROUND_ROWS;
use super::step::{is_background, leaves_out};
use super::wrapper;
use crate::models::ModelSpec;
use crate::nn::Store;
use crate::weights::adapt::classifier;
use crate::weights::{StateDict, TensorView};
use crate::yaml;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, HashSet};
use tch::Tensor;

/// A network found in a file, in the names (and shapes) of the model.
pub struct Recognised {
    pub state: StateDict,
    /// The library (and version) whose names the file has.
    pub naming: String,
    /// The model, with the fields of its configuration that the network of that library has otherwise.
    pub spec: ModelSpec,
    /// What was taken from around the names, left over, or changed: a line each.
    pub notes: Vec<String>,
    /// Whether all tensors but those of the classifier are there.
    pub is_whole: bool,
    /// The names of the model's tensors, with their shapes: on the meta device, and as `spec` was given.
    pub wanted: Vec<(String, Tensor)>,
}

/// Finds the network of `spec` in a file's tensors: under which prefix they are, and in whose naming; translates their
/// names (and shapes) to the model's. If nothing fits completely, the nearest naming is used, and
/// [`compare`](crate::weights::compare) lists the differences.
///
/// # Errors
/// An invalid `spec`, a tensor that the rules cannot reshape, or several networks that fit; the message has their
/// prefixes.
pub fn recognise(spec: &ModelSpec, mut state: StateDict) -> Result<Recognised> {
    let architecture = spec.resolve()?;
    let meta = Store::meta();
    architecture.build(&meta)?;
    let wanted = meta.state_dict();
    for (name, _) in &mut state.tensors {
        *name = wrapper::bare(name);
    }
    let at = state.path.display().to_string();
    let heads = classifier(spec)?;
    let names: Vec<String> = state.tensors.iter().map(|(name, _)| name.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let known: Vec<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    let network = network(architecture.name, &names, &known, &heads).with_context(|| at.clone())?;
    let parts = Parts::of(&network, &names, &heads, &state, &wanted);
    let mut notes = parts.notes(&network);
    notes.extend(background(&network, &state));
    let mut spec = spec.clone();
    notes.extend(differing_fields(&network, &mut spec)?);
    let notes = notes.into_iter().map(|note| format!("{at}: {note}")).collect();
    let naming = network.naming(architecture.name).to_owned();
    state.tensors = translate(&network, &parts, state.tensors, &wanted).with_context(|| at)?;
    Ok(Recognised { state, spec, naming, notes, is_whole: network.is_whole, wanted })
}

/// What of a file is the network's, and what is not.
struct Parts<'a> {
    /// Names under the prefix that a whole network leaves over.
    left: Vec<&'a str>,
    /// All names that nothing is made of.
    over: Vec<&'a str>,
    /// The classifier that stands beside the network, and the model's.
    classifier: Option<(String, String)>,
}

impl<'a> Parts<'a> {
    fn of(
        network: &Reading<'a>,
        names: &[&'a str],
        heads: &HashSet<String>,
        state: &StateDict,
        wanted: &[(String, Tensor)],
    ) -> Self {
        // A classifier of other layers than the model's is left over with the classifier that is missing.
        let is_spare = |name: &&str| {
            let head = heads.iter().filter(|head| network.missing.contains(&head.as_str()));
            let mut modules = head.filter_map(|head| head.rsplit_once('.'));
            wrapper::is_beside(name) || modules.any(|(module, _)| below(name, module).is_some())
        };
        let left: Vec<&str> = match network.is_whole {
            true => network.unknown.iter().copied().filter(is_spare).collect(),
            false => Vec::new(),
        };
        let outside = network.outside(names);
        let classifier = classifier_beside(network, &outside, state, wanted).filter(|_| network.is_whole);
        let mut parts = Self { left, over: Vec::new(), classifier };
        let unused = outside.into_iter().filter(|name| !parts.is_classifier(name));
        parts.over = parts.left.iter().copied().chain(unused).collect();
        parts
    }

    /// Whether a name is of the classifier beside the network.
    fn is_classifier(&self, name: &str) -> bool {
        self.classifier.as_ref().is_some_and(|(theirs, _)| below(name, theirs).is_some())
    }

    fn notes(&self, network: &Reading) -> Vec<String> {
        let mut notes = Vec::new();
        if !network.prefix.is_empty() {
            notes.push(format!("the network is under `{}`", network.prefix.trim_end_matches(['.', '/'])));
        }
        if let Some((theirs, _)) = &self.classifier {
            notes.push(format!("its classifier is `{theirs}`, beside the network"));
        }
        if !self.over.is_empty() {
            notes.push(format!("left over: {}", modules(&self.over)));
        }
        let namings = network.path.iter().filter(|step| !step.back).map(|step| step.naming);
        notes.extend(namings.filter_map(|naming| naming.note).map(str::to_owned));
        notes
    }
}

/// That the background among the classes is left out, where a file has one.
fn background(network: &Reading, state: &StateDict) -> Option<String> {
    let has_background = |(name, tensor): &(String, TensorView)| {
        let inner = name.strip_prefix(network.prefix).unwrap_or(name);
        tensor.size().first() == Some(&BACKGROUND_ROWS) && is_background(&network.path, inner)
    };
    let any = state.tensors.iter().any(has_background);
    any.then(|| format!("the first of its {BACKGROUND_ROWS} classes, the background, is left out"))
}

/// Sets the fields that the library of these names has otherwise, unless they were chosen, and says so.
fn differing_fields(network: &Reading, spec: &mut ModelSpec) -> Result<Vec<String>> {
    let architecture = spec.resolve()?;
    let naming = network.naming(architecture.name);
    let defaults = architecture.fields()?;
    let mut notes = Vec::new();
    let namings = network.path.iter().filter(|step| !step.back).map(|step| step.naming);
    for (field, value) in namings.flat_map(|naming| naming.fields) {
        let value = yaml::value(value)?;
        if !spec.set.contains_key(*field) && defaults.get(*field).is_some_and(|default| *default != value) {
            notes.push(format!("{field} is {}, as {naming} has it", serde_yaml::to_string(&value)?.trim()));
            spec.set.insert((*field).into(), value);
        }
    }
    Ok(notes)
}

/// The network's tensors in the model's names and shapes, with zeros where the library leaves them out.
fn translate(
    network: &Reading,
    parts: &Parts,
    tensors: Vec<(String, TensorView)>,
    wanted: &[(String, Tensor)],
) -> Result<Vec<(String, TensorView)>> {
    let (classifiers, others): (Vec<_>, Vec<_>) =
        tensors.into_iter().partition(|(name, _)| parts.is_classifier(name));
    let inner = others.into_iter().filter_map(|(name, tensor)| {
        let name = name.strip_prefix(network.prefix).filter(|name| !parts.left.contains(name))?;
        Some((name.to_owned(), tensor))
    });
    let mut tensors: Vec<(String, TensorView)> = inner.collect();
    for step in &network.path {
        tensors = step.apply(tensors)?;
    }
    if let Some((theirs, ours)) = &parts.classifier {
        let renamed = classifiers
            .into_iter()
            .filter_map(|(name, tensor)| Some((format!("{ours}.{}", below(&name, theirs)?), tensor)));
        tensors.extend(renamed);
    }
    let has: HashSet<String> = tensors.iter().map(|(name, _)| name.clone()).collect();
    for (name, tensor) in wanted {
        if !has.contains(name) && leaves_out(&network.path, name) {
            let zeros = Tensor::f_zeros(tensor.size(), (tensor.f_kind()?, tch::Device::Cpu))?;
            tensors.push((name.clone(), zeros.into()));
        }
    }
    Ok(tensors)
}

/// The rest of a key below this module.
fn below<'a>(key: &'a str, module: &str) -> Option<&'a str> {
    key.strip_prefix(module)?.strip_prefix('.')
}

/// What people call the last layer.
const CLASSIFIERS: [&str; 6] = ["fc", "head", "classifier", "linear", "last_linear", "cls_head"];

/// The classifier that stands beside a network without one, and the model's: the only layer there, by its name and shape.
fn classifier_beside(
    network: &Reading,
    outside: &[&str],
    state: &StateDict,
    wanted: &[(String, Tensor)],
) -> Option<(String, String)> {
    let (ours, _) = network.missing.first()?.rsplit_once('.')?;
    let is_one_layer =
        network.missing.len() <= 2 && network.missing.iter().all(|name| below(name, ours).is_some());
    let layers: HashSet<&str> = outside
        .iter()
        .filter(|name| !wrapper::is_beside(name))
        .map(|name| name.rsplit_once('.').map_or("", |(module, _)| module))
        .collect();
    let [theirs] = layers.into_iter().collect::<Vec<_>>()[..] else { return None };
    let [has, wants] = [theirs, ours].map(|layer| format!("{layer}.weight"));
    let has = state.tensors.iter().find(|(name, _)| *name == has).map(|(_, tensor)| tensor.size());
    let wants = wanted.iter().find(|(name, _)| *name == wants).map(|(_, tensor)| tensor.size());
    let alike = matches!((has, wants), (Some(has), Some(wants)) if has.get(1..) == wants.get(1..));
    let named = theirs.split('.').any(|part| CLASSIFIERS.contains(&part));
    (is_one_layer && alike && named).then(|| (theirs.to_owned(), ours.to_owned()))
}

/// Tensors by the module that they are under: `criterion (1), head (4 tensors)`.
fn modules(names: &[&str]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name.split(['.', '/']).next().unwrap_or(name)).or_default() += 1;
    }
    let each = counts.iter().map(|(module, count)| match count {
        1 => format!("{module} (1 tensor)"),
        n => format!("{module} ({n} tensors)"),
    });
    each.collect::<Vec<_>>().join(", ")
}
