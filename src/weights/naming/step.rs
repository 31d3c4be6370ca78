//! One step from the names of one library to those of another, and the ways through several.

use super::rule::{Change, Naming, Rule};
use super::rules;
use super::template::{Counts, Template};
use crate::nn::relative_position_index;
use crate::weights::TensorView;
use anyhow::{Result, ensure};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use tch::Tensor;

/// Upper bound on the blocks of a stacked tensor, so that a hostile file cannot ask for more.
const MAX_BLOCKS: i64 = 1000;

/// One step from one naming to another; `back` means from `to` to `from`.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) naming: &'static Naming,
    pub(super) back: bool,
    /// Blocks of each stage of the model, where the naming counts them through.
    grid: Vec<u64>,
    /// The numbers of the layers in the origin and in the target, where the naming has them by rank.
    ranks: [Vec<u64>; 2],
}

impl Step {
    /// The library whose names it reads.
    pub(super) fn origin(&self) -> &'static str {
        if self.back { self.naming.to } else { self.naming.from }
    }

    fn target(&self) -> &'static str {
        if self.back { self.naming.from } else { self.naming.to }
    }

    /// The step in the opposite direction.
    pub(super) fn reversed(&self) -> Self {
        let [origin, target] = self.ranks.clone();
        Self { back: !self.back, ranks: [target, origin], ..self.clone() }
    }

    /// The counts of the names before the step, and after it.
    fn counts(&self) -> [Counts<'_>; 2] {
        [0, 1].map(|i| Counts { grid: &self.grid, ranks: &self.ranks[i] })
    }

    /// Translates all tensors.
    pub(super) fn apply(&self, tensors: Vec<(String, TensorView)>) -> Result<Vec<(String, TensorView)>> {
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
    pub(super) fn translate(&self, name: &str) -> Option<(String, Change)> {
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
    pub(super) fn index(&self, name: &str, table: &Tensor) -> Result<Option<(String, Tensor)>> {
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
pub(super) fn paths(model: &str) -> Vec<Vec<Step>> {
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
pub(super) fn own(model: &str) -> &str {
    model.split('/').next().unwrap_or_default()
}

pub(super) fn follow(path: &[Step], name: &str) -> Option<String> {
    path.iter().try_fold(name.to_owned(), |name, step| Some(step.translate(&name)?.0))
}

/// Whether the file leaves this tensor of the model out because it would be zero.
pub(super) fn leaves_out(path: &[Step], name: &str) -> bool {
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
pub(super) fn is_background(path: &[Step], name: &str) -> bool {
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
pub(super) fn settle(path: &mut [Step], file: &[&str], model: &[&str]) {
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
