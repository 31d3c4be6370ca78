//! A file as the user wrote it, with the assignments of the command line over it.

use super::invalid::invalid;
use super::locate::walk;
use super::{ConfigError, Place, parse, read};
use crate::{Invalid, Usage, brief};
use anyhow::{Error, Result, bail};
use serde::de::DeserializeOwned;
use serde_yaml::{Mapping, Value};
use std::fmt::Display;
use std::path::Path;

/// `key.path=value` of the command line.
#[derive(Clone, Debug)]
pub struct Override {
    text: String,
    path: Vec<String>,
    value: Value,
}

impl Override {
    /// Reads an assignment whose key is a plain path; its value is YAML.
    ///
    /// # Errors
    /// No `=`, an empty key, or a value that is not YAML.
    pub fn new(text: &str) -> Result<Self> {
        Self::with(text, |key| Ok(key.split('.').map(str::to_owned).collect()))
    }

    /// Reads an assignment whose key `split` takes apart.
    ///
    /// # Errors
    /// As [`Override::new`], and those of `split`.
    pub fn with(text: &str, split: impl Fn(&str) -> Result<Vec<String>>) -> Result<Self> {
        let usage = |message: &str| Usage(format!("`{text}`: {message}"));
        let example = "write KEY.PATH=VALUE, such as train.epochs=1";
        let (key, value) = text.split_once('=').ok_or_else(|| usage(example))?;
        if key.split('.').any(str::is_empty) {
            bail!(usage(example));
        }
        let path = split(key).map_err(|e| usage(&e.to_string()))?;
        let value = serde_yaml::from_str(value).map_err(|e| usage(&invalid(&e).message))?;
        Ok(Self { text: text.to_owned(), path, value })
    }

    /// An error of this assignment.
    fn error(&self, keys: &[impl AsRef<str>], message: impl Display) -> Error {
        error(Place::Override(self.text.clone()), keys, message)
    }
}

/// The text of a file and what it says with the overrides applied.
#[derive(Clone, Debug)]
pub struct Document {
    name: String,
    text: String,
    overrides: Vec<Override>,
    value: Value,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// As [`super::load`]; an override that leads through something that has no keys.
    pub fn read(path: &Path, overrides: Vec<Override>) -> Result<Self> {
        let (text, name) = (read(path)?, path.display().to_string());
        let mut value: Value = parse(&text, &name)?;
        for given in &overrides {
            set_path(&mut value, &given.path, given.value.clone())
                .map_err(|e| given.error(&given.path, brief(&e)))?;
        }
        Ok(Self { name, text, overrides, value })
    }

    /// What the document says.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The file's own text, comments included, unless overrides changed what it says.
    ///
    /// # Errors
    /// A value that YAML cannot spell.
    pub fn text(&self) -> Result<String> {
        if self.overrides.is_empty() { Ok(self.text.clone()) } else { super::to_string(&self.value) }
    }

    /// Reads the document into `T`.
    ///
    /// # Errors
    /// A [`ConfigError`], at its place in the file or at the override that is wrong.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        if self.overrides.is_empty() {
            return parse(&self.text, &self.name);
        }
        serde_yaml::from_str(&self.text()?).map_err(|error| {
            let Invalid { keys, message, .. } = invalid(&error);
            match (self.deciding(&keys), parse::<T>(&self.text, &self.name), self.culprit::<T>()) {
                (Some(given), ..) => given.error(&keys, message),
                (None, Err(in_file), _) => in_file,
                (None, Ok(_), Some(given)) => given.error(&keys, message),
                (None, Ok(_), None) => self.error(&keys, message),
            }
        })
    }

    /// The override after which the document no longer spells a `T`.
    fn culprit<T: DeserializeOwned>(&self) -> Option<&Override> {
        let mut value: Value = serde_yaml::from_str(&self.text).unwrap_or_default();
        self.overrides.iter().find(|given| {
            let set = set_path(&mut value, &given.path, given.value.clone());
            set.is_err() || T::deserialize(&value).is_err()
        })
    }

    /// An error at the value that `keys` lead to, or at the nearest that is there.
    pub fn error(&self, keys: &[impl AsRef<str>], message: impl Display) -> Error {
        self.error_at(keys, message, false)
    }

    /// An error at the last of `keys` itself, or at the nearest that is there.
    pub fn key_error(&self, keys: &[impl AsRef<str>], message: impl Display) -> Error {
        self.error_at(keys, message, true)
    }

    /// An error of a run whose configuration is at `prefix`, at the setting that it is about (see [`Invalid`]).
    pub fn locate(&self, prefix: &[&str], error: &Error) -> Error {
        let Invalid { keys, unknown, message } = Invalid::of(error);
        let path: Vec<&str> = prefix.iter().copied().chain(keys.iter().map(String::as_str)).collect();
        self.error_at(&path, message, unknown)
    }

    /// The override that decides what `keys` lead to.
    fn deciding(&self, keys: &[impl AsRef<str>]) -> Option<&Override> {
        let decides = |given: &&Override| {
            given.path.len() <= keys.len() && given.path.iter().zip(keys).all(|(a, b)| a == b.as_ref())
        };
        self.overrides.iter().rev().find(decides)
    }

    fn error_at(&self, keys: &[impl AsRef<str>], message: impl Display, at_key: bool) -> Error {
        let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
        if let Some(given) = self.deciding(&keys) {
            return given.error(&keys, message);
        }
        let parents = || (1..keys.len()).rev().find_map(|n| walk(&self.text, &keys[..n], false));
        let (line, column) = walk(&self.text, &keys, at_key).or_else(parents).unwrap_or((1, 1));
        error(Place::File { file: self.name.clone(), line, column }, &keys, message)
    }
}

fn error(place: Place, keys: &[impl AsRef<str>], message: impl Display) -> Error {
    let keys = keys.iter().map(|key| key.as_ref().to_owned()).collect();
    ConfigError { place, keys, message: message.to_string() }.into()
}

/// Sets what `path` leads to; mappings that are missing on the way are made.
///
/// # Errors
/// A path through a list or a scalar.
pub fn set_path(value: &mut Value, path: &[impl AsRef<str>], new: Value) -> Result<()> {
    let mut here = value;
    for (depth, key) in path.iter().enumerate() {
        if here.is_null() {
            *here = Mapping::new().into();
        }
        let Value::Mapping(mapping) = here else {
            let parents: Vec<&str> = path[..depth].iter().map(AsRef::as_ref).collect();
            bail!("`{}` has no keys, so `{}` cannot be set in it", parents.join("."), key.as_ref());
        };
        here = mapping.entry(key.as_ref().into()).or_insert(Value::Null);
    }
    *here = new;
    Ok(())
}
