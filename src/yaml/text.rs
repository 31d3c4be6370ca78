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
    let mut value: Value = serde_yaml::from_str(text).map_err(|error| {
        let (place, Invalid { keys, message, .. }) = syntax::fault(text, &error);
        ConfigError { place: file(place), keys, message }
    })?;
    value.apply_merge().map_err(|_| {
        let merge = |line: &str| Some(line[..line.find("<<")?].chars().count() + 1);
        let place = (1..).zip(text.lines()).find_map(|(number, line)| Some((number, merge(line)?)));
        let message = "`<<` merges a mapping or a list of mappings, such as `<<: *name`".to_owned();
        ConfigError { place: file(place.unwrap_or((1, 1))), keys: vec!["<<".to_owned()], message }
    })?;
    Ok(value)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    type Nested = BTreeMap<String, BTreeMap<String, f64>>;

    fn refused(text: &str) -> String {
        parse::<Nested>(text, "a.yaml").unwrap_err().to_string()
    }

    #[test]
    fn byte_order_marks_are_passed_over() {
        assert_eq!(parse::<Nested>("\u{feff}a: {b: 1}\n", "a.yaml").unwrap()["a"]["b"], 1.0);
    }

    /// As PyYAML's `safe_load`: own keys win, then those of the first mapping.
    #[test]
    fn merge_keys_are_merged() {
        let text = "a: &a {x: 1, y: 2}\nb: &b {x: 3, z: 4}\nc: {<<: *a, y: 5}\nd: {<<: [*b, *a], w: 6}\n";
        let read: Nested = parse(text, "a.yaml").unwrap();
        let pairs =
            |name: &str| read[name].iter().map(|(key, value)| format!("{key}{value}")).collect::<String>();
        assert_eq!((pairs("c").as_str(), pairs("d").as_str()), ("x1y5", "w6x3y2z4"));
        let error = refused("a: {x: 1}\nb: {<<: 3, y: 1}\n");
        assert!(error.starts_with("a.yaml:2:5: `<<` merges a mapping"), "{error}");
    }

    #[test]
    fn a_key_that_is_there_twice_is_placed_where_it_is_again() {
        for (text, place) in
            [("a: {x: 1}\nb: {x: 1}\na: {x: 2}\n", "3:1"), ("a: {x: 1, y: 2, x: 3}\n", "1:17")]
        {
            let error = refused(text);
            assert!(error.starts_with(&format!("a.yaml:{place}: the key `a")), "{error}");
        }
    }

    #[test]
    fn numbers_are_finite() {
        for number in [".inf", "-.inf", ".nan"] {
            let error = refused(&format!("a: {{x: {number}}}\n"));
            assert_eq!(error, format!("a.yaml:1:8: `a.x`: `{number}` is not a finite number; write one"));
        }
    }
}
