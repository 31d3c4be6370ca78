//! What a file and a model on the command line mean.

use crate::cli::assignments;
use crate::cli::progress::FileBar;
use anyhow::{Error, Result};
use std::path::{Path, PathBuf};
use tchvision::Usage;
use tchvision::models::ModelSpec;
use tchvision::weights::{self, Archive, StateFile, catalogue};

/// The network in a file, or the one under this key.
pub fn open(path: &Path, key: Option<&str>) -> Result<StateFile> {
    Archive::open(&local(path)?)?.network(key)
}

/// A file or folder, fetched first where it is `hf:OWNER/NAME`.
pub fn local(path: &Path) -> Result<PathBuf> {
    let progress = FileBar::new();
    let path = weights::local(path, &mut |name, done, total| progress.set(name, done, total));
    progress.finish();
    path
}

/// A registered model, or with a tag the one that those public weights are of, with some fields set; a wrong name or
/// value is wrong usage.
pub fn model(name: &str, fields: &[(&str, Option<i64>)], set: &[String]) -> Result<ModelSpec> {
    let spec = if name.contains('.') {
        catalogue::find(name).and_then(|entry| entry.spec()).map_err(usage)?
    } else {
        ModelSpec::new(name)
    };
    with(spec, fields, set)
}

/// A model with some more fields set; a wrong value is wrong usage.
pub fn with(mut spec: ModelSpec, fields: &[(&str, Option<i64>)], set: &[String]) -> Result<ModelSpec> {
    for (field, value) in fields {
        if let Some(value) = value {
            spec.set(field, &value.to_string()).map_err(usage)?;
        }
    }
    for (field, value) in assignments(set)? {
        spec.set(field, value).map_err(usage)?;
    }
    spec.resolve().map_err(usage)?;
    Ok(spec)
}

/// What a naming is called in a sentence.
pub fn names_of(naming: &str) -> String {
    match naming {
        "structure" => "unknown names".to_owned(),
        "map" => "the map's names".to_owned(),
        library => format!("{library}'s names"),
    }
}

fn usage(error: Error) -> Usage {
    ModelSpec::usage(&error)
}
