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

mod reading;
mod recognise;
mod rule;
mod rules;
mod step;
mod template;
mod wrapper;

pub use self::recognise::{Recognised, recognise};
pub(super) use self::wrapper::under;

use self::rule::{Change, Rule};
use self::step::{Step, follow, own, paths, settle};
use super::load::is_computed;
use crate::Usage;
use anyhow::{Result, bail, ensure};
use std::collections::HashSet;
use tch::Tensor;

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
