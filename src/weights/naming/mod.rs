//! Translates the names of tensors between libraries and versions, by declarative rules, and finds the network in a
//! file that holds more.
//!
//! A [`Naming`] maps the keys of one library (`from`) to those of another (`to`), for the models whose
//! registered names begin with one of `models`. To add one, add it to a file in `rules/`: one rule per
//! prefix that differs, the more specific first; keys that no rule matches are the same in both. A template
//! has literal text and whole numbers in braces, which may be scaled and shifted: `features.{2s+1}.{b}`
//! corresponds to `layers.{s}.blocks.{b}`. It matches a whole key, or its part before a dot or a slash. Where one
//! side counts blocks through all stages, `{s.b}` is that number, and the naming's `grid` says how the other side
//! spells it. If two libraries share all keys, the rules are empty. Then add the pair to `tests/goldens/names.py`, which
//! has both libraries' keys to test the rules in both directions, or to `tests/checkpoints.py`, which compares the
//! logits. Rules that split or join tensors are one-way: such names are read but never written.

mod rule;
mod rules;
mod template;
mod wrapper;

pub(super) use self::wrapper::under;

use self::rule::{BACKGROUND_ROWS, Change, Naming, Rule};
use self::template::{Counts, Template};
use super::adapt::classifier;
use super::load::is_computed;
use super::{StateDict, TensorView};
use crate::Usage;
use crate::models::ModelSpec;
use crate::nn::{Store, relative_position_index};
use crate::yaml;
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use tch::Tensor;

/// Upper bound on the blocks of a stacked tensor, so that a hostile file cannot ask for more.
const MAX_BLOCKS: i64 = 1000;

/// One step from one naming to another; `back` means from `to` to `from`.
#[derive(Clone)]
struct Step {
    naming: &'static Naming,
    back: bool,
    /// Blocks of each stage of the model, where the naming counts them through.
    grid: Vec<u64>,
    /// The numbers of the layers in the origin and in the target, where the naming has them by rank.
    ranks: [Vec<u64>; 2],
}

impl Step {
    fn origin(&self) -> &'static str {
        if self.back { self.naming.to } else { self.naming.from }
    }

    fn target(&self) -> &'static str {
        if self.back { self.naming.from } else { self.naming.to }
    }

    /// The step in the opposite direction.
    fn reversed(&self) -> Self {
        let [origin, target] = self.ranks.clone();
        Self { back: !self.back, ranks: [target, origin], ..self.clone() }
    }

    /// The counts of the names before the step, and after it.
    fn counts(&self) -> [Counts<'_>; 2] {
        [0, 1].map(|i| Counts { grid: &self.grid, ranks: &self.ranks[i] })
    }

    /// Translates all tensors.
    fn apply(&self, tensors: Vec<(String, TensorView)>) -> Result<Vec<(String, TensorView)>> {
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
                Some((name, change @ (Change::Join(part) | Change::Concat(part)))) => {
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
        match self.naming.rework.filter(|_| !self.back) {
            Some(rework) => rework(translated),
            None => Ok(translated),
        }
    }

    /// The name in the other naming; `None` if it has no such tensor.
    fn translate(&self, name: &str) -> Option<(String, Change)> {
        self.translate_in_block(name, 0)
    }

    /// Like [`Self::translate`], with the name of this block for a stacked tensor.
    fn translate_in_block(&self, name: &str, block: u64) -> Option<(String, Change)> {
        let name = if self.back { name } else { self.naming.inner(name) };
        let [before, after] = self.counts();
        for rule in self.naming.rules() {
            let (source, target) =
                if self.back { (rule.to, Some(rule.from)) } else { (Some(rule.from), rule.to) };
            let Some(mut matched) = source.and_then(|template| Template(template).matches(name, before))
            else {
                continue;
            };
            match rule.change {
                Change::Zero => return None,
                Change::Unstack => matched.set("i", block),
                _ => {}
            }
            return target.map(|target| (Template(target).fill(&matched, after) + matched.rest, rule.change));
        }
        Some((name.to_owned(), Change::Keep))
    }

    /// Whether the origin leaves this tensor of the target out because it would be zero.
    fn leaves_out(&self, target: &str) -> bool {
        let zero = |rule: &Rule| {
            let template = rule.to.filter(|_| rule.change == Change::Zero);
            template.is_some_and(|to| Template(to).matches(target, self.counts()[1]).is_some())
        };
        !self.back && self.naming.rules().any(zero)
    }

    /// The index buffer that the target has beside this tensor, if it is a table of relative positions.
    fn index(&self, name: &str, table: &Tensor) -> Result<Option<(String, Tensor)>> {
        let Some(prefix) = name.strip_suffix("relative_position_bias_table").filter(|_| self.back) else {
            return Ok(None);
        };
        let index = format!("{prefix}relative_position_index");
        let wanted = |rule: &Rule| {
            rule.change == Change::Reindex && Template(rule.from).matches(&index, self.counts()[1]).is_some()
        };
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
    let known = rules::all().filter(|naming| naming.models.iter().any(|start| model.starts_with(start)));
    let steps = known.flat_map(|naming| {
        [false, true].map(|back| Step { naming, back, grid: Vec::new(), ranks: Default::default() })
    });
    let steps: Vec<Step> = steps.filter(|step| !step.back || !step.naming.is_one_way()).collect();
    let mut paths: Vec<Vec<Step>> = vec![Vec::new()];
    let mut reached = HashSet::from([own(model)]);
    let mut done = 0;
    while done < paths.len() {
        let target = paths[done].first().map_or(own(model), |step| step.origin());
        for step in steps.iter().filter(|step| step.target() == target) {
            if reached.insert(step.origin()) {
                paths.push([std::slice::from_ref(step), paths[done].as_slice()].concat());
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

/// Whether the file leaves this tensor of the model out because it would be zero.
fn leaves_out(path: &[Step], name: &str) -> bool {
    let mut name = name.to_owned();
    for step in path.iter().rev() {
        if step.leaves_out(&name) {
            return true;
        }
        let Some((earlier, _)) = step.reversed().translate(&name) else { return false };
        name = earlier;
    }
    false
}

/// Whether this tensor of the file is of a classifier whose first row is the background.
fn is_background(path: &[Step], name: &str) -> bool {
    let mut name = name.to_owned();
    for step in path {
        match step.translate(&name) {
            Some((_, Change::Background)) => return true,
            Some((next, _)) => name = next,
            None => return false,
        }
    }
    false
}

/// Learns from the names of the file and the model how many blocks their stages have, and which numbers their layers.
fn settle(path: &mut [Step], file: &[&str], model: &[&str]) {
    if path.iter().all(|step| step.naming.grid.is_none() && step.naming.ranks.is_none()) {
        return;
    }
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut names = owned(file);
    for step in path.iter_mut() {
        step.grid = grid(step.naming, &names);
        step.ranks[0] = ranks(step, 0, &names);
        names = names.iter().filter_map(|name| Some(step.translate(name)?.0)).collect();
    }
    names = owned(model);
    for step in path.iter_mut().rev() {
        if step.grid.is_empty() {
            step.grid = grid(step.naming, &names);
        }
        step.ranks[1] = ranks(step, 1, &names);
        let back = step.reversed();
        names = names.iter().filter_map(|name| Some(back.translate(name)?.0)).collect();
    }
}

/// The numbers of the layers in these names: of the origin (0) or the target (1) of a step.
fn ranks(step: &Step, side: usize, names: &[String]) -> Vec<u64> {
    let Some(templates) = step.naming.ranks else { return Vec::new() };
    let template = Template(templates[if step.back { 1 - side } else { side }]);
    let inner = names.iter().map(|name| step.naming.inner(name));
    let numbers = inner.filter_map(|name| Some(template.matches(name, Counts::default())?.number("n")));
    numbers.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The blocks of each stage in these names.
fn grid(naming: &Naming, names: &[String]) -> Vec<u64> {
    /// Far more stages than a network has.
    const MAX_STAGES: u64 = 64;
    let mut grid = Vec::new();
    let Some(template) = naming.grid else { return grid };
    let inner = names.iter().map(|name| naming.inner(name));
    for block in inner.filter_map(|name| Template(template).matches(name, Counts::default())) {
        let (stage, block) = (block.number("s"), block.number("b"));
        if stage < MAX_STAGES {
            grid.resize(grid.len().max(stage as usize + 1), 0);
            grid[stage as usize] = grid[stage as usize].max(block + 1);
        }
    }
    grid
}

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

/// One reading of a file: the tensors under a prefix, in one naming.
struct Reading<'a> {
    prefix: &'a str,
    path: Vec<Step>,
    /// Names that the model does not have.
    unknown: Vec<&'a str>,
    /// Tensors of the model that the file does not have.
    missing: Vec<&'a str>,
}

impl<'a> Reading<'a> {
    fn new(prefix: &'a str, mut path: Vec<Step>, names: &[&'a str], model: &[&'a str]) -> Self {
        let inner: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix(prefix)).collect();
        settle(&mut path, &inner, model);
        let known: HashSet<&str> = model.iter().copied().collect();
        let mut hits = HashSet::new();
        let mut unknown = Vec::new();
        for name in inner {
            match follow(&path, name) {
                Some(own) if known.contains(own.as_str()) => drop(hits.insert(own)),
                Some(own) if !is_computed(&own) => unknown.push(name),
                _ => {}
            }
        }
        let is_missing =
            |name: &&str| !hits.contains(*name) && !is_computed(name) && !leaves_out(&path, name);
        let missing = model.iter().copied().filter(is_missing).collect();
        Self { prefix, path, unknown, missing }
    }

    /// In how many tensors it differs from the model; what stands beside the network does not count.
    fn mismatches(&self) -> usize {
        let unknown = self.unknown.iter().filter(|name| !wrapper::is_beside(name));
        unknown.count() + self.missing.len()
    }

    /// Whether all tensors are there, or all but the whole classifier.
    fn is_whole(&self, classifier: &HashSet<String>) -> bool {
        let missing = |name: &String| self.missing.contains(&name.as_str());
        self.missing.is_empty()
            || self.missing.iter().all(|name| classifier.contains(*name)) && classifier.iter().all(missing)
    }
}

/// Finds the network of `spec` in a file's tensors: under which prefix they are, and in whose naming; translates their
/// names (and shapes) to the model's. If nothing fits completely, the nearest naming is used, and [`super::compare`]
/// lists the differences.
///
/// # Errors
/// An invalid `spec`, a tensor that the rules cannot reshape, or several networks that fit; the message has their
/// prefixes.
pub fn recognise(spec: &ModelSpec, mut state: StateDict) -> Result<Recognised> {
    let architecture = spec.resolve()?;
    let model = architecture.name;
    let meta = Store::meta();
    architecture.build(&meta)?;
    let wanted = meta.state_dict();
    for (name, _) in &mut state.tensors {
        *name = wrapper::bare(name);
    }
    let heads = classifier(spec)?;
    let names: Vec<String> = state.tensors.iter().map(|(name, _)| name.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let known: Vec<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    // A stacked tensor stands for one of each block: such files have no wrappers but those of the whole file.
    let least = (known.iter().filter(|name| !is_computed(name)).count() / 2).min(names.len());
    let mut readings = Vec::new();
    for prefix in wrapper::prefixes(&names, least) {
        readings.extend(paths(model).into_iter().map(|path| Reading::new(prefix, path, &names, &known)));
    }
    let outside = |reading: &Reading| {
        let others = names.iter().filter(|name| !name.starts_with(reading.prefix));
        others.filter(|name| !wrapper::is_beside(name)).count()
    };
    let best = readings.iter().min_by_key(|reading| {
        let whole = reading.is_whole(&heads);
        (!whole, reading.mismatches() + if whole { 0 } else { outside(reading) }, reading.path.len())
    });
    let best = best.context("a file without tensors")?;
    let at = state.path.display().to_string();
    let is_whole = best.is_whole(&heads);
    if is_whole {
        let apart = |other: &&Reading| {
            other.is_whole(&heads)
                && !other.prefix.starts_with(best.prefix)
                && !best.prefix.starts_with(other.prefix)
        };
        let mut others: Vec<&str> = readings.iter().filter(apart).map(|other| other.prefix).collect();
        others.dedup();
        if !others.is_empty() {
            let all = [&[best.prefix], others.as_slice()].concat();
            let all: Vec<String> =
                all.iter().map(|prefix| format!("`{}`", prefix.trim_end_matches('.'))).collect();
            bail!("{at}: several networks fit `{model}`: choose one by --prefix: {}", all.join(", "));
        }
    }
    let mut notes = Vec::new();
    let lost = |name: &&str| {
        let head = heads.iter().filter(|head| best.missing.contains(&head.as_str()));
        let mut modules = head.filter_map(|head| head.rsplit_once('.'));
        wrapper::is_beside(name) || modules.any(|(module, _)| below(name, module).is_some())
    };
    let left: Vec<&str> = best.unknown.iter().copied().filter(|name| is_whole && lost(name)).collect();
    let outside: Vec<&str> = names.iter().copied().filter(|name| !name.starts_with(best.prefix)).collect();
    let beside = classifier_beside(best, &outside, &state, &wanted).filter(|_| is_whole);
    let is_used = |name: &str| beside.as_ref().is_some_and(|(theirs, _)| below(name, theirs).is_some());
    let over: Vec<&str> =
        left.iter().copied().chain(outside.iter().copied().filter(|name| !is_used(name))).collect();
    if !best.prefix.is_empty() {
        notes.push(format!("{at}: the network is under `{}`", best.prefix.trim_end_matches(['.', '/'])));
    }
    if let Some((theirs, _)) = &beside {
        notes.push(format!("{at}: its classifier is `{theirs}`, beside the network"));
    }
    if !over.is_empty() {
        notes.push(format!("{at}: left over: {}", modules(&over)));
    }
    let naming = best.path.first().map_or(own(model), |step| step.origin()).to_owned();
    let forward = || best.path.iter().filter(|step| !step.back).map(|step| step.naming);
    notes.extend(forward().filter_map(|naming| naming.note).map(|note| format!("{at}: {note}")));
    let has_background = |(name, tensor): &(String, TensorView)| {
        let inner = name.strip_prefix(best.prefix).unwrap_or(name);
        tensor.size().first() == Some(&BACKGROUND_ROWS) && is_background(&best.path, inner)
    };
    if state.tensors.iter().any(has_background) {
        notes.push(format!("{at}: the first of its {BACKGROUND_ROWS} classes, the background, is left out"));
    }
    let defaults = architecture.fields()?;
    let mut spec = spec.clone();
    for (field, value) in forward().flat_map(|naming| naming.fields) {
        let value = yaml::value(value)?;
        if !spec.set.contains_key(*field) && defaults.get(*field).is_some_and(|default| *default != value) {
            notes.push(format!(
                "{at}: {field} is {}, as {naming} has it",
                serde_yaml::to_string(&value)?.trim()
            ));
            spec.set.insert((*field).into(), value);
        }
    }
    let (classifiers, others): (Vec<_>, Vec<_>) =
        state.tensors.into_iter().partition(|(name, _)| is_used(name));
    state.tensors = others;
    state
        .tensors
        .retain(|(name, _)| name.strip_prefix(best.prefix).is_some_and(|name| !left.contains(&name)));
    state.tensors.iter_mut().for_each(|(name, _)| drop(name.drain(..best.prefix.len())));
    let path = best.path.clone();
    for step in &path {
        state.tensors = step.apply(state.tensors).with_context(|| at.clone())?;
    }
    if let Some((theirs, ours)) = &beside {
        let renamed = classifiers
            .into_iter()
            .filter_map(|(name, tensor)| Some((format!("{ours}.{}", below(&name, theirs)?), tensor)));
        state.tensors.extend(renamed);
    }
    let has: HashSet<String> = state.tensors.iter().map(|(name, _)| name.clone()).collect();
    for (name, tensor) in wanted.iter().filter(|(name, _)| !has.contains(name) && leaves_out(&path, name)) {
        let zeros = Tensor::f_zeros(tensor.size(), (tensor.f_kind()?, tch::Device::Cpu))?;
        state.tensors.push((name.clone(), zeros.into()));
    }
    Ok(Recognised { state, spec, naming, notes, is_whole, wanted })
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

/// The share of a model's tensors whose names are in a file, in the nearest naming, by the first names of the model.
pub(super) fn coverage(model: &str, names: &[&str], wanted: &[(String, Tensor)]) -> f64 {
    /// Names of the model that are looked for.
    const PROBED: usize = 24;
    let bare: Vec<String> = names.iter().map(|name| wrapper::bare(name)).collect();
    let bare: Vec<&str> = bare.iter().map(String::as_str).collect();
    let known: Vec<&str> =
        wanted.iter().map(|(name, _)| name.as_str()).filter(|name| !is_computed(name)).collect();
    let least = (known.len() / 4).min(bare.len());
    let paths = paths(model);
    let mut best = 0;
    for prefix in wrapper::prefixes(&bare, least) {
        let inner: Vec<&str> = bare.iter().filter_map(|name| name.strip_prefix(prefix)).collect();
        for path in &paths {
            let mut path = path.clone();
            settle(&mut path, &inner, &known);
            let found: HashSet<String> =
                inner.iter().take(4 * PROBED).filter_map(|name| follow(&path, name)).collect();
            best = best.max(known.iter().take(PROBED).filter(|name| found.contains(**name)).count());
        }
    }
    best as f64 / PROBED.min(known.len()).max(1) as f64
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
        let step = step.reversed();
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
