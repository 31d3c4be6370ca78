//! YAML from users: typed values whose errors ([`ConfigError`]) read `FILE:LINE:COLUMN: message`, with the nearest valid
//! name.
//!
//! The one place that parses such files.

mod document;
mod error;
mod invalid;
mod locate;

pub use document::{Document, Override, set_path};
pub use error::{ConfigError, Place};

use crate::{Invalid, Usage};
use anyhow::{Context, Result};
use invalid::invalid;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_yaml::Value;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a file into `T`.
///
/// # Errors
/// A file that cannot be read, is larger than 1 MiB, or does not spell a `T`.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T> {
    parse(&read(path)?, &path.display().to_string())
}

/// Reads `text` into `T`; `name` stands for the file in errors.
///
/// # Errors
/// A [`ConfigError`] for a text that does not spell a `T`: file, line, column and the nearest valid name.
pub fn parse<T: DeserializeOwned>(text: &str, name: &str) -> Result<T> {
    serde_yaml::from_str(text).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        let place = Place::File { file: name.to_owned(), line, column };
        let Invalid { keys, message, .. } = invalid(&error);
        ConfigError { place, keys, message }.into()
    })
}

/// Reads a value that is no longer tied to a text.
///
/// # Errors
/// An [`Invalid`] for a value that does not spell a `T`, with the nearest valid name.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|error| {
        // serde_yaml names the keys that lead to an error only when it reads a text.
        let of_text = serde_yaml::to_string(value).and_then(|text| serde_yaml::from_str::<T>(&text));
        let Invalid { message, .. } = invalid(&error);
        Invalid { message, ..invalid(&of_text.err().unwrap_or(error)) }.into()
    })
}

/// The text of a value, for files that [`load`] reads again.
///
/// # Errors
/// A value that YAML cannot spell.
pub fn to_string(value: &impl Serialize) -> Result<String> {
    serde_yaml::to_string(value).context("writing YAML")
}

/// A value on one line, as an override on the command line has it.
pub fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => serde_json::to_string(value).unwrap_or_default(),
    }
}

/// The text of a file of bounded size.
fn read(path: &Path) -> Result<String> {
    let file = path.display();
    let usage = |message: String| anyhow::Error::new(Usage(message));
    let opened = File::open(path).map_err(|e| usage(format!("{file}: cannot be opened: {e}")))?;
    let mut bytes = Vec::new();
    let read = opened.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    let length = read.map_err(|e| usage(format!("{file}: cannot be read: {e}")))? as u64;
    if length > MAX_BYTES {
        return Err(usage(format!("{file}: larger than 1 MiB; is it a configuration?")));
    }
    String::from_utf8(bytes).map_err(|e| usage(format!("{file}: not UTF-8 text: {e}")))
}
