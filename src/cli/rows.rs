//! Rows that a long work leaves in a file as it goes, JSON lines or CSV; started again, it goes on behind them.

use anyhow::{Context, Error, Result, bail};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tchvision::Usage;

/// Why there is nothing else in a row, where it is of something that could not be read.
const ERROR: &str = "error";

/// A file of rows: objects of these columns, one for each name, which is the first of them.
pub struct Rows {
    path: PathBuf,
    file: File,
    is_csv: bool,
    columns: Vec<String>,
    /// How often each name has a row already.
    done: HashMap<String, usize>,
}

impl Rows {
    /// Opens `path`, `.csv` or `.jsonl`, or goes on in it: a last row that is torn is cut off. `same` is what all rows have
    /// in common, such as the model; `each` hears of every row that is there, its values by their columns.
    ///
    /// # Errors
    /// Another ending ([`Usage`]), a file with other columns or of something else, one that cannot be written, or to which
    /// another process writes.
    pub fn open(path: &Path, columns: &[String], same: &[(&str, String)], each: Each) -> Result<Self> {
        let at = || path.display().to_string();
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let is_csv = match ending.as_str() {
            "csv" => true,
            "jsonl" | "ndjson" => false,
            _ => bail!(Usage(format!("{}: rows go to a file that ends in .jsonl or .csv", at()))),
        };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut rows = Self {
            path: path.to_owned(),
            file: file.with_context(|| format!("{}: cannot be written", at()))?,
            is_csv,
            columns: columns.to_vec(),
            done: HashMap::new(),
        };
        if let Err(TryLockError::WouldBlock) = rows.file.try_lock() {
            bail!("{}: another process writes to it", at());
        }
        let end = if is_csv { rows.read_csv(same, each) } else { rows.read_lines(same, each) };
        let end = end.with_context(at)?;
        rows.file.set_len(end)?;
        rows.file.seek(SeekFrom::End(0))?;
        if is_csv && end == 0 {
            rows.write(&rows.titles()?)?;
        }
        Ok(rows)
    }

    fn titles(&self) -> Result<Vec<u8>> {
        csv_line(&self.columns.iter().map(|title| Value::from(title.as_str())).collect::<Vec<_>>())
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.done.values().sum()
    }

    /// Whether this name has a row of before; each row stands for one of the things that have its name.
    pub fn take(&mut self, name: &str) -> bool {
        let left = self.done.get_mut(name).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }

    /// The names of rows that no thing has taken.
    pub fn not_taken(&self) -> impl Iterator<Item = &str> {
        self.done.iter().filter(|(_, left)| **left > 0).map(|(name, _)| name.as_str())
    }

    /// Adds a row, an object; it is in the file when this returns. In CSV the objects of a list have columns with numbers:
    /// `class_1`.
    pub fn add(&mut self, row: &Value) -> Result<()> {
        let line = if self.is_csv {
            let row = flat(row);
            let cell = |column: &String| row.get(column).cloned().unwrap_or_default();
            csv_line(&self.columns.iter().map(cell).collect::<Vec<_>>())?
        } else {
            let mut line = serde_json::to_vec(row)?;
            line.push(b'\n');
            line
        };
        self.write(&line)
    }

    fn write(&mut self, line: &[u8]) -> Result<()> {
        self.file.write_all(line).with_context(|| format!("{}: cannot be written", self.path.display()))
    }

    /// Counts the rows that are whole; returns where the last one ends.
    fn read_lines(&mut self, same: &[(&str, String)], each: Each) -> Result<u64> {
        let (mut end, mut line) = (0, Vec::new());
        let mut reader = BufReader::new(&self.file);
        for number in 1.. {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)?;
            if line.pop_if(|last| *last == b'\n').is_none() {
                break;
            }
            let row: Value = serde_json::from_slice(&line)
                .ok()
                .filter(Value::is_object)
                .with_context(|| format!("line {number} is no row of this program; choose another file"))?;
            let row = flat(&row);
            let text = |column: &str| row.get(column).map_or(String::new(), cell_text);
            check(same, &text)?;
            if !row.contains_key(ERROR) {
                let there: HashSet<&str> = row.keys().map(String::as_str).collect();
                let here = self.columns.iter().map(String::as_str).filter(|column| *column != ERROR);
                if there != here.collect() {
                    return Err(other_columns(row.keys().map(String::as_str)));
                }
            }
            each(&text)?;
            *self.done.entry(text(&self.columns[0])).or_default() += 1;
            end += length as u64;
        }
        torn(&line, format!("{{\"{}\":\"", self.columns[0]).as_bytes())?;
        Ok(end)
    }

    fn read_csv(&mut self, same: &[(&str, String)], each: Each) -> Result<u64> {
        let end = end_of_csv(BufReader::new(&self.file))?;
        self.file.rewind()?;
        if end == 0 {
            let titles = self.titles()?;
            let mut start = Vec::new();
            (&self.file).take(titles.len() as u64).read_to_end(&mut start)?;
            torn(&start, &titles)?;
            return Ok(0);
        }
        let mut reader = csv::Reader::from_reader(BufReader::new((&self.file).take(end)));
        let titles = reader.headers()?.clone();
        if titles.iter().ne(self.columns.iter().map(String::as_str)) {
            return Err(other_columns(titles.iter()));
        }
        let place = |column: &str| self.columns.iter().position(|title| title == column).unwrap_or(0);
        for record in reader.records() {
            let record = record.context("a row is not of this program; choose another file")?;
            let text = |column: &str| record.get(place(column)).unwrap_or_default().to_owned();
            check(same, &text)?;
            each(&text)?;
            *self.done.entry(text(&self.columns[0])).or_default() += 1;
        }
        Ok(end)
    }
}

/// Where the last whole row of a CSV file ends: a line's end within quotes is none.
fn end_of_csv(mut file: impl BufRead) -> Result<u64> {
    let (mut end, mut place, mut is_quoted) = (0, 0, false);
    let mut line = Vec::new();
    loop {
        line.clear();
        place += file.read_until(b'\n', &mut line)? as u64;
        is_quoted ^= line.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
        if line.last() != Some(&b'\n') {
            return Ok(end);
        }
        if !is_quoted {
            end = place;
        }
    }
}

/// What is not a whole row must be the start of one: nothing else is cut off.
fn torn(rest: &[u8], start: &[u8]) -> Result<()> {
    let length = rest.len().min(start.len());
    if rest[..length] != start[..length] {
        bail!(Usage("there is something else in it; choose another file".into()));
    }
    Ok(())
}

fn other_columns<'a>(there: impl Iterator<Item = &'a str>) -> Error {
    let there = there.collect::<Vec<_>>().join(",");
    Usage(format!("it has the columns {there}; choose another file")).into()
}

/// Hears of a row, its values by their columns.
type Each<'a> = &'a mut dyn FnMut(&dyn Fn(&str) -> String) -> Result<()>;

/// What all rows have in common is what these have.
fn check(same: &[(&str, String)], row: &dyn Fn(&str) -> String) -> Result<()> {
    for (column, here) in same {
        let there = row(column);
        if there != *here {
            bail!(Usage(format!("its rows are of {column} `{there}`, not of `{here}`; choose another file")));
        }
    }
    Ok(())
}

/// The values of an object, and of the objects in its lists under numbered names.
fn flat(row: &Value) -> Map<String, Value> {
    let mut cells = Map::new();
    for (name, value) in row.as_object().into_iter().flatten() {
        match value {
            Value::Array(items) => {
                for (item, number) in items.iter().zip(1..) {
                    let parts = item.as_object().into_iter().flatten();
                    cells.extend(parts.map(|(part, value)| (format!("{part}_{number}"), value.clone())));
                }
            }
            value => {
                cells.insert(name.clone(), value.clone());
            }
        }
    }
    cells
}

fn cell_text(cell: &Value) -> String {
    match cell {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn csv_line(cells: &[Value]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells.iter().map(cell_text))?;
    writer.into_inner().map_err(|error| error.into_error().into())
}
