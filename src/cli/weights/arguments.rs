//! What a file and a model on the command line mean.

use crate::cli::assignments;
use anyhow::{Error, Result};
use std::path::Path;
use tchvision::Usage;
use tchvision::models::ModelSpec;
use tchvision::weights::{Archive, StateFile, catalogue};

/// The one state_dict of a file, or the one with this key.
pub fn open(path: &Path, key: Option<&str>) -> Result<StateFile> {
    Archive::open(path)?.choose(key)
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
