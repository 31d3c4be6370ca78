//! Which registered models the tensors of a file can be, by their names and shapes alone; no tensor is read.

use super::adapt::classifier;
use super::info::{Format, TensorInfo};
use super::naming::{Recognised, coverage};
use super::{StateDict, compare, recognise};
use crate::models::{Entry, ModelSpec, entries};
use crate::nn::Store;
use crate::torch::empty_meta;
use anyhow::Result;
use serde::Serialize;
use std::collections::HashMap;
use std::path::PathBuf;
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

/// Of a family, the rest is looked at where the first model finds this share of its names in the file.
const ALIKE: f64 = 0.3;
/// Candidates that fit in part.
const PARTIAL: usize = 3;

/// The registered models whose `source/name` begins with one of `starts` (all of them without any) that these tensors may
/// be: all that fit whole, in the order of the registry, or those that come nearest.
pub fn candidates(tensors: &[TensorInfo], starts: &[&str]) -> Vec<Candidate> {
    let wanted =
        |entry: &&&Entry| starts.is_empty() || starts.iter().any(|start| entry.name.starts_with(start));
    let mut families: Vec<Vec<&'static Entry>> = Vec::new();
    for entry in entries().iter().filter(wanted) {
        match families.iter_mut().find(|family| kin(&family[0].name) == kin(&entry.name)) {
            Some(family) => family.push(entry),
            None => families.push(vec![entry]),
        }
    }
    let numels = counted(tensors.iter().map(|tensor| tensor.shape.iter().product()));
    let names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    // The place in the registry, and the share of the sizes of convolutions that the file has.
    let mut near: Vec<(usize, f64, &'static Entry)> = thread::scope(|scope| {
        let (families, names, numels) = (&families, &names, &numels);
        let work = move |first: usize| {
            let mine = families.iter().enumerate().skip(first).step_by(threads);
            mine.flat_map(|(i, family)| {
                alike(names, numels, family).into_iter().map(move |(share, entry)| (i, share, entry))
            })
            .collect::<Vec<_>>()
        };
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(move || work(first))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    near.sort_by_key(|(family, ..)| *family);
    let read = |entry: &'static Entry| candidate(tensors, entry).ok();
    let all = near.iter().filter(|(_, share, _)| *share >= 1.0);
    let whole: Vec<Candidate> =
        all.filter_map(|(.., entry)| read(entry)).filter(|candidate| candidate.whole).collect();
    if !whole.is_empty() {
        return whole;
    }
    near.sort_by(|(_, a, _), (_, b, _)| b.total_cmp(a));
    near.iter().take(PARTIAL).filter_map(|(.., entry)| read(entry)).collect()
}

/// How many tensors there are of each size.
fn counted(numels: impl Iterator<Item = i64>) -> HashMap<i64, usize> {
    let mut counts = HashMap::new();
    numels.for_each(|numel| *counts.entry(numel).or_default() += 1);
    counts
}

/// The models of a family whose names are in the file, each with the share of its kernels that have one of their size
/// there: naming rules rename and reshape them, and never split them.
fn alike(
    names: &[&str],
    numels: &HashMap<i64, usize>,
    family: &[&'static Entry],
) -> Vec<(f64, &'static Entry)> {
    let mut found = Vec::new();
    for entry in family {
        let meta = Store::meta();
        let Ok(architecture) = entry.architecture() else { continue };
        if architecture.build(&meta).is_err() {
            continue;
        }
        let wanted = meta.state_dict();
        if found.is_empty() && coverage(architecture.name, names, &wanted) < ALIKE {
            break;
        }
        let kernels = counted(wanted.iter().filter(|(_, t)| t.dim() == 4).map(|(_, t)| t.numel() as i64));
        let all: usize = kernels.values().sum();
        let there = |(numel, count): (&i64, &usize)| numels.get(numel).map_or(0, |has| *has.min(count));
        let share = kernels.iter().map(there).sum::<usize>() as f64 / all.max(1) as f64;
        found.push((share, *entry));
    }
    found
}

/// What the names of a family begin with: all before the first number, and a version.
fn kin(name: &str) -> &str {
    let digit = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
    &name[..if name[..digit].ends_with('v') { digit + 1 } else { digit }]
}

fn candidate(tensors: &[TensorInfo], entry: &'static Entry) -> Result<Candidate> {
    let spec = ModelSpec::new(&entry.name);
    let mut named = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        named.push((tensor.name.clone(), empty_meta(&tensor.shape, tensor.kind)?.into()));
    }
    // The format matters for resampling alone.
    let state = StateDict { path: PathBuf::new(), format: Format::Safetensors, tensors: named };
    let Recognised { state, naming, is_whole, wanted, .. } = recognise(&spec, state)?;
    let heads = classifier(&spec)?;
    let mut body = wanted.iter().filter(|(name, _)| !heads.contains(name));
    let shape = |name: &str| state.tensors.iter().find(|(known, _)| known == name).map(|(_, t)| t.size());
    let differences = compare(&state, &wanted);
    let unlike_body = body.any(|(name, tensor)| shape(name).is_some_and(|has| has != tensor.size()));
    let head = heads.iter().map(|name| shape(name)).collect::<Vec<_>>();
    let wants = wanted.iter().find(|(name, _)| heads.contains(name)).map(|(_, t)| t.size()[0]);
    let classes = head.iter().flatten().find_map(|shape| shape.first().copied());
    Ok(Candidate {
        model: &entry.name,
        naming,
        fits: differences.expected.saturating_sub(differences.missing.len() + differences.unlike.len()),
        of: differences.expected,
        classes: Some(classes.unwrap_or(0)).filter(|classes| Some(*classes) != wants),
        whole: is_whole && !unlike_body && differences.unexpected.is_empty(),
    })
}
