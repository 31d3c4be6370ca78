//! Memory-mapped tar archives: the list of entries, and the bytes of each.

use super::index::{Entry, Index};
use anyhow::{Context, Result, ensure};
use memmap2::Mmap;
use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};

const BLOCK: u64 = 512;

/// A tar archive, read in place.
pub(super) struct Archive {
    path: PathBuf,
    map: Mmap,
}

impl Archive {
    pub fn open(path: &Path) -> Result<Self> {
        let at = || format!("{}: cannot be opened", path.display());
        let file = File::open(path).with_context(at)?;
        // SAFETY: archives of data sets are written once; truncating a mapped one kills the process.
        let map = unsafe { Mmap::map(&file) }.with_context(at)?;
        Ok(Self { path: path.to_owned(), map })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All files in the archive, in its order; a nested tar archive is followed by its files, prefixed by its
    /// name: `a.tar`, `a.tar/1.jpg`. Reads headers only, and those of a large archive only once.
    ///
    /// # Errors
    /// A file that is truncated or not a tar archive.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let index = Index::of(&self.path);
        if let Some(entries) = index.as_ref().and_then(Index::read) {
            return Ok(entries);
        }
        let mut entries = Vec::new();
        for entry in self.within(0, self.map.len() as u64)? {
            let inner = if entry.path.ends_with(".tar") {
                self.within(entry.start, entry.size).with_context(|| format!("`{}`", entry.path))?
            } else {
                Vec::new()
            };
            let below = |inner: Entry| Entry { path: format!("{}/{}", entry.path, inner.path), ..inner };
            let inner: Vec<Entry> = inner.into_iter().map(below).collect();
            entries.push(entry);
            entries.extend(inner);
        }
        if let Some(index) = index {
            index.write(&entries);
        }
        Ok(entries)
    }

    fn within(&self, base: u64, size: u64) -> Result<Vec<Entry>> {
        let bytes = self.bytes(base, size)?;
        let index = || -> Result<Vec<Entry>> {
            let mut archive = tar::Archive::new(Cursor::new(bytes));
            let (mut entries, mut end) = (Vec::new(), 0);
            for entry in archive.entries_with_seek()? {
                let entry = entry?;
                let (start, size) = (entry.raw_file_position(), entry.size());
                let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                let last = start.checked_add(size).filter(|last| *last <= bytes.len() as u64);
                ensure!(
                    last.is_some(),
                    "truncated in `{path}`: its {size} bytes from {start} on are not all there"
                );
                end = last.unwrap_or_default().next_multiple_of(BLOCK);
                if entry.header().entry_type().is_file() {
                    entries.push(Entry { path, start: base + start, size });
                }
            }
            // Two zero blocks mark the end; without them entries may be missing.
            ensure!(end + BLOCK <= bytes.len() as u64, "truncated: the end-of-archive marker is missing");
            Ok(entries)
        };
        index().with_context(|| {
            format!("{}: not a valid tar archive; remove it and fetch it again", self.path.display())
        })
    }

    /// `size` bytes of the archive from `start` on.
    pub fn bytes(&self, start: u64, size: u64) -> Result<&[u8]> {
        let range =
            usize::try_from(start).ok().zip(start.checked_add(size).and_then(|end| end.try_into().ok()));
        range
            .and_then(|(start, end)| self.map.get(start..end))
            .with_context(|| format!("{}: truncated; fetch it again", self.path.display()))
    }

    /// The name of the entry whose bytes begin at `start`: the archive, and the name in the entry's header.
    pub fn title(&self, start: u64) -> String {
        let name =
            start.checked_sub(BLOCK).and_then(|header| self.bytes(header, 100).ok()).unwrap_or_default();
        let name: Vec<u8> = name.iter().copied().take_while(|&byte| byte != 0).collect();
        format!("{}: {}", self.path.display(), String::from_utf8_lossy(&name))
    }
}
