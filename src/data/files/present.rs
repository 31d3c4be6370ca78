//! Whether the pictures of a test split are there: before an epoch of training leads to them.

use super::{ImageFiles, list};
use anyhow::{Result, bail};
use std::path::Path;

/// Names of missing files in a message.
const SHOWN: usize = 3;

/// Checks that all files of a test split exist, and that one of its pictures can be read.
///
/// # Errors
/// How many are missing, the first names, and for a list their lines; or why the first cannot be read where none can.
pub(in crate::data) fn check(test: &ImageFiles) -> Result<()> {
    let missing = test.missing();
    if !missing.is_empty() {
        let list = test.name.strip_prefix("list:").map(Path::new);
        let line = |index| Some(format!(" ({})", list::test_line(list?, test.file_name(index)?)?));
        let shown = missing.iter().take(SHOWN);
        let names = shown.map(|&index| test.title(index) + &line(index).unwrap_or_default());
        let more = if missing.len() > SHOWN { " and others" } else { "" };
        let remedy = if list.is_some() { "correct the list, or put them there" } else { "put them there" };
        bail!(
            "{} of {} test pictures are missing: {}{more}; {remedy}",
            missing.len(),
            test.len(),
            names.collect::<Vec<_>>().join(", ")
        );
    }
    let mut first = None;
    for index in 0..test.len() {
        match test.picture(index) {
            Ok(_) => return Ok(()),
            Err(error) => _ = first.get_or_insert(error),
        }
    }
    let why = first.map_or(String::new(), |error| format!("; the first: {error:#}"));
    bail!("none of the {} test pictures can be read{why}", test.len())
}
