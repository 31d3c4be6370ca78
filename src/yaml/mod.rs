//! YAML from users: typed values whose errors read `FILE:LINE:COLUMN: message`, with the nearest valid name.
//!
//! The one place that parses such files. Errors here are [`crate::Usage`].

mod document;
mod locate;

pub use document::{Document, Override, set_path};

use crate::{Usage, nearest};
use anyhow::{Context, Result};
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
/// A text that does not spell a `T`: file, line, column and the nearest valid name.
pub fn parse<T: DeserializeOwned>(text: &str, name: &str) -> Result<T> {
    serde_yaml::from_str(text).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        Usage(format!("{name}:{line}:{column}: {}", describe(&error))).into()
    })
}

/// Reads a value that is no longer tied to a text.
///
/// # Errors
/// A value that does not spell a `T`, with the nearest valid name.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_yaml::from_value(value).map_err(|error| anyhow::Error::msg(describe(&error)))
}

/// The text of a value, for files that [`load`] reads again.
///
/// # Errors
/// A value that YAML cannot spell.
pub fn to_string(value: &impl Serialize) -> Result<String> {
    serde_yaml::to_string(value).context("writing YAML")
}

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

/// What serde_yaml says, without the position, and with the nearest valid name for an unknown one.
fn describe(error: &serde_yaml::Error) -> String {
    let mut text = error.to_string();
    if let Some(at) = error.location() {
        let position = format!(" at line {} column {}", at.line(), at.column());
        text = text.strip_suffix(&position).map_or(text.clone(), str::to_owned);
    }
    suggest(&text).unwrap_or(text)
}

/// Rewrites "unknown field `x`, expected one of `a`, `b`" so that it names the nearest.
fn suggest(text: &str) -> Option<String> {
    let (start, listed) = text.split_once(", expected ")?;
    let (_, word) = start.rsplit_once("unknown ")?;
    let word = quoted(word).next()?;
    let names: Vec<&str> = quoted(listed).collect();
    let like = nearest(word, names.iter().copied())?;
    Some(format!("{start}; did you mean `{like}`? The valid names are {}", names.join(", ")))
}

/// The words between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
