//! Labels as numbers, and the names of their classes.

use super::listing::{BYTE_ORDER_MARK, text};
use anyhow::{Result, ensure};
use std::collections::HashMap;
use std::path::Path;

/// The file with the class names of lists and shards.
pub(super) const CLASSES: &str = "classes.txt";

/// The index of each name in a list of classes.
pub(super) fn numbered(classes: &[String]) -> HashMap<&str, i64> {
    classes.iter().map(String::as_str).zip(0..).collect()
}

/// The lines of [`CLASSES`] if the folder has that file, else numbers up to the largest label.
pub(super) fn class_names<'a>(dir: &Path, labels: impl Iterator<Item = &'a i64>) -> Result<Vec<String>> {
    let count = labels.max().map_or(0, |largest| largest + 1);
    let path = dir.join(CLASSES);
    if !path.exists() {
        return Ok((0..count).map(|class| class.to_string()).collect());
    }
    let names: Vec<String> = text(&path, 64 << 20)?.lines().map(|line| line.trim().to_owned()).collect();
    ensure!(
        names.len() as i64 >= count,
        "{}: {} classes are too few for label {}",
        path.display(),
        names.len(),
        count - 1
    );
    Ok(names)
}

/// Parses a label: a non-negative number, small enough for a classifier.
pub(super) fn label(text: &str) -> Option<i64> {
    text.trim_start_matches(BYTE_ORDER_MARK)
        .trim()
        .parse()
        .ok()
        .filter(|label| (0..10_000_000).contains(label))
}
