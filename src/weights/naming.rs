//! Translates the names of tensors between libraries and versions, in both directions, by declarative rules.
//!
//! A [`Naming`] maps the keys of one library (`from`) to those of another (`to`), for the models whose
//! registered names begin with one of `models`. To add one, add it to `NAMINGS` in `rules.rs`: one rule per
//! prefix that differs, the more specific first; keys that no rule matches are the same in both. A template
//! has literal text and whole numbers in braces, which may be scaled and shifted: `features.{2s+1}.{b}`
//! corresponds to `layers.{s}.blocks.{b}`. It matches a whole key, or its part before a dot or a slash. If
//! two libraries share all keys, the rules are empty. Then add the pair to `tests/goldens/names.py`, which
//! has both libraries' keys to test the rules in both directions. Rules that split or join tensors are
//! one-way: such names are read but never written.

use super::rule::{Change, Naming, Rule};
use super::rules::NAMINGS;
use super::template::Template;
use super::{StateDict, TensorView};
use crate::Usage;
use crate::nn::relative_position_index;
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, HashSet};
use tch::Tensor;

/// Upper bound on the blocks of a stacked tensor, so that a hostile file cannot ask for more.
const MAX_BLOCKS: i64 = 1000;

/// One step from one naming to another; `back` means from `to` to `from`.
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

    /// Translates all tensors.
    fn apply(self, tensors: Vec<(String, TensorView)>) -> Result<Vec<(String, TensorView)>> {
        let mut translated = Vec::with_capacity(tensors.len());
        let mut joined: BTreeMap<String, BTreeMap<usize, Tensor>> = BTreeMap::new();
        for (name, tensor) in tensors {
            match self.translate(&name) {
                None => {}
                Some((_, Change::Unstack)) => {
                    let blocks = tensor.size().first().copied().unwrap_or(0);
                    ensure!(blocks <= MAX_BLOCKS, "`{name}` has {blocks} blocks, more than {MAX_BLOCKS}");
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

    /// The name in the other naming; `None` if it has no such tensor.
    fn translate(self, name: &str) -> Option<(String, Change)> {
        self.translate_in_block(name, 0)
    }

    /// Like [`Self::translate`], with the name of this block for a stacked tensor.
    fn translate_in_block(self, name: &str, block: u64) -> Option<(String, Change)> {
        for rule in self.naming.rules() {
            let (source, target) =
                if self.back { (rule.to, Some(rule.from)) } else { (Some(rule.from), rule.to) };
            let Some(mut matched) = source.and_then(|template| Template(template).matches(name)) else {
                continue;
            };
            if rule.change == Change::Unstack {
                matched.set("i", block);
            }
            return target.map(|target| (Template(target).fill(&matched) + matched.rest, rule.change));
        }
        Some((name.to_owned(), Change::Keep))
    }

    /// The index buffer that the target has beside this tensor, if it is a table of relative positions.
    fn index(self, name: &str, table: &Tensor) -> Result<Option<(String, Tensor)>> {
        let Some(prefix) = name.strip_suffix("relative_position_bias_table").filter(|_| self.back) else {
            return Ok(None);
        };
        let index = format!("{prefix}relative_position_index");
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

/// All paths of steps that end in the model's own naming, the shortest first.
fn paths(model: &str) -> Vec<Vec<Step>> {
    let known = NAMINGS.iter().filter(|naming| naming.models.iter().any(|start| model.starts_with(start)));
    let steps = known.flat_map(|naming| [false, true].map(|back| Step { naming, back }));
    let steps: Vec<Step> = steps.filter(|step| !step.back || !step.naming.is_one_way()).collect();
    let mut paths: Vec<Vec<Step>> = vec![Vec::new()];
    let mut reached = HashSet::from([own(model)]);
    let mut done = 0;
    while done < paths.len() {
        let target = paths[done].first().map_or(own(model), |step| step.origin());
        for step in steps.iter().filter(|step| step.target() == target) {
            if reached.insert(step.origin()) {
                paths.push([&[*step], paths[done].as_slice()].concat());
            }
        }
        done += 1;
    }
    paths
}

/// The naming of a registered model: that of its library.
fn own(model: &str) -> &str {
    model.split('/').next().unwrap_or_default()
}

fn follow(path: &[Step], name: &str) -> Option<String> {
    path.iter().try_fold(name.to_owned(), |name, step| Some(step.translate(&name)?.0))
}

/// Prefixes that wrappers add to every key: DistributedDataParallel, torch.compile, training frameworks,
/// Flax's optimizers and the image tower of its two-tower models.
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
/// Entries of weight averaging and Flax beside the wrapped model; with a trailing slash, a whole folder.
const BESIDE: [&str; 5] = ["n_averaged", "opt/state/", "params/txt/", "params/t", "params/b"];

fn is_beside(name: &str) -> bool {
    BESIDE.iter().any(|beside| name == *beside || (beside.ends_with('/') && name.starts_with(beside)))
}

/// Removes the prefixes of wrappers that all keys of the file have and the model's do not.
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

/// Detects the naming of a file's tensors and translates their names (and shapes) to the model's; returns the
/// detected naming. If none matches completely, the best one is used, and [`super::compare`] lists the
/// differences.
///
/// `model` is the registered name, `wanted` the model's tensors.
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
    let mismatches = |path: &Vec<Step>| {
        let names = state.tensors.iter().filter_map(|(name, _)| follow(path, name));
        let (hits, misses): (HashSet<_>, HashSet<_>) = names.partition(|name| known.contains(name.as_str()));
        misses.len() + known.len() - hits.len()
    };
    let path = paths(model).into_iter().min_by_key(mismatches).unwrap_or_default();
    let naming = path.first().map_or(own(model), |step| step.origin()).to_owned();
    for step in path {
        state.tensors = step.apply(state.tensors).with_context(|| state.path.display().to_string())?;
    }
    Ok((naming, state))
}

/// Translates a model's tensors to the names (and shapes) of another library.
///
/// # Errors
/// A [`Usage`] error for a library that has no such model, or whose model has tensors that this one lacks.
pub fn export(model: &str, tensors: Vec<(String, Tensor)>, naming: &str) -> Result<Vec<(String, Tensor)>> {
    let mut paths = paths(model);
    paths.retain(|path| !path.iter().any(|step| step.naming.is_one_way()));
    let known = |path: &Vec<Step>| path.first().map_or(own(model), |step| step.origin());
    let Some(path) = paths.iter().find(|path| known(path) == naming) else {
        let names: Vec<&str> = paths.iter().map(known).collect();
        bail!(Usage(format!("`{model}` has no naming `{naming}`; it has {}", names.join(", "))));
    };
    let mut tensors = tensors;
    for step in path.iter().rev() {
        let step = Step { back: !step.back, ..*step };
        let adds = |rule: &Rule| step.back && rule.to.is_none() && rule.change != Change::Reindex;
        if step.naming.rules().any(adds) {
            bail!(Usage(format!(
                "`{naming}` has tensors that `{model}` lacks; use the model of `{naming}` instead"
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
    ensure!(distinct.len() == tensors.len(), "`{model}` in the naming `{naming}`: two tensors have one name");
    Ok(tensors)
}
