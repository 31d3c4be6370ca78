//! The settings of a variant: how people read them, and how they pick variants by them.

use serde_json::{Map, Value};

/// Values by their key paths; `variant` is the name of a named one.
pub(crate) type Settings = Map<String, Value>;

/// Settings for people: `cardinality 4, depth 20`.
pub(crate) fn label<'a>(settings: impl IntoIterator<Item = (&'a String, &'a Value)>) -> String {
    let words = settings.into_iter().map(|(key, value)| match key.as_str() {
        "variant" => text(value),
        path => format!("{} {}", last(path), shown(value)),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The last key of a path.
pub(crate) fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or_default()
}

/// A value for people: as [`words`], but fractions rounded to four digits.
pub(crate) fn shown(value: &Value) -> String {
    match value.as_f64().filter(|x| x.fract() != 0.0).map(|x| format!("{x:.3e}").parse::<f64>()) {
        Some(Ok(rounded)) => rounded.to_string(),
        _ => words(value),
    }
}

/// A value in a few words: `sgd lr 0.1 momentum 0.9` for `{sgd: {lr: 0.1, momentum: 0.9}}`, the items of a list joined by
/// `+`; numbers stay as they are.
pub(crate) fn words(value: &Value) -> String {
    match value {
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) if !items.iter().all(Value::is_number) => {
            items.iter().map(words).collect::<Vec<_>>().join("+")
        }
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| match value {
                Value::Null | Value::Bool(true) => name.clone(),
                Value::Object(inner) if inner.is_empty() => name.clone(),
                value => format!("{name} {}", words(value)),
            };
            fields.iter().map(field).collect::<Vec<_>>().join(" ")
        }
        Value::Null => "none".to_owned(),
        value => text(value),
    }
}

/// A value in a name or a file: text as it is, anything else as JSON.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether `settings` have all that is `wanted`: `KEY=VALUE`, the key in full or its last part, or the name of a named
/// variant.
pub(super) fn picks(settings: &Settings, wanted: &[&str]) -> bool {
    wanted.iter().all(|wanted| {
        let (key, value) = wanted.split_once('=').unwrap_or(("variant", wanted));
        settings.iter().any(|(path, has)| {
            (path == key || last(path) == key) && (text(has) == value || words(has) == value)
        })
    })
}

/// The parts of a selection between its commas; those within brackets belong to a value.
pub(super) fn pairs(text: &str) -> Vec<&str> {
    let mut depth = 0;
    let parts = text.split(|c| {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        c == ',' && depth <= 0
    });
    parts.map(str::trim).collect()
}

/// The keys of all settings, each once, in the order in which they come.
pub(super) fn keys<'a>(all: impl Iterator<Item = &'a Settings>) -> Vec<&'a str> {
    let mut keys: Vec<&str> = Vec::new();
    for key in all.flat_map(Map::keys) {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    keys
}
