//! An index of a large archive, stored beside it: finding the entries means going through the whole archive.

use super::listing::text;
use crate::atomic;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Smaller archives are not indexed.
const MIN_INDEXED_BYTES: u64 = 256 << 20;
/// Upper bound on the size of an index.
const MAX_BYTES: u64 = 8 << 30;

/// A file in an archive.
pub(super) struct Entry {
    pub path: String,
    /// Offset of its bytes in the archive.
    pub start: u64,
    pub size: u64,
}

/// The index file of an archive.
pub(super) struct Index {
    path: PathBuf,
    /// Its first line, which identifies the state of the archive.
    head: String,
}

impl Index {
    /// `None` for archives that need no index.
    pub fn of(archive: &Path) -> Option<Self> {
        let metadata = fs::metadata(archive).ok().filter(|metadata| metadata.len() >= MIN_INDEXED_BYTES)?;
        let mut name = OsString::from(archive.file_name()?);
        name.push(".index");
        Some(Self { path: archive.with_file_name(name), head: head(&metadata)? })
    }

    /// The entries, if the archive has not changed since they were written.
    pub fn read(&self) -> Option<Vec<Entry>> {
        let text = text(&self.path, MAX_BYTES).ok()?;
        let mut lines = text.lines();
        if lines.next()? != self.head {
            return None;
        }
        let entry = |line: &str| {
            let mut parts = line.splitn(3, ' ');
            let (start, size) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            Some(Entry { start, size, path: parts.next()?.to_owned() })
        };
        lines.map(entry).collect()
    }

    /// Writes the entries. A failure is ignored: the archive is then read again the next time.
    pub fn write(&self, entries: &[Entry]) {
        let is_line = |entry: &Entry| !entry.path.contains(['\n', '\r']);
        if !entries.iter().all(is_line) {
            return;
        }
        let mut text = format!("{}\n", self.head);
        for Entry { start, size, path } in entries {
            text.push_str(&format!("{start} {size} {path}\n"));
        }
        let _ = atomic::write(&self.path, text.as_bytes());
    }
}

fn head(metadata: &Metadata) -> Option<String> {
    let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("tchvision index of {} bytes changed at {}", metadata.len(), changed.as_nanos()))
}
