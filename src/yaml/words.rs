//! A [`Fault`] in the words of people who write YAML: what is wrong, and what to write.

use super::fault::{Fault, Found, Kind};
use super::hint::unknown_key;
use super::keys::{Node, at, nodes};
use super::spelling::{Spelling, flow};
use super::synonyms::{EXAMPLES, VALUES};
use crate::Invalid;
use crate::error::{is_index, path};
use crate::names::{did_you_mean, squeezed};
use serde::de::DeserializeOwned;
use serde_yaml::Value;

/// Letters of a value that a message repeats.
const LONGEST: usize = 100;

const BOOLEAN: &str = "true or false";
const LIST: &str = "a list";
const MAPPING: &str = "a mapping of keys to values";
const NUMBER: &str = "a number";
const TEXT: &str = "text";
const WHOLE: &str = "a whole number";

/// What is wrong with `value`, which does not spell a `T`; `spelling` is how people are told to write it.
pub(super) fn explained<T: DeserializeOwned>(fault: &Fault, value: &Value, spelling: Spelling) -> Invalid {
    let keys = fault.keys();
    let unknown = matches!(fault.kind, Kind::Key { .. });
    let message = match &fault.kind {
        Kind::Value { found, expected } => {
            let expected = plain(expected);
            let remedy = remedy::<T>(found, &expected, &keys, spelling);
            format!("expected {expected}, not {}{remedy}", shown(found))
        }
        Kind::Choice { found, choices } => {
            let meant = unnamed::<T>(choices, &keys, value, spelling);
            let meant = meant.unwrap_or_else(|| choice(found, choices, &keys));
            format!("no choice is called `{}`; {meant}", cut(found))
        }
        Kind::Choices { found, choices } => match unnamed::<T>(choices, &keys, value, spelling) {
            Some(meant) => format!("a choice is a mapping of its name to its settings; {meant}"),
            None => several(found, choices, &keys, value, spelling),
        },
        Kind::Key { keys: beside, .. } => {
            format!(
                "unknown key `{}`; {}",
                cut(&path(&keys)),
                unknown_key::<T>(&keys, beside, value, spelling)
            )
        }
        Kind::Missing(key) => {
            let path: Vec<&str> = keys.iter().map(String::as_str).chain([*key]).collect();
            let write = |example| format!("; write {}", spelling.setting(&path, example));
            let below = || match below::<T>(&path).as_slice() {
                [] => String::new(),
                keys => format!("; its keys are {}", keys.join(", ")),
            };
            format!("`{key}` is missing{}", example(key).map_or_else(below, write))
        }
        Kind::Said(message) => message.clone(),
    };
    Invalid { keys, unknown, message }
}

/// What serde says of Rust's types, in plain words.
fn plain(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => format!("{WHOLE} from 0 up"),
        "i8" | "i16" | "i32" | "i64" | "isize" => WHOLE.to_owned(),
        "f32" | "f64" => NUMBER.to_owned(),
        "a boolean" => BOOLEAN.to_owned(),
        "a string" | "path string" => TEXT.to_owned(),
        "a sequence" => LIST.to_owned(),
        "a map" | "a YAML mapping" => MAPPING.to_owned(),
        _ if expected.starts_with("struct ") => MAPPING.to_owned(),
        _ if expected.starts_with("enum ") => "a choice".to_owned(),
        _ => match expected.strip_prefix("an array of length ") {
            Some(length) => format!("{LIST} of {length} values"),
            None => expected.to_owned(),
        },
    }
}

fn shown(found: &Found) -> String {
    match found {
        Found::Nothing => "nothing".to_owned(),
        Found::Text(text) => format!("the text `{}`", cut(text)),
        Found::Plain(text) => text.clone(),
        Found::List => LIST.to_owned(),
        Found::Mapping => "a mapping".to_owned(),
        Found::Items(1) => "of 1".to_owned(),
        Found::Items(n) => format!("of {n}"),
    }
}

/// The beginning of a text that is long, or has several lines.
fn cut(text: &str) -> String {
    let begin: String = text.lines().next().unwrap_or_default().chars().take(LONGEST).collect();
    if begin == text { begin } else { begin + "…" }
}

/// What to write in place of what was found, as the end of a sentence.
fn remedy<T: DeserializeOwned>(found: &Found, expected: &str, keys: &[String], spelling: Spelling) -> String {
    if let Some(meant) = meant(found, expected) {
        return format!("; {meant}");
    }
    let write = |value: &str| format!("; write {}", spelling.setting(keys, value));
    let last = keys.last().map_or("", String::as_str);
    if let (Found::Text(text), true) = (found, expected == MAPPING)
        && let Some(inner) = MAIN.iter().find(|(key, _)| *key == last).map(|(_, inner)| inner)
    {
        return match spelling {
            Spelling::File => write(&format!("{{{inner}: {text}}}")),
            Spelling::Override => {
                format!("; write {}", spelling.setting(&[path(keys).as_str(), inner], text))
            }
        };
    }
    if let Some(example) = example(last) {
        return write(example);
    }
    let own: Vec<&str> = keys.iter().map(String::as_str).collect();
    match below::<T>(&own).first().filter(|_| expected == MAPPING) {
        Some(key) => format!("; set its keys, such as `{}`", [&own[..], &[*key]].concat().join(".")),
        None if matches!(found, Found::Nothing) => "; write one, or remove the key".to_owned(),
        None => String::new(),
    }
}

/// The key of a section that people mean when they write one value for all of it.
const MAIN: [(&str, &str); 2] = [("model", "name"), ("data", "dataset")];

/// The keys of `T` that stand below these.
fn below<T: DeserializeOwned>(keys: &[&str]) -> Vec<&'static str> {
    let of = |node: &Node| node.path.len() == keys.len() + 1 && node.path.starts_with(keys);
    nodes::<T>().iter().filter(|node| of(node)).filter_map(|node| node.path.last().copied()).collect()
}

/// The value that was meant, where what was found tells it.
fn meant(found: &Found, expected: &str) -> Option<String> {
    let write = |value: &str| Some(format!("write {value}"));
    let (Found::Text(text) | Found::Plain(text)) = found else {
        let scalar = [BOOLEAN, NUMBER, TEXT].contains(&expected) || expected.starts_with(WHOLE);
        let list = matches!(found, Found::List) && scalar;
        return list.then(|| "values to compare go under `axes` of an experiment".to_owned());
    };
    match (expected, text.to_lowercase().as_str()) {
        (BOOLEAN, "yes" | "on" | "y" | "1" | "true") => write("true"),
        (BOOLEAN, "no" | "off" | "n" | "0" | "false") => write("false"),
        (LIST, _) => write(&format!("[{text}]")),
        (_, "none" | "off" | "false") if expected == NUMBER || expected.starts_with(WHOLE) => {
            Some("remove the key for none".to_owned())
        }
        (NUMBER, _) => write(&as_written(number(text)?, text)),
        _ if expected.starts_with(WHOLE) => {
            let whole = number(text)?.parse::<f64>().ok().filter(|x| x.fract() == 0.0 && x.abs() < 1e15)?;
            let possible = expected == WHOLE || whole >= 0.0;
            possible.then(|| write(&as_written(format!("{whole:.0}"), text))).flatten()
        }
        _ => None,
    }
}

/// A number to write in place of a text; the same was in quotes.
fn as_written(number: String, text: &str) -> String {
    if number == text { number + " without quotes" } else { number }
}

/// A number that is written as other people write it: `1_000`, `1,5`, `10 %`, in quotes.
fn number(text: &str) -> Option<String> {
    let text = text.trim().replace('_', "");
    if let Some((height, width)) = text.split_once('x') {
        return (height == width).then(|| number(height))?;
    }
    if let Some(percent) = text.strip_suffix('%') {
        return Some((percent.trim().parse::<f64>().ok()? / 100.0).to_string());
    }
    let thousands = || {
        let mut groups = text.split(',');
        let first = groups.next().is_some_and(|group| (1..=3).contains(&group.len()) && group != "0");
        first && text.contains(',') && groups.all(|group| group.len() == 3)
    };
    let text = if thousands() { text.replace(',', "") } else { text.replacen(',', ".", 1) };
    text.parse::<f64>().is_ok_and(f64::is_finite).then_some(text)
}

/// What to write in place of a choice that there is not.
fn choice(found: &str, choices: &[&str], keys: &[String]) -> String {
    let key = keys.iter().rev().find(|key| !is_index(key)).map_or("", String::as_str);
    let same = |word: &str| squeezed(word) == squeezed(found);
    let known = VALUES.iter().find(|(of, words, _)| *of == key && words.iter().any(|word| same(word)));
    match known {
        Some((_, _, value)) => format!("write `{value}`"),
        None => {
            did_you_mean(found, choices.iter().copied(), &format!("the choices are {}", choices.join(", ")))
        }
    }
}

/// The settings of a choice without its name, `{lr: 0.1}`, or with it beside them, `{name: sgd, lr: 0.1}`.
fn unnamed<T: DeserializeOwned>(
    choices: &[&'static str],
    keys: &[String],
    value: &Value,
    spelling: Spelling,
) -> Option<String> {
    let mut settings = at(value, keys)?.as_mapping()?.clone();
    let is_choice = |value: &Value| choices.iter().copied().find(|choice| value.as_str() == Some(choice));
    if settings.is_empty() || settings.keys().any(|key| is_choice(key).is_some()) {
        return None;
    }
    let named =
        ["name", "type", "kind"].into_iter().find(|key| settings.get(*key).and_then(is_choice).is_some());
    let name = match named {
        Some(key) => settings.shift_remove(key).as_ref().and_then(is_choice)?,
        None => choices.iter().copied().find(|choice| {
            let path: Vec<&str> = keys.iter().map(String::as_str).chain([*choice]).collect();
            let fields = below::<T>(&path);
            settings.keys().all(|key| key.as_str().is_some_and(|key| fields.contains(&key)))
        })?,
    };
    let whole = spelling.setting(keys, &format!("{{{name}: {}}}", flow(&settings.into())));
    Some(format!("write {whole}"))
}

/// There is no choice, or more than one.
fn several(found: &[String], choices: &[&str], keys: &[String], value: &Value, spelling: Spelling) -> String {
    let choices = choices.join(", ");
    let path = path(keys);
    match (found, spelling) {
        ([first, .., last], Spelling::Override) => {
            let of_last = at(value, keys).and_then(|value| value.get(last)).map_or(String::new(), flow);
            let whole = spelling.setting(keys, &format!("{{{last}: {of_last}}}"));
            format!("`{path}` is `{first}` in the file; to take `{last}` in its place write {whole}")
        }
        ([], _) => format!("expected one of {choices}, not nothing"),
        _ => format!(
            "takes one choice, and here are {}: {}; keep one, or set `{path}` as a whole",
            found.len(),
            found.join(", ")
        ),
    }
}

fn example(key: &str) -> Option<&'static str> {
    EXAMPLES.iter().find(|(known, _)| *known == key).map(|(_, example)| *example)
}
