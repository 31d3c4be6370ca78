//! `tchvision weights inspect`.

use super::arguments::local;
use crate::cli::{print, print_json, table};
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use tchvision::Usage;
use tchvision::report::format::count;
use tchvision::weights::{self, Archive, Candidate, Format, Group};

#[derive(clap::Args)]
pub struct Args {
    /// A file, an index of shards, or a folder with one of them
    file: PathBuf,
    /// Only the state_dict under this key
    #[arg(long)]
    key: Option<String>,
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Inspected<'a> {
    format: Format,
    bytes: usize,
    /// The state_dicts by the keys that lead to them; `.` is the file as a whole.
    keys: Vec<Key<'a>>,
    tensors: Vec<Row<'a>>,
    /// Classes and functions that the file names; they stay names.
    opaque: &'a BTreeSet<String>,
    /// The registered models that the first state_dict may be of, and how much of each is there.
    candidates: Vec<Candidate>,
}

#[derive(Serialize)]
struct Key<'a> {
    key: &'a str,
    tensors: usize,
    values: u64,
    /// Whether it can be the weights of a network.
    network: bool,
    /// The class of a pickled module.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'a str>,
    /// Names of tensors that are not dense, with PyTorch's functions that make them.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    unread: &'a [(String, String)],
    /// Further keys that lead to the same.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    aliases: &'a [String],
}

#[derive(Serialize)]
struct Row<'a> {
    key: &'a str,
    name: &'a str,
    shape: &'a [i64],
    dtype: &'a str,
}

pub fn run(args: &Args) -> Result<()> {
    let archive = Archive::open(&local(&args.file)?)?;
    let shown = |group: &&Group| args.key.as_ref().is_none_or(|key| group.is_at(key));
    let mut groups: Vec<&Group> = archive.groups().iter().filter(shown).collect();
    if args.key.is_some() && groups.is_empty() {
        let missing = archive.choose(args.key.as_deref()).err().map(|error| error.to_string());
        return Err(Usage(missing.unwrap_or_default()).into());
    }
    // An optimizer has as many dicts as the network has tensors.
    let folded = !args.json && args.key.is_none();
    let slots: Vec<&Group> = groups.extract_if(.., |group| folded && group.is_optimizer()).collect();
    let values = |group: &Group| group.tensors.iter().map(|t| t.shape.iter().product::<i64>() as u64).sum();
    let keys = groups.iter().map(|group| Key {
        key: &group.key,
        tensors: group.tensors.len(),
        values: values(group),
        network: group.is_network(),
        class: group.class.as_deref(),
        unread: &group.unread,
        aliases: &group.aliases,
    });
    let tensors = groups.iter().flat_map(|group| {
        group.tensors.iter().map(|tensor| Row {
            key: &group.key,
            name: &tensor.name,
            shape: &tensor.shape,
            dtype: tensor.dtype(),
        })
    });
    let inspected = Inspected {
        format: archive.format(),
        bytes: archive.bytes(),
        keys: keys.collect(),
        tensors: tensors.collect(),
        opaque: archive.opaque(),
        candidates: groups.first().map(|group| weights::candidates(&group.tensors, &[])).unwrap_or_default(),
    };
    if args.json {
        return print_json(&inspected);
    }
    let format = serde_json::to_value(inspected.format)?;
    let format = format.as_str().unwrap_or_default();
    print(format_args!("{}: {format}, {} bytes", args.file.display(), inspected.bytes))?;
    for Key { key, tensors, values, class, unread, .. } in inspected.keys.iter() {
        let class = class.map(|class| format!(", the module `{class}`")).unwrap_or_default();
        let values = format!("{} values ({values})", count(*values));
        print(format_args!("state_dict `{key}`: {tensors} tensors, {values}{class}"))?;
        for (name, maker) in *unread {
            print(format_args!("not dense, not read: `{name}` of `{maker}`"))?;
        }
    }
    if let Some(first) = slots.first() {
        let tensors: usize = slots.iter().map(|group| group.tensors.len()).sum();
        let key = &first.key;
        print(format_args!("{} dicts of optimizers: {tensors} tensors, see `--key {key}`", slots.len()))?;
    }
    if !inspected.opaque.is_empty() {
        let names: Vec<&str> = inspected.opaque.iter().map(String::as_str).collect();
        print(format_args!("opaque, nothing of it is executed: {}", names.join(", ")))?;
    }
    for line in lines(&inspected.candidates) {
        print(line)?;
    }
    let several = inspected.keys.len() > 1;
    let mut out = table(&["tensor", "shape", "dtype"]);
    for Row { key, name, shape, dtype } in inspected.tensors {
        let name = if several { format!("{key}: {name}") } else { name.to_owned() };
        out.add_row([name, format!("{shape:?}"), dtype.to_owned()]);
    }
    print(out)
}

/// What the tensors may be of, most likely first.
fn lines(candidates: &[Candidate]) -> Vec<String> {
    /// Models that fit alike and are named.
    const SHOWN: usize = 6;
    let whole: Vec<&Candidate> = candidates.iter().filter(|one| one.whole).collect();
    let Some(first) = whole.first() else {
        let part = |one: &Candidate| format!("{} of {} tensors of {}", one.fits, one.of, one.model);
        let parts: Vec<String> = candidates.iter().filter(|one| one.fits > 0).map(part).collect();
        let text = format!("no registered model fits whole; nearest: {}", parts.join(", "));
        return if parts.is_empty() { Vec::new() } else { vec![text] };
    };
    let names: Vec<&str> = whole.iter().take(SHOWN).map(|one| one.model).collect();
    let more = whole.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let classes = match first.classes {
        Some(0) => ", without a classifier".to_owned(),
        Some(classes) => format!(", with {classes} classes"),
        None => String::new(),
    };
    let alike = if whole.len() > 1 { "; names and shapes do not tell these apart" } else { "" };
    vec![format!(
        "fits {}{more}: {} of {} tensors by {}'s names{classes}{alike}",
        names.join(", "),
        first.fits,
        first.of,
        first.naming
    )]
}
