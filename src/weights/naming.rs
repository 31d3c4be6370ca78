//! Names of tensors in other libraries and older versions, translated both ways by rules kept as data.
//!
//! A [`Naming`] says how the keys of one library (`from`) are spelt in another (`to`), for the models whose registered
//! names begin as `models` says. To add one, add it to `NAMINGS` in `rules.rs`: a rule per prefix that differs, the
//! more particular first; keys that no rule matches are the same in both. A template has literal text and whole numbers
//! in braces, which may be scaled and shifted: `features.{2s+1}.{b}` is `layers.{s}.blocks.{b}` elsewhere. It matches a
//! whole key, or the part of it before a dot or a slash. Where two libraries share all keys, the rules are empty. Then add
//! the pair to `tests/goldens/names.py`, which has both libraries' keys to test the rules against, in both directions.
//! Rules that take tensors apart or join them go one way: such names are read and never written.

use super::rules::NAMINGS;
use super::template::Template;
use super::{StateDict, TensorView};
use crate::Usage;
use crate::nn::relative_position_index;
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, HashSet};
use tch::Tensor;

/// How the keys of one library are spelt in another.
pub(super) struct Naming {
    /// What the registered names of these models begin with.
    pub models: &'static [&'static str],
    pub from: &'static str,
    pub to: &'static str,
    pub rules: &'static [&'static [Rule]],
}

/// More blocks than any network has: what a file can ask for is bounded.
const MOST_BLOCKS: i64 = 1000;

impl Naming {
    /// Whether there is a way back.
    fn is_one_way(&self) -> bool {
        self.rules().any(|rule| rule.change.is_one_way())
    }

    fn rules(&self) -> impl Iterator<Item = &'static Rule> {
        self.rules.iter().copied().flatten()
    }
}

/// One prefix of keys in both spellings, and what becomes of the tensors.
pub(super) struct Rule {
    pub from: &'static str,
    /// None: `to` has no such tensor.
    pub to: Option<&'static str>,
    pub change: Change,
}

/// What becomes of a tensor beside its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    Keep,
    /// (out, in·k·k) in `from` is the convolution (out, in, k, k) in `to`; a bias stays as it is.
    Unflatten(i64),
    /// The index buffer that goes with a table of relative positions: `to` does not have it, `from` gets it anew.
    Reindex,
    /// A kernel of Flax or Keras, its outputs last: (h, w, in, out) is (out, in, h, w) in `to`, (…, out) a matrix of
    /// (out, …).
    Transpose,
    /// This part of the tensor in `to`, where parts of one name follow each other: a projection (in, heads, size) to
    /// the heads of attention, (heads · size, in) in `to`, or its bias (heads, size).
    Join(usize),
    /// A tensor for all blocks, which are its first dimension.
    Unstack,
}

/// The same tensor under another name.
pub(super) const fn rename(from: &'static str, to: &'static str) -> Rule {
    Rule { from, to: Some(to), change: Change::Keep }
}

/// A linear layer in `from` that is a convolution of this kernel in `to`.
pub(super) const fn unflatten(from: &'static str, to: &'static str, kernel: i64) -> Rule {
    Rule { from, to: Some(to), change: Change::Unflatten(kernel) }
}

/// A tensor that `to` does not have.
pub(super) const fn without(from: &'static str) -> Rule {
    Rule { from, to: None, change: Change::Keep }
}

/// The buffer of this name in `from`, beside a table of relative positions; `to` has the table alone.
pub(super) const fn position_index(from: &'static str) -> Rule {
    Rule { from, to: None, change: Change::Reindex }
}

/// A kernel whose outputs are its last dimension in `from`, and its first in `to`.
pub(super) const fn transpose(from: &'static str, to: &'static str) -> Rule {
    Rule { from, to: Some(to), change: Change::Transpose }
}

/// A projection to heads that is this part of the tensor in `to`.
pub(super) const fn join(from: &'static str, to: &'static str, part: usize) -> Rule {
    Rule { from, to: Some(to), change: Change::Join(part) }
}

/// Tensors of all blocks in one, `{i}` in `to` counting the blocks.
pub(super) const fn unstack(from: &'static str, to: &'static str) -> Rule {
    Rule { from, to: Some(to), change: Change::Unstack }
}

impl Change {
    /// Whether the way back is not known.
    fn is_one_way(self) -> bool {
        matches!(self, Change::Transpose | Change::Join(_) | Change::Unstack)
    }

    fn apply(self, tensor: &Tensor, back: bool) -> Result<Tensor> {
        Ok(match self {
            Change::Transpose if tensor.dim() == 4 => tensor.f_permute([3, 2, 0, 1])?,
            Change::Transpose if tensor.dim() > 1 => tensor.f_flatten(0, -2)?.f_transpose(0, 1)?,
            Change::Join(_) if tensor.dim() == 3 => tensor.f_flatten(1, 2)?.f_transpose(0, 1)?,
            Change::Join(_) => tensor.f_flatten(0, -1)?,
            Change::Unflatten(kernel) if !back && tensor.dim() == 2 => {
                tensor.f_reshape([tensor.size()[0], -1, kernel, kernel])?
            }
            Change::Unflatten(_) if back && tensor.dim() == 4 => tensor.f_flatten(1, -1)?,
            _ => tensor.shallow_clone(),
        })
    }
}

/// One step from a naming to another; `back` is from `to` to `from`.
#[derive(Clone, Copy)]
struct Step {
    naming: &'static Naming,
    back: bool,
}

impl Step {
    fn origin(self) -> &'static str {
        if self.back { self.naming.to } else { self.naming.from }
    }

    fn target(self) -> &'static str {
        if self.back { self.naming.from } else { self.naming.to }
    }

    /// All tensors in the other spelling.
    fn apply(self, tensors: Vec<(String, TensorView)>) -> Result<Vec<(String, TensorView)>> {
        let mut translated = Vec::with_capacity(tensors.len());
        let mut joined: BTreeMap<String, BTreeMap<usize, Tensor>> = BTreeMap::new();
        for (name, tensor) in tensors {
            match self.translate(&name) {
                None => {}
                Some((_, Change::Unstack)) => {
                    let blocks = tensor.size().first().copied().unwrap_or(0);
                    ensure!(blocks <= MOST_BLOCKS, "`{name}` is of {blocks} blocks");
                    for i in 0..blocks {
                        let block = self.translate_in_block(&name, i as u64);
                        let tensor = TensorView::from(tensor.f_select(0, i)?);
                        translated.extend(block.map(|(name, _)| (name, tensor)));
                    }
                }
                Some((name, change @ Change::Join(part))) => {
                    joined.entry(name).or_default().insert(part, change.apply(&tensor, self.back)?);
                }
                Some((name, change)) => {
                    translated.push((name, tensor.map(|tensor| change.apply(tensor, self.back))?));
                }
            }
        }
        for (name, parts) in joined {
            let parts: Vec<Tensor> = parts.into_values().collect();
            translated.push((name, Tensor::f_cat(&parts, 0)?.into()));
        }
        Ok(translated)
    }

    /// The other spelling; None if the tensor has no place in it.
    fn translate(self, name: &str) -> Option<(String, Change)> {
        self.translate_in_block(name, 0)
    }

    /// The same, where a tensor of all blocks becomes one of this block's.
    fn translate_in_block(self, name: &str, block: u64) -> Option<(String, Change)> {
        for rule in self.naming.rules() {
            let (mine, others) =
                if self.back { (rule.to, Some(rule.from)) } else { (Some(rule.from), rule.to) };
            let Some(mut matched) = mine.and_then(|template| Template(template).matches(name)) else {
                continue;
            };
            if rule.change == Change::Unstack {
                matched.set("i", block);
            }
            return others.map(|others| (Template(others).fill(&matched) + matched.rest, rule.change));
        }
        Some((name.to_owned(), Change::Keep))
    }

    /// The index buffer that the target's spelling keeps beside this tensor, if it is a table of relative positions.
    fn index(self, name: &str, table: &Tensor) -> Result<Option<(String, Tensor)>> {
        let Some(place) = name.strip_suffix("relative_position_bias_table").filter(|_| self.back) else {
            return Ok(None);
        };
        let index = format!("{place}relative_position_index");
        let wanted =
            |rule: &Rule| rule.change == Change::Reindex && Template(rule.from).matches(&index).is_some();
        if !self.naming.rules().any(wanted) {
            return Ok(None);
        }
        // A table has (2·window − 1)² rows.
        let side = (table.size().first().copied().unwrap_or(0) as f64).sqrt().round() as i64;
        Ok(Some((index, relative_position_index((side + 1) / 2)?)))
    }
}

/// All ways that end in the model's own naming, the shortest first.
fn ways(model: &str) -> Vec<Vec<Step>> {
    let known = NAMINGS.iter().filter(|naming| naming.models.iter().any(|start| model.starts_with(start)));
    let steps = known.flat_map(|naming| [false, true].map(|back| Step { naming, back }));
    let steps: Vec<Step> = steps.filter(|step| !step.back || !step.naming.is_one_way()).collect();
    let mut ways: Vec<Vec<Step>> = vec![Vec::new()];
    let mut reached = HashSet::from([own(model)]);
    let mut done = 0;
    while done < ways.len() {
        let target = ways[done].first().map_or(own(model), |step| step.origin());
        for step in steps.iter().filter(|step| step.target() == target) {
            if reached.insert(step.origin()) {
                ways.push([&[*step], ways[done].as_slice()].concat());
            }
        }
        done += 1;
    }
    ways
}

/// The naming that a registered model has itself: its library's.
fn own(model: &str) -> &str {
    model.split('/').next().unwrap_or_default()
}

fn follow(way: &[Step], name: &str) -> Option<String> {
    way.iter().try_fold(name.to_owned(), |name, step| Some(step.translate(&name)?.0))
}

/// What wrappers put before every key: DistributedDataParallel, torch.compile, training frameworks, Flax's optimizers
/// and the image half of its pairs of towers.
const WRAPPERS: [&str; 8] = [
    "module.",
    "_orig_mod.",
    "_fsdp_wrapped_module.",
    "model.",
    "net.",
    "opt/target/",
    "params/img/",
    "params/",
];
/// What weight averaging and Flax keep beside the wrapped model; before a slash, a whole folder.
const BESIDE: [&str; 5] = ["n_averaged", "opt/state/", "params/txt/", "params/t", "params/b"];

fn is_beside(name: &str) -> bool {
    BESIDE.iter().any(|beside| name == *beside || (beside.ends_with('/') && name.starts_with(beside)))
}

/// Takes away what wrappers put before the keys, as far as all keys have it and the model's do not.
fn unwrap(state: &mut StateDict, model: &[(String, Tensor)]) {
    let wrapped = |state: &StateDict, wrapper: &str| {
        let mut names = state.tensors.iter().map(|(name, _)| name).filter(|name| !is_beside(name));
        !model.iter().any(|(name, _)| name.starts_with(wrapper))
            && names.all(|name| name.starts_with(wrapper))
    };
    while let Some(wrapper) =
        WRAPPERS.iter().find(|wrapper| !state.tensors.is_empty() && wrapped(state, wrapper))
    {
        state.tensors.retain(|(name, _)| !is_beside(name));
        for (name, _) in &mut state.tensors {
            name.drain(..wrapper.len());
        }
        if state.tensors.iter().any(|(name, _)| name.is_empty()) {
            break;
        }
    }
}

/// Finds out by whose names a file's tensors go, and gives them the names (and the shapes) of the model's own; says
/// which names they were. Where none fits, they stay under those that fit best, for [`super::compare`] to list what is wrong.
///
/// `model` is the registered name, `wanted` the tensors that it wants.
///
/// # Errors
/// A tensor that the rules cannot reshape.
pub fn recognise(
    model: &str,
    mut state: StateDict,
    wanted: &[(String, Tensor)],
) -> Result<(String, StateDict)> {
    unwrap(&mut state, wanted);
    let known: HashSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    let misfits = |way: &Vec<Step>| {
        let names = state.tensors.iter().filter_map(|(name, _)| follow(way, name));
        let (fit, misfit): (HashSet<_>, HashSet<_>) = names.partition(|name| known.contains(name.as_str()));
        misfit.len() + known.len() - fit.len()
    };
    let way = ways(model).into_iter().min_by_key(misfits).unwrap_or_default();
    let naming = way.first().map_or(own(model), |step| step.origin()).to_owned();
    for step in way {
        state.tensors = step.apply(state.tensors).with_context(|| state.path.display().to_string())?;
    }
    Ok((naming, state))
}

/// Gives a model's tensors the names (and the shapes) that another library has for them.
///
/// # Errors
/// A [`Usage`] error for a library that has no such model, or that keeps tensors which this model does not have.
pub fn export(model: &str, tensors: Vec<(String, Tensor)>, naming: &str) -> Result<Vec<(String, Tensor)>> {
    let mut ways = ways(model);
    ways.retain(|way| !way.iter().any(|step| step.naming.is_one_way()));
    let known = |way: &Vec<Step>| way.first().map_or(own(model), |step| step.origin());
    let Some(way) = ways.iter().find(|way| known(way) == naming) else {
        let names: Vec<&str> = ways.iter().map(known).collect();
        bail!(Usage(format!("`{model}` has no names by `{naming}`; it has them by {}", names.join(", "))));
    };
    let mut tensors = tensors;
    for step in way.iter().rev() {
        let step = Step { back: !step.back, ..*step };
        let adds = |rule: &Rule| step.back && rule.to.is_none() && rule.change != Change::Reindex;
        if step.naming.rules().any(adds) {
            bail!(Usage(format!(
                "`{naming}` keeps tensors that `{model}` does not have: name its own model instead"
            )));
        }
        let mut renamed = Vec::with_capacity(tensors.len());
        for (name, tensor) in tensors {
            if let Some((name, change)) = step.translate(&name) {
                let index = step.index(&name, &tensor)?;
                renamed.push((name, change.apply(&tensor, step.back)?));
                renamed.extend(index);
            }
        }
        tensors = renamed;
    }
    let distinct: HashSet<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(distinct.len() == tensors.len(), "`{model}` by `{naming}`: two tensors of one name");
    Ok(tensors)
}
