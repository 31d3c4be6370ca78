//! A file as the user wrote it, with the assignments of the command line over it.

use super::locate::walk;
use super::{describe, parse, quoted, read};
use crate::Usage;
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
        let value = serde_yaml::from_str(value).map_err(|e| usage(&describe(&e)))?;
        Ok(Self { text: text.to_owned(), path, value })
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
        for Override { text, path, value: new } in &overrides {
            set_path(&mut value, path, new.clone()).map_err(|e| Usage(format!("`{text}`: {e}")))?;
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
        match self.overrides.is_empty() {
            true => Ok(self.text.clone()),
            false => super::to_string(&self.value),
        }
    }

    /// Reads the document into `T`.
    ///
    /// # Errors
    /// What is wrong, at its place in the file, or with the override that made it wrong.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        if self.overrides.is_empty() {
            return parse(&self.text, &self.name);
        }
        let text = self.text()?;
        serde_yaml::from_str(&text).map_err(|error| match parse::<T>(&self.text, &self.name) {
            Err(in_file) => in_file,
            Ok(_) => Usage(format!("{}: {}", self.culprit::<T>(), describe(&error))).into(),
        })
    }

    /// The override after which the document no longer spells a `T`.
    fn culprit<T: DeserializeOwned>(&self) -> String {
        let mut value: Value = serde_yaml::from_str(&self.text).unwrap_or_default();
        let breaks = self.overrides.iter().find(|o| {
            let set = set_path(&mut value, &o.path, o.value.clone());
            set.is_err() || serde_yaml::from_value::<T>(value.clone()).is_err()
        });
        breaks.map_or_else(|| self.name.clone(), |o| format!("`{}`", o.text))
    }

    /// An error at the value that `path` leads to, or at the nearest that is there.
    pub fn error(&self, path: &[impl AsRef<str>], message: impl Display) -> Error {
        self.error_at(path, message, false)
    }

    /// An error at the last key of `path`, or at the nearest that is there.
    pub fn key_error(&self, path: &[impl AsRef<str>], message: impl Display) -> Error {
        self.error_at(path, message, true)
    }

    /// An error within `prefix`, at the innermost key that the message names in backquotes.
    pub fn blame(&self, prefix: &[&str], error: &Error) -> Error {
        let message = crate::brief(error);
        let mut path: Vec<&str> = prefix.to_vec();
        for word in quoted(&message) {
            for key in word.split('.') {
                path.push(key);
                if get(&self.value, &path).is_none() {
                    path.pop();
                    break;
                }
            }
        }
        match message.contains("unknown field") {
            true => self.key_error(&path, &message),
            false => self.error(&path, &message),
        }
    }

    fn error_at(&self, path: &[impl AsRef<str>], message: impl Display, at_key: bool) -> Error {
        let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
        let covers =
            |o: &&Override| o.path.iter().zip(&path).all(|(a, b)| a == b) && o.path.len() <= path.len();
        if let Some(o) = self.overrides.iter().rev().find(covers) {
            return Usage(format!("`{}`: {message}", o.text)).into();
        }
        let parents = (1..path.len()).rev().find_map(|n| walk(&self.text, &path[..n], false));
        let (line, column) = walk(&self.text, &path, at_key).or(parents).unwrap_or((1, 1));
        Usage(format!("{}:{line}:{column}: {message}", self.name)).into()
    }
}

/// The value that a path of keys leads to.
fn get<'a>(value: &'a Value, path: &[impl AsRef<str>]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.as_mapping()?.get(key.as_ref()))
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
