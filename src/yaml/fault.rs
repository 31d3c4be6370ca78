//! What is wrong with a value, as serde's calls tell it: data, for which [`super::words`] has the words.

use serde::de::{Error, Expected, Unexpected};
use std::fmt::{self, Display};

/// A value that does not spell what it should, and the keys that lead to it.
#[derive(Debug)]
pub(super) struct Fault {
    /// From the innermost to the outermost.
    inner_keys: Vec<String>,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// Something else than was expected, by serde's name of that.
    Value {
        found: Found,
        expected: String,
    },
    /// A choice that there is not.
    Choice {
        found: String,
        choices: &'static [&'static str],
    },
    /// No choice, or several, where there must be one.
    Choices {
        found: Vec<String>,
        choices: &'static [&'static str],
    },
    /// A key that there is not.
    Key {
        found: String,
        keys: &'static [&'static str],
    },
    Missing(&'static str),
    /// Said by the type itself.
    Said(String),
}

/// A value where another was expected.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Text(String),
    /// A number, true or false.
    Plain(String),
    List,
    Mapping,
    /// A list with more or fewer items than it should have.
    Items(usize),
}

impl Fault {
    pub fn new(kind: Kind) -> Self {
        Self { inner_keys: Vec::new(), kind }
    }

    /// The same, seen from outside of what `key` leads to.
    pub fn under(mut self, key: impl Into<String>) -> Self {
        self.inner_keys.push(key.into());
        self
    }

    /// From the outermost to the innermost; an unknown key is the last.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.inner_keys.iter().rev().cloned().collect();
        if let Kind::Key { found, .. } = &self.kind {
            keys.push(found.clone());
        }
        keys
    }
}

impl Error for Fault {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(Kind::Said(message.to_string()))
    }

    fn invalid_type(found: Unexpected, expected: &dyn Expected) -> Self {
        Self::new(Kind::Value { found: found.into(), expected: expected.to_string() })
    }

    fn invalid_value(found: Unexpected, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(Kind::Value { found: Found::Items(length), expected: expected.to_string() })
    }

    fn unknown_variant(found: &str, choices: &'static [&'static str]) -> Self {
        Self::new(Kind::Choice { found: found.to_owned(), choices })
    }

    fn unknown_field(found: &str, keys: &'static [&'static str]) -> Self {
        Self::new(Kind::Key { found: found.to_owned(), keys })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Kind::Missing(key))
    }
}

impl From<Unexpected<'_>> for Found {
    fn from(found: Unexpected) -> Self {
        match found {
            Unexpected::Unit | Unexpected::Option => Self::Nothing,
            Unexpected::Str(text) => Self::Text(text.to_owned()),
            Unexpected::Bool(value) => Self::Plain(value.to_string()),
            Unexpected::Unsigned(value) => Self::Plain(value.to_string()),
            Unexpected::Signed(value) => Self::Plain(value.to_string()),
            Unexpected::Float(value) => Self::Plain(format!("{value:?}")),
            Unexpected::Seq => Self::List,
            Unexpected::Map => Self::Mapping,
            other => Self::Plain(other.to_string()),
        }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {:?}", self.keys().join("."), self.kind)
    }
}

impl std::error::Error for Fault {}
