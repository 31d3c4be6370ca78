//! Which half of a data set a file, a folder or a row belongs to, by the words of its name.

use super::listing::spelled;
use anyhow::{Context, Result, bail};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Words for the half to train on.
const TRAIN: &[&str] = &["train", "training"];
/// Words for the half to test on, where labels are public.
const VAL: &[&str] = &["val", "valid", "validation"];
/// Words for the half to test on where there is no validation half.
const TEST: &[&str] = &["test", "testing"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Half {
    Train,
    Val,
    Test,
}

impl Half {
    /// The half that `name` has among its words: `medieval-train-000.tar` is of the training half. `None` if it has none.
    ///
    /// # Errors
    /// A name that has several.
    pub fn of(name: &str) -> Result<Option<Self>> {
        let has = |known: &[&str]| {
            let mut words = name.split(|c: char| !c.is_alphabetic());
            words.any(|word| known.iter().any(|known| word.eq_ignore_ascii_case(known)))
        };
        let halves = [("train", Self::Train, TRAIN), ("val", Self::Val, VAL), ("test", Self::Test, TEST)];
        let mut found = halves.into_iter().filter(|(_, _, words)| has(words));
        let first = found.next();
        if let (Some((first, ..)), Some((second, ..))) = (first, found.next()) {
            bail!("`{name}` names both splits, {first} and {second}");
        }
        Ok(first.map(|(_, half, _)| half))
    }

    /// The half of a file below `dir`, by its name or those of its folders, the nearest first.
    ///
    /// # Errors
    /// A name that has several.
    pub fn of_path(dir: &Path, path: &Path) -> Result<Option<Self>> {
        let inside = path.strip_prefix(dir).unwrap_or(path);
        for part in inside.iter().rev() {
            let half = Self::of(&spelled(part.as_bytes())).with_context(|| path.display().to_string())?;
            if half.is_some() {
                return Ok(half);
            }
        }
        Ok(None)
    }
}
