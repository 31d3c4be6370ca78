//! The classes of a data set, and the numbers of its labels.

use super::listing::{BYTE_ORDER_MARK, text};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;

/// The file with the class names of lists, shards and tables.
pub(super) const CLASSES: &str = "classes.txt";
/// Upper bound on the size of a file of class names.
const MAX_BYTES: u64 = 64 << 20;
/// Classes and labels are below it: what a classifier can have.
const MAX_CLASSES: i64 = 10_000_000;

/// The index of each name in a list of classes.
pub(super) fn numbered(classes: &[String]) -> HashMap<&str, i64> {
    classes.iter().map(String::as_str).zip(0..).collect()
}

/// The names of the classes in a file.
pub(super) fn listed(file: &Path) -> Result<Vec<String>> {
    Ok(Names::read(file)?.list)
}

/// The names in the file `map`, else in [`CLASSES`] in the folder, else numbers up to the largest label.
pub(super) fn class_names<'a>(
    dir: &Path,
    map: Option<&Path>,
    labels: impl Iterator<Item = &'a i64>,
) -> Result<Vec<String>> {
    let usual = dir.join(CLASSES);
    enough(map.or_else(|| usual.exists().then_some(usual.as_path())), labels)
}

/// The names in a file, which must be enough for the labels; without one, numbers up to the largest label.
fn enough<'a>(file: Option<&Path>, labels: impl Iterator<Item = &'a i64>) -> Result<Vec<String>> {
    let count = labels.max().map_or(0, |largest| largest + 1);
    let Some(path) = file else {
        return Ok((0..count).map(|class| class.to_string()).collect());
    };
    let names = Names::read(path)?.list;
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
        .filter(|label| (0..MAX_CLASSES).contains(label))
}

/// The classes of a data set whose labels are texts: all of them numbers, or all of them names.
pub(super) struct Classes {
    pub names: Vec<String>,
    /// The numbers of names; `None` where labels are numbers.
    numbers: Option<HashMap<String, i64>>,
}

impl Classes {
    /// The names in the file `map`, else in [`CLASSES`] in `dir`; else numbers up to the largest label, or the names that
    /// are labels of the training half, sorted.
    pub fn of(dir: &Path, map: Option<&Path>, train: &[String], test: &[String]) -> Result<Self> {
        let usual = dir.join(CLASSES);
        let file = map.or_else(|| usual.exists().then_some(usual.as_path()));
        let numbers: Option<Vec<i64>> = train.iter().chain(test).map(|text| label(text)).collect();
        if let Some(file) = file {
            let Names { list, numbers: by_name, is_map } = Names::read(file)?;
            if is_map || numbers.is_none() {
                return Ok(Self { names: list, numbers: Some(by_name) });
            }
        }
        if let Some(numbers) = numbers {
            return Ok(Self { names: enough(file, numbers.iter())?, numbers: None });
        }
        let mut names = if train.is_empty() { test.to_vec() } else { train.to_vec() };
        names.sort();
        let numbers = numbered(&names).into_iter().map(|(name, number)| (name.to_owned(), number)).collect();
        Ok(Self { names, numbers: Some(numbers) })
    }

    /// The class of a label.
    pub fn number(&self, text: &str) -> Option<i64> {
        match &self.numbers {
            Some(numbers) => numbers.get(text).copied(),
            None => label(text).filter(|&label| label < self.names.len() as i64),
        }
    }
}

/// Names of classes from a file: one a line, a list in JSON, or an object in JSON with the number of each.
struct Names {
    list: Vec<String>,
    numbers: HashMap<String, i64>,
    /// Whether the file says the numbers, which several names may share.
    is_map: bool,
}

impl Names {
    fn read(path: &Path) -> Result<Self> {
        let text = text(path, MAX_BYTES)?;
        if path.extension() != Some(OsStr::new("json")) {
            return Ok(Self::of(text.lines().map(|line| line.trim().to_owned()).collect()));
        }
        Self::of_json(&text).with_context(|| path.display().to_string())
    }

    fn of(list: Vec<String>) -> Self {
        let numbers = list.iter().cloned().zip(0..).collect();
        Self { list, numbers, is_map: false }
    }

    fn of_json(text: &str) -> Result<Self> {
        let map = match serde_json::from_str(text).context("not valid JSON")? {
            Value::Array(names) => {
                let name = |name: Value| {
                    name.as_str().map(str::to_owned).with_context(|| format!("{name:.40} is not a name"))
                };
                return Ok(Self::of(names.into_iter().map(name).collect::<Result<_>>()?));
            }
            Value::Object(map) => map,
            _ => bail!("neither a list of names nor an object with the number of each"),
        };
        let number = |(name, value): (String, Value)| {
            let number = value.as_i64().filter(|number| (0..MAX_CLASSES).contains(number));
            let number =
                number.with_context(|| format!("`{name:.80}`: {value:.40} is not the number of a class"))?;
            anyhow::Ok((name, number))
        };
        let pairs: Vec<(String, i64)> = map.into_iter().map(number).collect::<Result<_>>()?;
        let count = pairs.iter().map(|(_, number)| number + 1).max().unwrap_or(0);
        let mut list: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        // Of several names the first is the class's.
        pairs.iter().rev().for_each(|(name, number)| list[*number as usize].clone_from(name));
        Ok(Self { list, numbers: pairs.into_iter().collect(), is_map: true })
    }
}
