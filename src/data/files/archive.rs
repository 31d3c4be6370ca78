//! Tar archives mapped into memory: an index of their entries, and the bytes of any of them.

use super::index::{Entry, Index};
use anyhow::{Context, Result, ensure};
use memmap2::Mmap;
use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};

const BLOCK: u64 = 512;

/// A tar archive that stays packed.
pub(super) struct Archive {
    path: PathBuf,
    map: Mmap,
}

impl Archive {
    pub fn open(path: &Path) -> Result<Self> {
        let at = || format!("{}: cannot be opened", path.display());
        let file = File::open(path).with_context(at)?;
        // SAFETY: archives of data sets are written once; whoever cuts one under a running training ends it.
        let map = unsafe { Mmap::map(&file) }.with_context(at)?;
        Ok(Self { path: path.to_owned(), map })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All files in the archive, in its order, each tar archive among them followed by the files in it under its name:
    /// `a.tar`, `a.tar/1.jpg`. Only headers are read, and of a large archive they are read once.
    ///
    /// # Errors
    /// A file that is not a tar archive, or is cut off.
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
                    "cut within `{path}`: {size} bytes from {start} on are not all there"
                );
                end = last.unwrap_or_default().next_multiple_of(BLOCK);
                if entry.header().entry_type().is_file() {
                    entries.push(Entry { path, start: base + start, size });
                }
            }
            // Two empty blocks mark the end; without them one cannot know whether entries are missing.
            ensure!(end + BLOCK <= bytes.len() as u64, "cut: it has no end mark");
            Ok(entries)
        };
        index().with_context(|| {
            format!("{}: not a sound tar archive; remove it and fetch it again", self.path.display())
        })
    }

    /// Bytes of the archive.
    pub fn bytes(&self, start: u64, size: u64) -> Result<&[u8]> {
        let range =
            usize::try_from(start).ok().zip(start.checked_add(size).and_then(|end| end.try_into().ok()));
        range
            .and_then(|(start, end)| self.map.get(start..end))
            .with_context(|| format!("{}: cut since it was opened", self.path.display()))
    }

    /// What the entry whose bytes begin at `start` is called: the archive, and the name in the header before them.
    pub fn title(&self, start: u64) -> String {
        let name =
            start.checked_sub(BLOCK).and_then(|header| self.bytes(header, 100).ok()).unwrap_or_default();
        let name: Vec<u8> = name.iter().copied().take_while(|&byte| byte != 0).collect();
        format!("{}: {}", self.path.display(), String::from_utf8_lossy(&name))
    }
}
