//! One reading of a file: the tensors under a prefix, in one naming; and which of all readings finds the network.

use super::step::{Step, follow, leaves_out, own, paths, settle};
use super::wrapper;
use crate::Remedy;
use crate::weights::load::is_computed;
use anyhow::{Context, Error, Result};
use std::collections::HashSet;

/// What a file says of a model, if the network is under this prefix and has the names that the path starts from.
pub(super) struct Reading<'a> {
    pub(super) prefix: &'a str,
    pub(super) path: Vec<Step>,
    /// Names under the prefix that the model does not have.
    pub(super) unknown: Vec<&'a str>,
    /// Tensors of the model that the file does not have.
    pub(super) missing: Vec<&'a str>,
    /// Whether all tensors are there, or all but the whole classifier.
    pub(super) is_whole: bool,
}

impl<'a> Reading<'a> {
    fn new(
        prefix: &'a str,
        mut path: Vec<Step>,
        names: &[&'a str],
        wanted: &[&'a str],
        classifier: &HashSet<String>,
    ) -> Self {
        let inner: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix(prefix)).collect();
        settle(&mut path, &inner, wanted);
        let known: HashSet<&str> = wanted.iter().copied().collect();
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
        let missing: Vec<&str> = wanted.iter().copied().filter(is_missing).collect();
        let is_missing = |name: &String| missing.contains(&name.as_str());
        let is_whole = missing.is_empty()
            || missing.iter().all(|name| classifier.contains(*name)) && classifier.iter().all(is_missing);
        Self { prefix, path, unknown, missing, is_whole }
    }

    /// In how many tensors it differs from the model; what stands beside the network does not count.
    fn mismatches(&self) -> usize {
        let unknown = self.unknown.iter().filter(|name| !wrapper::is_beside(name));
        unknown.count() + self.missing.len()
    }

    /// The names that are not under the prefix.
    pub(super) fn outside(&self, names: &[&'a str]) -> Vec<&'a str> {
        names.iter().copied().filter(|name| !name.starts_with(self.prefix)).collect()
    }

    /// What makes another reading better, the least first.
    fn rank(&self, names: &[&'a str]) -> (bool, usize, usize) {
        let outside = self.outside(names).into_iter().filter(|name| !wrapper::is_beside(name)).count();
        let differs = self.mismatches() + if self.is_whole { 0 } else { outside };
        (!self.is_whole, differs, self.path.len())
    }

    /// The library (and version) whose names the file has.
    pub(super) fn naming<'m>(&self, model: &'m str) -> &'m str {
        self.path.first().map_or(own(model), |step| step.origin())
    }
}

/// The reading that fits best.
///
/// # Errors
/// A file without tensors, or several networks that fit.
pub(super) fn network<'a>(
    model: &str,
    names: &[&'a str],
    wanted: &[&'a str],
    classifier: &HashSet<String>,
) -> Result<Reading<'a>> {
    // A stacked tensor stands for one of each block: such files have no wrappers but those of the whole file.
    let least = (wanted.iter().filter(|name| !is_computed(name)).count() / 2).min(names.len());
    let mut readings = Vec::new();
    for prefix in wrapper::prefixes(names, least) {
        let paths = paths(model).into_iter();
        readings.extend(paths.map(|path| Reading::new(prefix, path, names, wanted, classifier)));
    }
    let best = readings.iter().enumerate().min_by_key(|(_, reading)| reading.rank(names));
    let best = readings.swap_remove(best.context("a file without tensors")?.0);
    let is_apart = |other: &Reading| {
        other.is_whole && !other.prefix.starts_with(best.prefix) && !best.prefix.starts_with(other.prefix)
    };
    let mut apart: Vec<&str> =
        readings.iter().filter(|other| is_apart(other)).map(|other| other.prefix).collect();
    apart.dedup();
    if best.is_whole && !apart.is_empty() {
        apart.insert(0, best.prefix);
        let all: Vec<String> =
            apart.iter().map(|prefix| format!("`{}`", prefix.trim_end_matches('.'))).collect();
        let text = format!("several networks fit `{model}`: {}", all.join(", "));
        return Err(Error::new(Remedy::Prefix).context(text));
    }
    Ok(best)
}
