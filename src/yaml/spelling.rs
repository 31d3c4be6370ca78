//! How messages write keys and values.

use crate::error::is_index;
use serde_yaml::{Mapping, Value};

/// Where a message tells people to write a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// In a file: `train.epochs: 3`.
    File,
    /// On a command line: `train.epochs=3`.
    Override,
}

impl Spelling {
    /// A setting in backquotes, or in the quotes that a shell needs; of what is in a list, the item alone.
    pub fn setting(self, keys: &[impl AsRef<str>], value: &str) -> String {
        let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
        let item = keys.iter().rposition(|key| is_index(key)).map_or(0, |index| index + 1);
        let path = keys[item..].join(".");
        match self {
            Self::Override if item == 0 && value.contains([' ', '[', '{']) => format!("'{path}={value}'"),
            Self::Override if item == 0 => format!("`{path}={value}`"),
            _ => format!("`{path}: {value}`"),
        }
    }
}

/// A value on one line: `{sgd: {lr: 0.1}}`.
pub fn flow(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Sequence(items) => format!("[{}]", list(items.iter().map(flow).collect())),
        Value::Mapping(mapping) => {
            let entry = |(key, value): (&Value, &Value)| format!("{}: {}", flow(key), flow(value));
            format!("{{{}}}", list(Mapping::iter(mapping).map(entry).collect()))
        }
        Value::Tagged(tagged) => format!("{} {}", tagged.tag, flow(&tagged.value)),
    }
}

/// A text, in quotes where it would read as something else.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:+ ".contains(c);
    let reads_as_text = || serde_yaml::from_str(text).is_ok_and(|value: Value| value.as_str() == Some(text));
    if text.chars().all(plain) && reads_as_text() {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back_as_they_were() {
        for text in
            ["{sgd: {lr: 0.1, nesterov: true}}", "[1, -2.5, null, a b, '3', 'true', 'it''s: x', '', 1e-8]"]
        {
            let value: Value = serde_yaml::from_str(text).unwrap();
            assert_eq!(flow(&value), text);
        }
        assert_eq!(Spelling::File.setting(&["train", "epochs"], "3"), "`train.epochs: 3`");
        assert_eq!(Spelling::Override.setting(&["train", "epochs"], "3"), "`train.epochs=3`");
        assert_eq!(Spelling::Override.setting(&["data", "augment", "0", "pad_crop"], "4"), "`pad_crop: 4`");
        assert_eq!(Spelling::Override.setting(&["data", "augment"], "[flip]"), "'data.augment=[flip]'");
    }
}
