//! `tchvision weights inspect`.

use crate::cli::{print, print_json, table};
use anyhow::Result;
use serde::Serialize;
use std::path::PathBuf;
use tchvision::Usage;
use tchvision::report::format::count;
use tchvision::weights::{Archive, Format, Group};

#[derive(clap::Args)]
pub struct Args {
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
}

#[derive(Serialize)]
struct Key<'a> {
    key: &'a str,
    tensors: usize,
    values: u64,
}

#[derive(Serialize)]
struct Row<'a> {
    key: &'a str,
    name: &'a str,
    shape: &'a [i64],
    dtype: &'a str,
}

pub fn run(args: &Args) -> Result<()> {
    let archive = Archive::open(&args.file)?;
    let shown = |group: &&Group| args.key.as_ref().is_none_or(|key| *key == group.key);
    let groups: Vec<&Group> = archive.groups().iter().filter(shown).collect();
    if let (Some(key), []) = (&args.key, groups.as_slice()) {
        let known: Vec<&str> = archive.groups().iter().map(|group| group.key.as_str()).collect();
        let known = known.join(", ");
        return Err(Usage(format!("{}: no state_dict under `{key}`: {known}", args.file.display())).into());
    }
    let values = |group: &Group| group.tensors.iter().map(|t| t.shape.iter().product::<i64>() as u64).sum();
    let keys = groups.iter().map(|group| Key {
        key: &group.key,
        tensors: group.tensors.len(),
        values: values(group),
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
    };
    if args.json {
        return print_json(&inspected);
    }
    let format = serde_json::to_value(inspected.format)?;
    let format = format.as_str().unwrap_or_default();
    print(format_args!("{}: {format}, {} bytes", args.file.display(), inspected.bytes))?;
    for Key { key, tensors, values } in &inspected.keys {
        print(format_args!("state_dict `{key}`: {tensors} tensors, {} values ({values})", count(*values)))?;
    }
    let several = inspected.keys.len() > 1;
    let mut out = table(&["tensor", "shape", "dtype"]);
    for Row { key, name, shape, dtype } in inspected.tensors {
        let name = if several { format!("{key}: {name}") } else { name.to_owned() };
        out.add_row([name, format!("{shape:?}"), dtype.to_owned()]);
    }
    print(out)
}
