//! YAML from users: typed values whose errors ([`ConfigError`]) read `FILE:LINE:COLUMN: message`, or name the override that
//! is wrong, and say what to write.
//!
//! The one place that parses such files. serde_yaml makes a value of the text (`syntax`: what it says where it cannot), the
//! `reader` makes a type of the value or a `fault`, and `words` says what to write: with a `hint` for an unknown key, from
//! the `synonyms` and the `keys` that the type has.

mod document;
mod error;
mod fault;
mod file;
mod hint;
mod keys;
mod locate;
mod reader;
mod spelling;
mod synonyms;
mod syntax;
mod text;
mod words;

pub use document::{Document, Override, set_path};
pub use error::{ConfigError, Place};
pub use file::load;
pub use spelling::flow;
pub use text::{from_value, parse, to_string};

pub(crate) use hint::unknown_field;
pub(crate) use text::value;
