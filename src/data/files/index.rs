//! An index of a large archive, stored beside it: finding the entries means going through the whole archive.

use super::listing::text;
use crate::atomic;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// The last line: without it some are missing.
const END: &str = "end\n";
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
    /// The index of an archive of at least `min` bytes with lines about something; `None` for smaller ones.
    pub fn of(archive: &Path, min: u64, about: &str) -> Option<Self> {
        let metadata = fs::metadata(archive).ok().filter(|metadata| metadata.len() >= min)?;
        let mut name = OsString::from(archive.file_name()?);
        name.push(".index");
        Some(Self { path: archive.with_file_name(name), head: head(&metadata, about)? })
    }

    /// What the lines say, if the archive has not changed since they were written.
    pub fn lines<T>(&self, line: impl FnMut(&str) -> Option<T>) -> Option<Vec<T>> {
        let text = text(&self.path, MAX_BYTES).ok()?;
        let mut lines = text.strip_suffix(END)?.lines();
        if lines.next()? != self.head {
            return None;
        }
        lines.map(line).collect()
    }

    /// Writes the lines. A failure is ignored: the archive is then read again the next time.
    pub fn write_lines(&self, lines: impl Iterator<Item = String>) {
        let mut text = format!("{}\n", self.head);
        for line in lines {
            if line.contains(['\n', '\r']) {
                return;
            }
            text.push_str(&line);
            text.push('\n');
        }
        text.push_str(END);
        let _ = atomic::write(&self.path, text.as_bytes());
    }

    /// The entries of an archive, if it has not changed since they were written.
    pub fn read(&self) -> Option<Vec<Entry>> {
        self.lines(|line| {
            let mut parts = line.splitn(3, ' ');
            let (start, size) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            Some(Entry { start, size, path: parts.next()?.to_owned() })
        })
    }

    /// As [`Self::write_lines`].
    pub fn write(&self, entries: &[Entry]) {
        self.write_lines(entries.iter().map(|Entry { start, size, path }| format!("{start} {size} {path}")));
    }
}

fn head(metadata: &Metadata, about: &str) -> Option<String> {
    let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("tchvision index of {} bytes changed at {}: {about}", metadata.len(), changed.as_nanos()))
}
