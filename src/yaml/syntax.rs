//! What a text has that is not YAML, in words that say what to change; the one place that reads libyaml's.

use super::locate::{At, walk};
use crate::Invalid;
use crate::error::path;
use serde_yaml::Error;

/// Line and column of an error of serde_yaml in `text`, and what is wrong there.
pub(super) fn fault(text: &str, error: &Error) -> ((usize, usize), Invalid) {
    let said = error.to_string();
    let place = error.location().map_or((1, 1), |at| (at.line(), at.column()));
    let invalid = |message: String| Invalid { keys: Vec::new(), unknown: false, message };
    if let Some((keys, message)) = repeated(text, &said) {
        let place = walk(text, &keys, At::Repeated).unwrap_or(place);
        return (place, Invalid { keys, unknown: true, message });
    }
    let line = text.lines().nth(place.0 - 1).unwrap_or_default();
    let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
    if let Some(column) = indent.find('\t') {
        return ((place.0, column + 1), invalid("a tab; indent with spaces".to_owned()));
    }
    // `epochs:3` reads on into the next line, which is then what is wrong.
    let tight = |line: &&str| {
        let (key, value) = line.trim_start().split_once(':')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        (key.chars().all(plain) && value.starts_with(plain)).then(|| format!("`{key}: {value}`"))
    };
    let before = text.lines().take(place.0).zip(1..).collect::<Vec<_>>().into_iter().rev().take(2);
    if let Some((meant, number)) = before.filter_map(|(line, n)| Some((tight(&line)?, n))).next() {
        let column = text.lines().nth(number - 1).map_or(1, |line| line.len() - line.trim_start().len() + 1);
        return ((number, column), invalid(format!("a space is missing after the colon; write {meant}")));
    }
    if said.contains("while scanning a quoted scalar") {
        return (context(&said).unwrap_or(place), invalid("a quote is not closed".to_owned()));
    }
    let here = line.chars().nth(place.1 - 1);
    (place, invalid(words(&said, here)))
}

/// Line and column of where that begins in which the error is.
fn context(said: &str) -> Option<(usize, usize)> {
    let (before, place) = said.rsplit_once(" at line ")?;
    let (line, column) = place.split_once(" column ")?;
    before.contains(" at ").then_some((line.parse().ok()?, column.parse().ok()?))
}

/// libyaml's words in ours; `here` is the sign at the place that it names.
fn words(said: &str, here: Option<char>) -> String {
    let opened = |bracket: char| {
        let of = context(said).map_or(String::new(), |(line, _)| format!(" of line {line}"));
        format!("the `{bracket}`{of} is not closed, or a comma is missing")
    };
    match said {
        _ if said.starts_with("mapping values are not allowed") => {
            "a key cannot stand here; indent it like those above it, one a line".to_owned()
        }
        _ if said.contains("while parsing a flow mapping") => opened('{'),
        _ if said.contains("while parsing a flow sequence") => opened('['),
        _ if said.contains("could not find expected ':'") => {
            "a `:` is missing; write `key: value`, with a space after the colon".to_owned()
        }
        _ if said.contains("did not find expected key")
            || said.contains("did not find expected '-' indicator") =>
        {
            "the indentation does not fit the lines above".to_owned()
        }
        _ if said.contains("did not find expected node content") => "a value is missing here".to_owned(),
        _ if said.contains("cannot start any token") => {
            let sign = here.map_or(String::new(), |c| format!("`{c}` "));
            format!("{sign}cannot start a value; put the value in quotes")
        }
        _ if said.contains("unknown anchor") => "no `&name` above is what this `*name` refers to".to_owned(),
        _ if said.contains("more than one document") => {
            "more than one document; keep one, without `---` between".to_owned()
        }
        // As it is, without the place.
        _ => said.split(" at line ").next().unwrap_or_default().to_owned(),
    }
}

/// The keys that lead to one that is there twice.
fn repeated(text: &str, said: &str) -> Option<(Vec<String>, String)> {
    let (before, after) = said.split_once("duplicate entry with key \"")?;
    let key = after.rsplit_once('"')?.0;
    let parents = before.strip_suffix(": ").unwrap_or(before);
    let parents = parents.split(['.', '[', ']']).filter(|segment| !segment.is_empty());
    let keys: Vec<String> = parents.chain([key]).map(str::to_owned).collect();
    let first =
        walk(text, &keys, At::Key).map_or(String::new(), |(line, _)| format!(", first in line {line}"));
    let message = format!("the key `{}` is there twice{first}; remove one", path(&keys));
    Some((keys, message))
}
