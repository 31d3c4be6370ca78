//! The files of a split, of which a few row groups are in memory.

use super::columns::Columns;
use super::group::{Group, Reader};
use crate::{locked, machine};
use anyhow::{Error, Result};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

/// Row groups that are kept beside one a thread.
const SPARE_GROUPS: usize = 2;

/// A file, and where its pictures are.
pub(super) struct Table {
    pub path: PathBuf,
    pub columns: Columns,
}

/// The files of a split, and the row groups that were read last.
#[derive(Default)]
pub(in crate::data::files) struct Tables {
    tables: Vec<Table>,
    kept: Mutex<VecDeque<([u32; 2], Kept)>>,
}

/// A row group, once it is read, or why it cannot be.
type Kept = Arc<OnceLock<Result<Group, String>>>;

impl Tables {
    pub(super) fn new(tables: Vec<Table>) -> Self {
        Self { tables, kept: Mutex::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    pub fn title(&self, table: u32, group: u32, row: u32) -> String {
        format!("{}: row {row} of row group {group}", self.tables[table as usize].path.display())
    }

    /// The encoded bytes of a picture.
    ///
    /// # Errors
    /// A file that has changed, is damaged or cannot be read; a row without a picture.
    pub fn picture(&self, table: u32, group: u32, row: u32) -> Result<Vec<u8>> {
        let kept = self.group([table, group]);
        let read = kept.get_or_init(|| {
            let Table { path, columns } = &self.tables[table as usize];
            let read = Reader::open(path).and_then(|reader| reader.pictures(group as usize, columns));
            read.map_err(|error| format!("{error:#}"))
        });
        read.as_ref().map_err(|error| Error::msg(error.clone()))?.picture(row as usize)
    }

    /// A row group that is kept, or room for it in place of the one that was not used for longest.
    fn group(&self, key: [u32; 2]) -> Kept {
        let mut kept = locked(&self.kept);
        let found = kept.iter().position(|(known, _)| *known == key).and_then(|place| kept.remove(place));
        let (_, group) = found.unwrap_or_default();
        kept.push_back((key, Arc::clone(&group)));
        if kept.len() > machine::cores() + SPARE_GROUPS {
            kept.pop_front();
        }
        group
    }
}
