//! Manifests: a table with a row a picture and named columns, as CSV, TSV or JSON lines.

use super::fields::Fields;
use super::halves::Half;
use super::labels::Classes;
use super::listing::{either, first, spelled, text_bytes};
use super::{FileSplits, ImageFiles};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What the columns may be called, the first of them that is there.
const PATH: &[&str] = &["path", "file_name", "filename", "file", "image", "image_path", "filepath"];
const LABEL: &[&str] = &["label", "class", "category", "target"];
const SPLIT: &[&str] = &["split", "subset", "set"];
/// Names of one table for both halves in a folder.
const WHOLE: &[&str] =
    &["manifest.csv", "manifest.jsonl", "labels.csv", "labels.jsonl", "metadata.csv", "metadata.jsonl"];
/// Names of a half's own table; paths are relative to its folder.
const TRAIN: &[&str] = &["train.csv", "train.jsonl", "train/metadata.csv", "train/metadata.jsonl"];
const VAL: &[&str] = &[
    "val.csv",
    "val.jsonl",
    "validation.csv",
    "validation.jsonl",
    "test.csv",
    "test.jsonl",
    "val/metadata.csv",
    "val/metadata.jsonl",
    "validation/metadata.csv",
    "validation/metadata.jsonl",
    "test/metadata.csv",
    "test/metadata.jsonl",
];
/// Upper bound on the size of a table.
const MAX_BYTES: u64 = 8 << 30;

/// Whether a folder has a table that is found there by its name.
#[cfg(feature = "hub")]
pub(super) fn is_in(dir: &Path) -> bool {
    [WHOLE, TRAIN].iter().any(|names| first(dir, names).is_some())
}

/// A table `FILE` with a column `split`, or a folder with such a table or one a half. Paths are relative to the table.
pub(super) fn splits(at: &Path, fields: &Fields) -> Result<FileSplits> {
    let (train, test) = if at.is_dir() && first(at, WHOLE).is_none() {
        let half = |names: &[&str]| Table::read(&either(at, names)?, fields);
        (half(TRAIN)?, half(VAL)?)
    } else {
        let path = if at.is_dir() { either(at, WHOLE)? } else { at.to_owned() };
        Table::read(&path, fields)?.halves()?
    };
    let dir = if at.is_dir() { at } else { at.parent().unwrap_or(Path::new("")) };
    let classes = Classes::of(dir, fields.classes.as_deref(), &train.labels, &test.labels)?;
    Ok(FileSplits { train: train.files(&classes)?, test: test.files(&classes)? })
}

/// The rows of a table, or of one half of it.
struct Table {
    path: PathBuf,
    /// Each label once.
    labels: Vec<String>,
    rows: Vec<Row>,
    /// The first row of a test half that is not tested on, and how many there are.
    left_out: Option<(usize, String)>,
}

struct Row {
    /// Counted from 1.
    line: u64,
    picture: Box<OsStr>,
    /// The place of its label in the table's list.
    label: u32,
    half: Option<Half>,
}

impl Table {
    fn read(path: &Path, fields: &Fields) -> Result<Self> {
        let columns = Columns::of(fields);
        let bytes = text_bytes(path, MAX_BYTES)?;
        let mut table = Self { path: path.to_owned(), labels: Vec::new(), rows: Vec::new(), left_out: None };
        let mut known = HashMap::new();
        let mut add = |line: u64, picture: &[u8], label: &str, split: Option<&str>| -> Result<()> {
            let label = label.trim();
            ensure!(!picture.is_empty(), "the path of its picture is empty");
            ensure!(!label.is_empty(), "`{}` has no label", spelled(picture));
            let half = split.map(|split| {
                let known = Half::of(split)?;
                known.with_context(|| format!("the split `{split:.40}` is none of train, val and test"))
            });
            let next = known.len() as u32;
            let label = *known.entry(label.to_owned()).or_insert_with(|| {
                table.labels.push(label.to_owned());
                next
            });
            let picture = OsStr::from_bytes(picture).into();
            table.rows.push(Row { line, picture, label, half: half.transpose()? });
            Ok(())
        };
        match path.extension().and_then(OsStr::to_str) {
            Some("csv") => separated(&bytes, b',', &columns, &mut add),
            Some("tsv") => separated(&bytes, b'\t', &columns, &mut add),
            Some("jsonl" | "ndjson") => json_lines(&bytes, &columns, &mut add),
            _ => {
                bail!("{}: not a table by its name; those of tables end in csv, tsv or jsonl", path.display())
            }
        }
        .map_err(|(line, error)| error.context(format!("{}:{line}", path.display())))?;
        ensure!(!table.rows.is_empty(), "{}: no rows", path.display());
        Ok(table)
    }

    /// The rows to train on and those to test on: the validation half, else the test half.
    fn halves(self) -> Result<(Self, Self)> {
        let Self { path, labels, rows, .. } = self;
        if let Some(row) = rows.iter().find(|row| row.half.is_none()) {
            bail!(
                "{}:{}: says not which split it is of; add a column `split` with train and val, or have a table for each, \
                 train.csv and val.csv, and give their folder",
                path.display(),
                row.line
            );
        }
        let tested = if rows.iter().any(|row| row.half == Some(Half::Val)) { Half::Val } else { Half::Test };
        let (mut train, mut test, mut left_out) = (Vec::new(), Vec::new(), None);
        for row in rows {
            match row.half {
                Some(Half::Train) => train.push(row),
                half if half == Some(tested) => test.push(row),
                _ => {
                    let first = || format!("{}:{}", path.display(), row.line);
                    left_out.get_or_insert_with(|| (0, first())).0 += 1;
                }
            }
        }
        for (rows, half) in [(&train, "train"), (&test, "val")] {
            ensure!(!rows.is_empty(), "{}: no rows of the split `{half}`", path.display());
        }
        let half = |rows, left_out| {
            let mut half = Self { path: path.clone(), labels: labels.clone(), rows, left_out };
            half.used();
            half
        };
        Ok((half(train, None), half(test, left_out)))
    }

    /// Keeps the labels that rows have.
    fn used(&mut self) {
        let used: BTreeSet<u32> = self.rows.iter().map(|row| row.label).collect();
        let places: HashMap<u32, u32> = used.iter().copied().zip(0..).collect();
        self.labels = used.iter().map(|&label| std::mem::take(&mut self.labels[label as usize])).collect();
        self.rows.iter_mut().for_each(|row| row.label = places[&row.label]);
    }

    fn files(self, classes: &Classes) -> Result<ImageFiles> {
        let numbers: Vec<Option<i64>> = self.labels.iter().map(|text| classes.number(text)).collect();
        let mut files = ImageFiles::of_classes(&classes.names);
        let folder = files.folder(self.path.parent().unwrap_or(Path::new("")).to_owned());
        for Row { line, picture, label, .. } in self.rows {
            let number = numbers[label as usize].with_context(|| {
                let label = &self.labels[label as usize];
                format!(
                    "{}:{line}: `{label:.80}` is not one of the {} classes",
                    self.path.display(),
                    classes.names.len()
                )
            })?;
            files.push_file(folder, &picture, number);
        }
        if let Some((count, first)) = self.left_out {
            files.set_aside(count, first, "a row of the split `test`, and `val` is what is tested on");
        }
        Ok(files)
    }
}

/// Takes a row: line, path, label, split.
type Add<'a> = dyn FnMut(u64, &[u8], &str, Option<&str>) -> Result<()> + 'a;
/// An error and its line.
type AtLine<T> = Result<T, (u64, anyhow::Error)>;

/// What the columns may be called, the first of them that is there.
struct Columns<'a> {
    path: Vec<&'a str>,
    label: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(fields: &'a Fields) -> Self {
        let or = |given: &'a Option<String>, usual: &[&'a str]| match given {
            Some(name) => vec![name.as_str()],
            None => usual.to_vec(),
        };
        Self { path: or(&fields.picture, PATH), label: or(&fields.label, LABEL) }
    }
}

/// Tables whose first row names the columns.
fn separated(bytes: &[u8], delimiter: u8, columns: &Columns, add: &mut Add) -> AtLine<()> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(bytes);
    let line_of = |error: &csv::Error| line_at(bytes, error.position());
    let header = reader.byte_headers().map_err(|error| (line_of(&error), error.into()))?.clone();
    let header: Vec<String> = header.iter().map(|name| spelled(name).to_lowercase()).collect();
    let column = |names: &[&str]| {
        names.iter().find_map(|name| header.iter().position(|known| *known == name.to_lowercase()))
    };
    let needed = |names: &[&str], what: &str| {
        column(names).with_context(|| lacks(names, what, &header.join(", "))).map_err(|error| (1, error))
    };
    let (path, text, split) =
        (needed(&columns.path, "path")?, needed(&columns.label, "label")?, column(SPLIT));
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| (line_of(&error), error.into()))? {
        let line = line_at(bytes, record.position());
        let cell = |column: usize| record.get(column).unwrap_or_default();
        let split = split.map(|column| spelled(cell(column)));
        add(line, cell(path), &spelled(cell(text)), split.as_deref()).map_err(|error| (line, error))?;
    }
    Ok(())
}

/// The line of a row, whose place may be before the end of the line above it, or before empty lines.
fn line_at(bytes: &[u8], place: Option<&csv::Position>) -> u64 {
    let Some(place) = place else { return 1 };
    let rest = usize::try_from(place.byte()).ok().and_then(|start| bytes.get(start..)).unwrap_or_default();
    let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    place.line() + ends.filter(|byte| **byte == b'\n').count() as u64
}

/// One JSON object a line.
fn json_lines(bytes: &[u8], columns: &Columns, add: &mut Add) -> AtLine<()> {
    for (line, text) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        if !text.trim_ascii().is_empty() {
            json_row(line, text, columns, add).map_err(|error| (line, error))?;
        }
    }
    Ok(())
}

fn json_row(line: u64, text: &[u8], columns: &Columns, add: &mut Add) -> Result<()> {
    let row: serde_json::Map<String, Value> = serde_json::from_slice(text).context("not a JSON object")?;
    let field = |names: &[&str]| names.iter().find_map(|name| row.get(*name));
    let all = || row.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let path =
        field(&columns.path).and_then(Value::as_str).with_context(|| lacks(&columns.path, "path", &all()))?;
    let label = match field(&columns.label).with_context(|| lacks(&columns.label, "label", &all()))? {
        Value::String(name) => name.clone(),
        Value::Number(number) if number.is_u64() => number.to_string(),
        other => bail!("its label {:.40} is neither the name nor the number of a class", other.to_string()),
    };
    let split = field(SPLIT).and_then(Value::as_str);
    add(line, path.as_bytes(), &label, split)
}

fn lacks(names: &[&str], what: &str, there: &str) -> String {
    format!("no column for the {what}: one of {}; there are {there:.200}", names.join(", "))
}
