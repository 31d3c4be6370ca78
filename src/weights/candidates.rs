//! Which registered models the tensors of a file can be, by their names and shapes alone; no tensor is read.

use super::adapt::classifier;
use super::info::{Format, TensorInfo};
use super::naming::Recognised;
use super::{StateDict, compare, recognise};
use crate::models::{Entry, ModelSpec, entries};
use crate::nn::Store;
use crate::torch::empty_meta;
use anyhow::Result;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::thread;

/// A model that a file may be of.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Candidate {
    pub model: &'static str,
    /// The library whose names the file has.
    pub naming: String,
    /// Tensors of the model that the file has, in their shape.
    pub fits: usize,
    /// Tensors that the model must get from a file.
    pub of: usize,
    /// The file's classes, where they are not the model's; 0 where it has no classifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<i64>,
    /// Whether everything but the classifier fits, and nothing is left over.
    pub whole: bool,
}

/// Of a family, the rest is looked at where the first model gets this share of its tensors from the file.
const ALIKE: f64 = 0.3;
/// Candidates that fit in part.
const PARTIAL: usize = 3;

/// The registered models whose `source/name` begins with one of `starts` (all of them without any) that these tensors may
/// be: all that fit whole, in the order of the registry, or those that come nearest.
pub fn candidates(tensors: &[TensorInfo], starts: &[&str]) -> Vec<Candidate> {
    let wanted = |entry: &&Entry| starts.is_empty() || starts.iter().any(|start| entry.name.starts_with(start));
    let mut groups: Vec<Vec<&'static Entry>> = Vec::new();
    for entry in entries().iter().filter(wanted) {
        match groups.iter_mut().find(|group| kin(&group[0].name) == kin(&entry.name)) {
            Some(group) => group.push(entry),
            None => groups.push(vec![entry]),
        }
    }
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let found: Vec<(usize, Candidate)> = thread::scope(|scope| {
        let groups = &groups;
        let work = |first: usize| {
            let mine = groups.iter().enumerate().skip(first).step_by(threads);
            let each = mine.flat_map(|(i, group)| of_group(tensors, group).into_iter().map(move |found| (i, found)));
            each.collect::<Vec<_>>()
        };
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(move || work(first))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    let mut found = found;
    found.sort_by_key(|(group, _)| *group);
    let (whole, mut partial): (Vec<Candidate>, Vec<Candidate>) =
        found.into_iter().map(|(_, candidate)| candidate).partition(|candidate| candidate.whole);
    if !whole.is_empty() {
        return whole;
    }
    partial.sort_by_key(|candidate| candidate.of - candidate.fits);
    partial.truncate(PARTIAL);
    partial
}

/// What the names of a family begin with: all before the first number, and a version.
fn kin(name: &str) -> &str {
    let digit = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
    &name[..if name[..digit].ends_with('v') { digit + 1 } else { digit }]
}

fn of_group(tensors: &[TensorInfo], group: &[&'static Entry]) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (i, entry) in group.iter().enumerate() {
        let candidate = candidate(tensors, entry).ok().flatten();
        let alike = candidate.as_ref().is_some_and(|one| one.fits as f64 >= ALIKE * one.of as f64);
        found.extend(candidate.filter(|one| alike || one.whole));
        if i == 0 && found.is_empty() {
            break;
        }
    }
    found
}

fn candidate(tensors: &[TensorInfo], entry: &'static Entry) -> Result<Option<Candidate>> {
    let spec = ModelSpec::new(&entry.name);
    let mut named = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        named.push((tensor.name.clone(), empty_meta(&tensor.shape, tensor.kind)?.into()));
    }
    // The format matters for resampling alone.
    let state = StateDict { path: PathBuf::from(Path::new("")), format: Format::Safetensors, tensors: named };
    let Recognised { state, naming, is_whole, .. } = recognise(&spec, state)?;
    let meta = Store::meta();
    spec.resolve()?.build(&meta)?;
    let wanted = meta.state_dict();
    let heads = classifier(&spec)?;
    let mut body = wanted.iter().filter(|(name, _)| !heads.contains(name));
    let shape = |name: &str| state.tensors.iter().find(|(known, _)| known == name).map(|(_, t)| t.size());
    let differences = compare(&state, &wanted);
    let unlike_body = body.any(|(name, tensor)| shape(name).is_some_and(|has| has != tensor.size()));
    let head = heads.iter().map(|name| shape(name)).collect::<Vec<_>>();
    let wants = wanted.iter().find(|(name, _)| heads.contains(name)).map(|(_, t)| t.size()[0]);
    let classes = head.iter().flatten().find_map(|shape| shape.first().copied());
    Ok(Some(Candidate {
        model: &entry.name,
        naming,
        fits: differences.expected.saturating_sub(differences.missing.len() + differences.unlike.len()),
        of: differences.expected,
        classes: Some(classes.unwrap_or(0)).filter(|classes| Some(*classes) != wants),
        whole: is_whole && !unlike_body && differences.unexpected.is_empty(),
    }))
}
