//! A file as the user wrote it, with the assignments of the command line over it.

use super::error::{ConfigError, Place};
use super::file::read;
use super::locate::{At, walk};
use super::spelling::{Spelling, flow};
use super::text::{at, document, spelled, to_string, value};
use crate::{Invalid, Usage};
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
        let example = "write KEY.PATH=VALUE without spaces, such as train.epochs=1";
        let (key, given) = text.split_once('=').ok_or_else(|| usage(example))?;
        if key.split('.').any(|key| key.trim() != key || key.is_empty()) {
            bail!(usage(example));
        }
        let path = split(key).map_err(|e| usage(&e.to_string()))?;
        let value = value(given).map_err(|invalid| usage(&invalid.message))?;
        Ok(Self { text: text.to_owned(), path, value })
    }

    /// Whether it sets what `keys` lead to, or what holds that.
    fn decides(&self, keys: &[impl AsRef<str>]) -> bool {
        self.path.len() <= keys.len() && self.path.iter().zip(keys).all(|(a, b)| a == b.as_ref())
    }

    /// Sets it in `value`.
    fn apply(&self, value: &mut Value) -> Result<()> {
        set_path(value, &self.path, self.value.clone()).map_err(|error| {
            let (place, keys) = (Place::Override(self.text.clone()), self.path.clone());
            ConfigError { place, keys, message: error.to_string() }.into()
        })
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
        let mut value = document(&text, &name)?;
        for given in &overrides {
            given.apply(&mut value)?;
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
        if self.overrides.is_empty() { Ok(self.text.clone()) } else { to_string(&self.value) }
    }

    /// Reads the document into `T`.
    ///
    /// # Errors
    /// A [`ConfigError`], at its place in the file or at the override that is wrong.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        self.checked(|_: &T| Ok(()))
    }

    /// Reads the document into a `T` that passes a check.
    ///
    /// # Errors
    /// A [`ConfigError`] as of [`Self::parse`], also for what the check finds.
    pub fn checked<T: DeserializeOwned>(&self, check: impl Fn(&T) -> Result<()>) -> Result<T> {
        let read = |value: &Value, spelling| -> Result<T> {
            let read = spelled(value, spelling)?;
            check(&read).map(|()| read)
        };
        read(&self.value, Spelling::File).map_err(|error| {
            let found = Invalid::of(&error);
            match self.culprit(&found.keys, &found, |value| read(value, Spelling::File).map(drop)) {
                // Once more, in the words of overrides.
                Some(given) => {
                    let error = read(&self.value, Spelling::Override).err().unwrap_or(error);
                    self.override_error(given, &found.keys, &Invalid::of(&error))
                }
                None => self.file_error(&found.keys, &found),
            }
        })
    }

    /// An error at the value that `keys` lead to, or at the nearest that is there.
    pub fn error(&self, keys: &[impl AsRef<str>], message: impl Display) -> Error {
        self.located(keys, &Invalid { keys: Vec::new(), unknown: false, message: message.to_string() })
    }

    /// An error at the last of `keys` itself, or at the nearest that is there.
    pub fn key_error(&self, keys: &[impl AsRef<str>], message: impl Display) -> Error {
        self.located(keys, &Invalid { keys: Vec::new(), unknown: true, message: message.to_string() })
    }

    /// An error of a run whose configuration is at `prefix`, at the setting that it is about (see [`Invalid`]).
    pub fn locate(&self, prefix: &[&str], error: &Error) -> Error {
        let found = Invalid::of(error);
        self.located(&path(prefix, &found), &found)
    }

    /// As [`Self::locate`] for an error of `check`, but where another override than that of the setting brings the error
    /// about, at that override.
    pub fn blame(&self, prefix: &[&str], error: &Error, check: impl Fn(&Value) -> Result<()>) -> Error {
        let found = Invalid::of(error);
        let keys = path(prefix, &found);
        match self.culprit(&keys, &found, check) {
            Some(given) => self.override_error(given, &keys, &found),
            None => self.file_error(&keys, &found),
        }
    }

    fn located(&self, keys: &[impl AsRef<str>], invalid: &Invalid) -> Error {
        match self.deciding(keys) {
            Some(given) => self.override_error(given, keys, invalid),
            None => self.file_error(keys, invalid),
        }
    }

    /// The override that decides what `keys` lead to.
    fn deciding(&self, keys: &[impl AsRef<str>]) -> Option<&Override> {
        self.overrides.iter().rev().find(|given| given.decides(keys))
    }

    /// The override that decides the setting, else the one with which `check` begins to fail as `found` says.
    fn culprit(
        &self,
        keys: &[impl AsRef<str>],
        found: &Invalid,
        check: impl Fn(&Value) -> Result<()>,
    ) -> Option<&Override> {
        let fails = |value: &Value| check(value).is_err_and(|error| Invalid::of(&error) == *found);
        self.deciding(keys).or_else(|| {
            let mut value = document(&self.text, &self.name).ok()?;
            if self.overrides.is_empty() || fails(&value) {
                return None;
            }
            self.overrides.iter().find(|given| given.apply(&mut value).is_err() || fails(&value))
        })
    }

    /// An error that an override brings about, with the place in the file where the setting is its.
    fn override_error(&self, given: &Override, keys: &[impl AsRef<str>], invalid: &Invalid) -> Error {
        let Invalid { keys: own, unknown, .. } = invalid;
        let related = given.path.iter().zip(keys).all(|(a, b)| a == b.as_ref());
        let in_file = if related { None } else { walk(&self.text, keys, At::Key) };
        // What the override says itself is not said again.
        let mut message = if related && !unknown { invalid.message.clone() } else { invalid.to_string() };
        if let (Some((line, column)), false) = (in_file, own.is_empty()) {
            message += &format!(" ({}:{line}:{column})", self.name);
        }
        ConfigError { place: Place::Override(given.text.clone()), keys: owned(keys), message }.into()
    }

    fn file_error(&self, keys: &[impl AsRef<str>], invalid: &Invalid) -> Error {
        at(&self.text, &self.name, keys, invalid).into()
    }
}

fn owned(keys: &[impl AsRef<str>]) -> Vec<String> {
    keys.iter().map(|key| key.as_ref().to_owned()).collect()
}

/// The keys of an error of what is at `prefix`.
fn path<'a>(prefix: &[&'a str], invalid: &'a Invalid) -> Vec<&'a str> {
    prefix.iter().copied().chain(invalid.keys.iter().map(String::as_str)).collect()
}

/// Sets what `path` leads to; mappings that are missing on the way are made, also in place of a bare name of a choice,
/// `sgd`, on the way to a key of it, `sgd.lr`.
///
/// # Errors
/// A path through a list or another scalar.
pub fn set_path(value: &mut Value, path: &[impl AsRef<str>], new: Value) -> Result<()> {
    let mut here = value;
    for (depth, key) in path.iter().enumerate() {
        let key = key.as_ref();
        if here.is_null() || here.as_str() == Some(key) {
            *here = Mapping::new().into();
        }
        let Value::Mapping(mapping) = here else {
            return Err(Error::new(blocked(here, &path[..depth], &path[depth..], new)));
        };
        here = mapping.entry(key.into()).or_insert(Value::Null);
    }
    *here = new;
    Ok(())
}

/// A path that goes on below something without keys.
fn blocked(here: &Value, path: &[impl AsRef<str>], rest: &[impl AsRef<str>], new: Value) -> Invalid {
    let within =
        |value: Value, key: &_| Mapping::from_iter([(AsRef::<str>::as_ref(key).into(), value)]).into();
    let whole = Spelling::Override.setting(path, &flow(&rest.iter().rev().fold(new, within)));
    let (path, rest) = (owned(path).join("."), owned(rest).join("."));
    let message = match here {
        Value::Sequence(_) => format!("`{path}` is a list; set it as a whole, `{path}=[…]`"),
        Value::String(name) => {
            format!("`{path}` is `{name}`, so `{rest}` cannot be set in it; in its place write {whole}")
        }
        other => format!("`{path}` is {}, so `{rest}` cannot be set in it", flow(other)),
    };
    Invalid { keys: Vec::new(), unknown: false, message }
}
