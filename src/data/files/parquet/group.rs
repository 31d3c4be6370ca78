//! A file of Parquet and the columns of its row groups, within bounds.

use super::columns::{Column, Columns, Label};
use crate::data::image;
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{ByteArray, DataType};
use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Upper bound on a column of a row group, decoded: it is in memory as a whole.
const MAX_COLUMN_BYTES: i64 = 4 << 30;
/// Upper bound on the rows of a row group.
const MAX_ROWS: i64 = 10_000_000;
/// Upper bound on the name of a class.
const MAX_NAME_BYTES: usize = 1 << 16;

/// An open file.
pub(super) struct Reader(SerializedFileReader<File>);

/// The pictures of a row group, encoded.
pub(super) struct Group(Vec<Option<ByteArray>>);

impl Group {
    /// # Errors
    /// A row that the group does not have, or without a picture.
    pub fn picture(&self, row: usize) -> Result<Vec<u8>> {
        let bytes = self.0.get(row).context("the file has fewer rows than when it was opened")?;
        let bytes = bytes.as_ref().context("has no picture in it, but at most the path of one")?.data();
        ensure!(bytes.len() as u64 <= image::MAX_BYTES, "{} bytes are too many for an image", bytes.len());
        Ok(bytes.to_vec())
    }
}

impl Reader {
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("{}: cannot be opened", path.display()))?;
        let reader = guarded(|| Ok(SerializedFileReader::new(file)?));
        reader
            .map(Self)
            .with_context(|| format!("{}: not a valid file of Parquet; fetch it again", path.display()))
    }

    pub fn metadata(&self) -> &ParquetMetaData {
        self.0.metadata()
    }

    pub fn groups(&self) -> usize {
        self.0.num_row_groups()
    }

    pub fn labels(&self, group: usize, columns: &Columns) -> Result<Vec<Option<Label>>> {
        let Column { at, depth } = columns.label;
        let read = || -> Result<Vec<Option<Label>>> {
            let rows = self.rows(group, at)?;
            let number = |number: i64| -> Result<Label> {
                ensure!(
                    (0..10_000_000).contains(&number),
                    "the label {number} is not a class number; a test split without labels has -1"
                );
                Ok(Label::Number(number))
            };
            match self.0.get_row_group(group)?.get_column_reader(at)? {
                ColumnReader::Int64ColumnReader(reader) => each(values(reader, rows, depth)?, number),
                ColumnReader::Int32ColumnReader(reader) => {
                    each(values(reader, rows, depth)?, |value| number(i64::from(value)))
                }
                ColumnReader::ByteArrayColumnReader(reader) => each(values(reader, rows, depth)?, |name| {
                    ensure!(name.len() <= MAX_NAME_BYTES, "a label of {} bytes is too long", name.len());
                    Ok(Label::Name(name.as_utf8().context("a label is not UTF-8")?.into()))
                }),
                _ => bail!("labels are whole numbers or text, and these are neither"),
            }
        };
        guarded(read).with_context(|| format!("the labels of row group {group}"))
    }

    pub fn pictures(&self, group: usize, columns: &Columns) -> Result<Group> {
        let Column { at, depth } = columns.picture;
        let read = || -> Result<Group> {
            ensure!(group < self.groups(), "the file has fewer row groups than when it was opened");
            let rows = self.rows(group, at)?;
            match self.0.get_row_group(group)?.get_column_reader(at)? {
                ColumnReader::ByteArrayColumnReader(reader) => Ok(Group(values(reader, rows, depth)?)),
                _ => bail!("pictures are bytes, and these are not"),
            }
        };
        guarded(read).with_context(|| format!("the pictures of row group {group}"))
    }

    /// The rows of a row group, whose column has a size that can be.
    fn rows(&self, group: usize, column: usize) -> Result<usize> {
        let group = self.metadata().row_group(group);
        ensure!(column < group.num_columns(), "the file has fewer columns than when it was opened");
        let (column, rows) = (group.column(column), group.num_rows());
        ensure!((0..=MAX_ROWS).contains(&rows), "{rows} rows are too many");
        let size = column.uncompressed_size();
        ensure!(
            (0..=MAX_COLUMN_BYTES).contains(&size),
            "{size} bytes are too many for a column of a row group"
        );
        ensure!(column.num_values() == rows, "{} values in {rows} rows", column.num_values());
        Ok(usize::try_from(rows)?)
    }
}

/// The values of a flat column, `None` where there is none; those that are there have the definition level `depth`.
fn values<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    rows: usize,
    depth: i16,
) -> Result<Vec<Option<T::T>>> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let (mut read, mut all) = (0, Vec::new());
    while read < rows {
        values.clear();
        levels.clear();
        let definition = (depth > 0).then_some(&mut levels);
        let (more, _, _) = reader.read_records(rows - read, definition, None, &mut values)?;
        ensure!(more > 0, "{read} rows instead of {rows}");
        read += more;
        let mut there = values.drain(..);
        if depth == 0 {
            all.extend(there.by_ref().map(Some));
        } else {
            all.extend(levels.iter().map(|&level| if level == depth { there.next() } else { None }));
        }
    }
    ensure!(all.len() == rows, "{} values in {rows} rows", all.len());
    Ok(all)
}

fn each<T>(values: Vec<Option<T>>, label: impl Fn(T) -> Result<Label>) -> Result<Vec<Option<Label>>> {
    values.into_iter().map(|value| value.map(&label).transpose()).collect()
}

/// Bytes that make the reader of Parquet panic are an error as well.
fn guarded<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| bail!("damaged; fetch it again"))
}
