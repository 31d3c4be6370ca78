//! From a text to a value, and from a value to a type.

use super::error::{ConfigError, Place};
use super::locate::{At, walk};
use super::reader::Reader;
use super::spelling::Spelling;
use super::{syntax, words};
use crate::Invalid;
use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_yaml::Value;

/// What some editors write before a text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads `text` into `T`; `name` stands for the file in errors.
///
/// # Errors
/// A [`ConfigError`] for a text that does not spell a `T`: file, line, column and what to write.
pub fn parse<T: DeserializeOwned>(text: &str, name: &str) -> Result<T> {
    let text = text.trim_start_matches(BYTE_ORDER_MARK);
    let value = document(text, name)?;
    Ok(spelled(&value, Spelling::File).map_err(|invalid| at(text, name, &invalid.keys, &invalid))?)
}

/// Reads a value that is no longer tied to a text.
///
/// # Errors
/// An [`Invalid`] for a value that does not spell a `T`, with what to write.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T> {
    Ok(spelled(value, Spelling::File)?)
}

/// The text of a value, for files that [`parse`] reads again.
///
/// # Errors
/// A value that YAML cannot spell.
pub fn to_string(value: &impl Serialize) -> Result<String> {
    serde_yaml::to_string(value).context("writing YAML")
}

/// A short text as a value.
///
/// # Errors
/// An [`Invalid`] for what is not YAML.
pub(crate) fn value(text: &str) -> Result<Value, Invalid> {
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_yaml::from_str(text).map_err(|error| syntax::fault(text, &error).1)
}

/// What a value spells; errors tell people to write as `spelling` does.
pub(super) fn spelled<T: DeserializeOwned>(value: &Value, spelling: Spelling) -> Result<T, Invalid> {
    T::deserialize(Reader(value)).map_err(|fault| words::explained::<T>(&fault, value, spelling))
}

/// A whole file as a value.
pub(super) fn document(text: &str, name: &str) -> Result<Value, ConfigError> {
    let file = |(line, column)| Place::File { file: name.to_owned(), line, column };
    let empty =
        || ConfigError { place: file((1, 1)), keys: Vec::new(), message: "the file is empty".to_owned() };
    let has_content = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    if !text.lines().any(has_content) {
        return Err(empty());
    }
    serde_yaml::from_str(text).map_err(|error| {
        let (place, Invalid { keys, message, .. }) = syntax::fault(text, &error);
        ConfigError { place: file(place), keys, message }
    })
}

/// What is wrong in a file, at what `keys` lead to or at the nearest that is there.
pub(super) fn at(text: &str, name: &str, keys: &[impl AsRef<str>], invalid: &Invalid) -> ConfigError {
    let at = if invalid.unknown { At::Key } else { At::Value };
    let parents = || (1..keys.len()).rev().find_map(|n| walk(text, &keys[..n], At::Value));
    let (line, column) = walk(text, keys, at).or_else(parents).unwrap_or((1, 1));
    let keys = keys.iter().map(|key| key.as_ref().to_owned()).collect();
    ConfigError {
        place: Place::File { file: name.to_owned(), line, column },
        keys,
        message: invalid.to_string(),
    }
}
