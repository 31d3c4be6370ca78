//! Parquet as the Hugging Face Hub serves it: a row a picture. Row groups are its shards: each is decoded whole, and a few
//! are kept.

mod columns;
mod group;
pub(super) mod tables;

use super::fields::Fields;
use super::halves::Half;
use super::labels::{listed, numbered};
use super::listing::{MAX_DEPTH, is_hidden, listing};
use super::{FileSplits, ImageFiles};
use anyhow::{Context, Result, ensure};
use columns::{Columns, Label};
use group::Reader;
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use tables::{Table, Tables};

/// The files `*.parquet` in DIR and below it. The split is a word of their names, else of the folders that they lie in:
/// `train`, `validation`, else `test`; one of both halves may be empty.
pub(super) fn splits(dir: &Path, fields: &Fields) -> Result<FileSplits> {
    let mut found = Vec::new();
    below(dir, MAX_DEPTH, &mut found)?;
    ensure!(!found.is_empty(), "{}: no files *.parquet there or below", dir.display());
    let mut halves: HashMap<Half, Vec<PathBuf>> = HashMap::new();
    for path in found {
        let half = Half::of_path(dir, &path)?;
        let half = half.with_context(|| {
            format!(
                "{}: neither its name nor those of its folders say which split it is of; name it train-0.parquet, \
                 validation-0.parquet or test-0.parquet",
                path.display()
            )
        })?;
        halves.entry(half).or_default().push(path);
    }
    let train = halves.remove(&Half::Train).unwrap_or_default();
    let test = halves.remove(&Half::Val).or_else(|| halves.remove(&Half::Test)).unwrap_or_default();
    of(dir, train, test, fields)
}

/// These files, which `dir` has.
pub(super) fn of(dir: &Path, train: Vec<PathBuf>, test: Vec<PathBuf>, fields: &Fields) -> Result<FileSplits> {
    let (train, test) = (Rows::read(train, fields)?, Rows::read(test, fields)?);
    let classes = match &fields.classes {
        Some(file) => listed(file)?,
        None if train.tables.is_empty() => {
            let lacks = || {
                format!(
                    "{}: no files of the split `train`, nor names of classes; name them train-00000.parquet and so on",
                    dir.display()
                )
            };
            test.names.clone().with_context(lacks)?
        }
        None => train.classes(&test),
    };
    Ok(FileSplits { train: train.files(&classes)?, test: test.files(&classes)? })
}

/// The files in a folder and below it, in the order of their names.
fn below(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    ensure!(depth > 0, "{}: folders are nested too deep; is there a cycle of links?", dir.display());
    for (name, is_folder) in listing(dir)?.into_iter().filter(|(name, _)| !is_hidden(name)) {
        let path = dir.join(&name);
        if is_folder {
            below(&path, depth - 1, found)?;
        } else if name.as_bytes().ends_with(b".parquet") {
            found.push(path);
        }
    }
    Ok(())
}

/// The rows of a split, without their pictures.
#[derive(Default)]
struct Rows {
    tables: Vec<Table>,
    /// For each file and row group one a row; `None` of rows without a label.
    labels: Vec<Vec<Vec<Option<Label>>>>,
    /// The names of classes in the files' own words.
    names: Option<Vec<String>>,
}

impl Rows {
    fn read(paths: Vec<PathBuf>, fields: &Fields) -> Result<Self> {
        let (mut tables, mut labels, mut names) = (Vec::new(), Vec::new(), None);
        for path in paths {
            let read = || -> Result<_> {
                let reader = Reader::open(&path)?;
                let columns = Columns::of(reader.metadata(), fields)?;
                let labels: Vec<_> = (0..reader.groups())
                    .map(|group| reader.labels(group, &columns))
                    .collect::<Result<_>>()?;
                Ok((columns, labels))
            };
            let (columns, read) = read().with_context(|| path.display().to_string())?;
            if let Some(own) = &columns.names {
                let first = names.get_or_insert_with(|| own.clone());
                ensure!(
                    first == own,
                    "{}: its classes are other ones than those of the files before it",
                    path.display()
                );
            }
            tables.push(Table { path, columns });
            labels.push(read);
        }
        Ok(Self { tables, labels, names })
    }

    fn all(&self) -> impl Iterator<Item = &Label> {
        self.labels.iter().flatten().flatten().flatten()
    }

    /// The names in the files; else numbers up to the largest label, or the names that are labels here, sorted.
    fn classes(&self, test: &Self) -> Vec<String> {
        if let Some(names) = self.names.as_ref().or(test.names.as_ref()) {
            return names.clone();
        }
        let number = |label: &Label| match label {
            Label::Number(number) => Some(*number),
            Label::Name(_) => None,
        };
        if let Some(largest) = self.all().chain(test.all()).filter_map(number).max() {
            return (0..=largest).map(|class| class.to_string()).collect();
        }
        let mut names: Vec<String> = self.all().filter_map(|label| label.name().map(str::to_owned)).collect();
        names.sort();
        names.dedup();
        names
    }

    fn files(self, classes: &[String]) -> Result<ImageFiles> {
        let numbers = numbered(classes);
        let mut files = ImageFiles::of_classes(classes);
        let (mut without, mut first) = (0, None);
        for ((table, groups), at) in self.tables.iter().zip(&self.labels).zip(0..) {
            for (labels, group) in groups.iter().zip(0..) {
                for (label, row) in labels.iter().zip(0..) {
                    let title = || format!("{}: row {row} of row group {group}", table.path.display());
                    let Some(label) = label else {
                        without += 1;
                        first.get_or_insert_with(title);
                        continue;
                    };
                    let number = match label {
                        Label::Number(number) => {
                            Some(*number).filter(|&number| number < classes.len() as i64)
                        }
                        Label::Name(name) => numbers.get(&**name).copied(),
                    };
                    let number = number.with_context(|| {
                        format!("{}: its label {label} is not one of the {} classes", title(), classes.len())
                    })?;
                    files.push_row([at, group, row], number);
                }
                files.end_shard();
            }
        }
        if let Some(first) = first {
            files.set_aside(without, first, "a row without a label");
        }
        files.set_tables(Tables::new(self.tables));
        Ok(files)
    }
}
