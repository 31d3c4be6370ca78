//! How a file's tensors differ from a model's, told in a few lines.

use crate::Remedy;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use strsim::osa_distance;

/// Lines of a message, its first and its last included.
const LINES: usize = 10;
/// Lines on what differs; what is left is for names that are near each other.
const GROUPS: usize = 6;
/// Names whose nearest are looked for.
const TRIED: usize = 100;

/// How a file's tensors differ from a model's. Its text has at most nine lines, a remedy follows as the tenth;
/// [`Self::all`] has every name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Differences {
    /// Tensors that the model must get from a file.
    pub expected: usize,
    /// Tensors of the model that the file does not have.
    pub missing: Vec<String>,
    /// Tensors of the file that the model does not have.
    pub unexpected: Vec<String>,
    /// Descriptions of the tensors whose shape or class of dtype differs.
    pub unlike: Vec<String>,
    /// Unexpected names with the missing ones of the same shape that are spelt nearly as they are.
    pub near: Vec<(String, String)>,
    /// Whether tensors differ in the first size alone, as classifiers of other classes do.
    pub(super) rows_only: bool,
}

impl Differences {
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.unlike.is_empty()
    }

    /// What most likely mends it.
    pub(super) fn remedy(&self) -> Remedy {
        if self.rows_only && self.missing.is_empty() && self.unexpected.is_empty() {
            Remedy::Classes(None)
        } else {
            Remedy::Map
        }
    }

    /// Every difference on a line of its own.
    pub fn all(&self) -> String {
        let [missing, unexpected] = [("missing", &self.missing), ("unexpected", &self.unexpected)]
            .map(|(kind, names)| names.iter().map(|name| format!("{kind} `{name}`")).collect::<Vec<_>>());
        [missing, unexpected, self.unlike.clone()].concat().join("\n")
    }

    /// The pairs of the nearest names among `unexpected` and `missing`, each with its shape.
    pub(super) fn find_near(&mut self, unexpected: &[(&str, Vec<i64>)], missing: &[(&str, Vec<i64>)]) {
        let mut pairs = Vec::new();
        for (name, shape) in unexpected.iter().take(TRIED) {
            for (wanted, _) in missing.iter().filter(|(_, wanted)| wanted == shape).take(TRIED) {
                let distance = osa_distance(name, wanted);
                if distance * 2 <= name.len().max(wanted.len()) {
                    pairs.push((distance, *name, *wanted));
                }
            }
        }
        pairs.sort_by_key(|(distance, ..)| *distance);
        for (_, name, wanted) in pairs {
            if !self.near.iter().any(|(a, b)| a == name || b == wanted) {
                self.near.push((name.to_owned(), wanted.to_owned()));
            }
        }
        self.near.truncate(3);
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { expected, missing, unexpected, unlike, near, .. } = self;
        let kinds = [(missing, "missing"), (unexpected, "unexpected"), (unlike, "of another shape or type")];
        let kinds: Vec<_> = kinds.into_iter().filter(|(names, _)| !names.is_empty()).collect();
        let counts: Vec<String> =
            kinds.iter().map(|(names, kind)| format!("{} {kind}", names.len())).collect();
        write!(f, "{expected} tensors expected: {}", counts.join(", "))?;
        let most = GROUPS / kinds.len().max(1);
        let mut lines = Vec::new();
        for (names, kind) in kinds {
            let groups = match kind {
                "missing" | "unexpected" => fold(names, kind),
                _ => names.iter().map(|text| (text.clone(), 1)).collect(),
            };
            let (shown, rest) = groups.split_at(groups.len().min(most));
            lines.extend(shown.iter().map(|(text, _)| text.clone()));
            let more: usize = rest.iter().map(|(_, count)| count).sum();
            if let (Some(last), 1..) = (lines.last_mut(), more) {
                *last += &format!(", and {more} more {kind}");
            }
        }
        let left = LINES - 2 - lines.len();
        lines.extend(
            near.iter().take(left).map(|(name, wanted)| {
                format!("`{name}` of the file has the shape of the missing `{wanted}`")
            }),
        );
        lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// A file that does not fit its model; the cause that follows in the chain is the remedy.
#[derive(Debug)]
pub struct Mismatch {
    pub path: PathBuf,
    pub differences: Differences,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: the weights do not match the model: {}\n  try", self.path.display(), self.differences)
    }
}

impl std::error::Error for Mismatch {}

/// Names folded by what they begin with, the largest groups first, each with its count.
fn fold(names: &[String], kind: &str) -> Vec<(String, usize)> {
    let paths: Vec<Vec<&str>> = names.iter().map(|name| name.split('.').collect()).collect();
    let mut groups: BTreeMap<&str, Vec<&Vec<&str>>> = BTreeMap::new();
    for path in &paths {
        groups.entry(path[0]).or_default().push(path);
    }
    let told = |group: Vec<&Vec<&str>>| match group.as_slice() {
        [path] => (format!("{kind} `{}`", path.join(".")), 1),
        paths => {
            let begin: String = paths[0][..shared(paths)].iter().map(|part| format!("{part}.")).collect();
            (format!("{begin}*: {} tensors {kind}", paths.len()), paths.len())
        }
    };
    let mut groups: Vec<(String, usize)> = groups.into_values().map(told).collect();
    groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    groups
}

/// How many parts all paths begin with, the last part of each left out.
fn shared(paths: &[&Vec<&str>]) -> usize {
    let Some(first) = paths.first() else { return 0 };
    let same = |i: &usize| paths.iter().all(|path| path.len() > i + 1 && path[*i] == first[*i]);
    (0..first.len()).take_while(same).count()
}
