//! What is in a large archive, kept beside it: to find that out anew, all of the archive is gone through.

use super::listing::text;
use crate::atomic;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// The entries of smaller archives are found at once.
const LARGE: u64 = 256 << 20;
/// A longer file is not an index.
const MAX_BYTES: u64 = 8 << 30;

/// A file in an archive.
pub(super) struct Entry {
    pub path: String,
    /// Where its bytes begin in the archive.
    pub start: u64,
    pub size: u64,
}

/// The file of an archive's index.
pub(super) struct Index {
    path: PathBuf,
    /// Its first line: which state of the archive it is about.
    head: String,
}

impl Index {
    /// `None` for archives that need none.
    pub fn of(archive: &Path) -> Option<Self> {
        let metadata = fs::metadata(archive).ok().filter(|metadata| metadata.len() >= LARGE)?;
        let mut name = OsString::from(archive.file_name()?);
        name.push(".index");
        Some(Self { path: archive.with_file_name(name), head: head(&metadata)? })
    }

    /// The entries, if the archive has not changed since they were kept.
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

    /// Keeps the entries; where that is not possible, they are found again the next time.
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
