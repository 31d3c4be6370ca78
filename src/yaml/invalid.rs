//! serde_yaml's errors as data. It tells the path of keys and the valid names only in the text of an error, which is read
//! here and nowhere else.

use crate::{Invalid, nearest};

/// An error without its position, with the keys that it names; an unknown name comes with the nearest valid one.
pub(super) fn invalid(error: &serde_yaml::Error) -> Invalid {
    let mut text = error.to_string();
    if let Some(at) = error.location() {
        let position = format!(" at line {} column {}", at.line(), at.column());
        text.truncate(text.strip_suffix(&position).map_or(text.len(), str::len));
    }
    // `train.optimizer: unknown field …`, but `invalid type: …`.
    let (path, fault) = match text.split_once(": ") {
        Some((path, fault)) if !path.contains(' ') => (path, fault),
        _ => ("", text.as_str()),
    };
    let segments = path.split(['.', '[', ']']).filter(|segment| !segment.is_empty());
    let mut keys: Vec<String> = segments.map(str::to_owned).collect();
    let unknown = fault.strip_prefix("unknown field ").and_then(|rest| quoted(rest).next());
    keys.extend(unknown.map(str::to_owned));
    Invalid { keys, unknown: unknown.is_some(), message: suggest(&text).unwrap_or(text) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Run {
        train: Train,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Train {
        epochs: u64,
        #[serde(default)]
        milestones: Vec<u64>,
    }

    fn of(text: &str) -> (Vec<String>, bool, String) {
        let Invalid { keys, unknown, message } = invalid(&serde_yaml::from_str::<Run>(text).unwrap_err());
        (keys, unknown, message)
    }

    #[test]
    fn what_serde_yaml_says_becomes_data() {
        let keys = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>();
        let (path, unknown, message) = of("train: {epoch: 3}");
        assert_eq!((path, unknown), (keys(&["train", "epoch"]), true));
        assert_eq!(
            message,
            "train: unknown field `epoch`; did you mean `epochs`? The valid names are epochs, milestones"
        );
        let (path, unknown, message) = of("train: {epochs: 3, milestones: [1, x]}");
        assert_eq!((path, unknown), (keys(&["train", "milestones", "1"]), false));
        assert_eq!(message, "train.milestones[1]: invalid type: string \"x\", expected u64");
        let (path, unknown, message) = of("train: {}");
        assert_eq!((path, unknown), (keys(&["train"]), false));
        assert_eq!(message, "train: missing field `epochs`");
        let (path, unknown, message) = of("7");
        assert_eq!((path, unknown), (keys(&[]), false));
        assert_eq!(message, "invalid type: integer `7`, expected struct Run");
    }
}
