//! Rows that a long work leaves in a file as it goes, JSON lines or CSV; started again, it goes on behind them.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tchvision::Usage;

/// The name of what a row is of.
const NAME: &str = "image";

/// A file of rows: objects of these columns, one for each name.
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
    /// Another ending ([`Usage`]), a file with other columns or of something else, or one that cannot be written.
    pub fn open(path: &Path, columns: &[String], same: &[(&str, &str)], each: Each) -> Result<Self> {
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
        let end =
            if is_csv { rows.read_csv(same, each) } else { rows.read_lines(same, each) }.with_context(at)?;
        rows.file.set_len(end)?;
        rows.file.seek(SeekFrom::End(0))?;
        if is_csv && end == 0 {
            let titles = columns.iter().map(|title| Value::from(title.as_str())).collect::<Vec<_>>();
            rows.write(&csv_line(&titles)?)?;
        }
        Ok(rows)
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
    fn read_lines(&mut self, same: &[(&str, &str)], each: Each) -> Result<u64> {
        let (mut end, mut line) = (0, Vec::new());
        let mut reader = BufReader::new(&self.file);
        for number in 1.. {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)?;
            if line.pop() != Some(b'\n') {
                break;
            }
            let row: Map<String, Value> = serde_json::from_slice(&line)
                .with_context(|| format!("line {number} is no row of this program; choose another file"))?;
            let text = |column: &str| row.get(column).map_or(String::new(), cell_text);
            check(same, &text)?;
            each(&text)?;
            *self.done.entry(text(NAME)).or_default() += 1;
            end += length as u64;
        }
        Ok(end)
    }

    fn read_csv(&mut self, same: &[(&str, &str)], each: Each) -> Result<u64> {
        let length = self.file.metadata()?.len();
        let mut reader = csv::ReaderBuilder::new().from_reader(BufReader::new(&self.file));
        let titles = reader.headers()?.clone();
        // The file's last byte tells whether the last row is whole: each is written at once, its end last.
        let mut end = reader.position().byte();
        if end == 0 || (titles.len() == 1 && titles[0].is_empty()) || !ends_a_line(&self.file, end)? {
            return Ok(0);
        }
        if titles.iter().ne(self.columns.iter().map(String::as_str)) {
            bail!(Usage(format!(
                "it has the columns {}; choose another file",
                titles.iter().collect::<Vec<_>>().join(",")
            )));
        }
        let place = |column: &str| self.columns.iter().position(|title| title == column).unwrap_or(0);
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).unwrap_or(false) {
            let next = reader.position().byte();
            if next == length && !ends_a_line(&self.file, length)? {
                break;
            }
            let text = |column: &str| record.get(place(column)).unwrap_or_default().to_owned();
            check(same, &text)?;
            each(&text)?;
            *self.done.entry(record[place(NAME)].to_owned()).or_default() += 1;
            end = next;
        }
        Ok(end)
    }
}

/// Hears of a row, its values by their columns.
type Each<'a> = &'a mut dyn FnMut(&dyn Fn(&str) -> String) -> Result<()>;

/// What all rows have in common is what these have.
fn check(same: &[(&str, &str)], row: &dyn Fn(&str) -> String) -> Result<()> {
    for (column, here) in same {
        let there = row(column);
        if there != *here {
            bail!(Usage(format!("its rows are of {column} `{there}`, not of `{here}`; choose another file")));
        }
    }
    Ok(())
}

/// Whether the byte before `end` is a line's end.
fn ends_a_line(file: &File, end: u64) -> Result<bool> {
    let mut reader = file.try_clone()?;
    let before = reader.stream_position()?;
    reader.seek(SeekFrom::Start(end.saturating_sub(1)))?;
    let mut byte = [0];
    let read = std::io::Read::read(&mut reader, &mut byte)?;
    reader.seek(SeekFrom::Start(before))?;
    Ok(read == 1 && byte[0] == b'\n')
}

/// The values of an object, and of the objects in its lists under numbered names.
fn flat(row: &Value) -> HashMap<String, Value> {
    let mut cells = HashMap::new();
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
