//! Tar archives: an index of their entries, and the bytes of any of them.

use super::index::Index;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const BLOCK: u64 = 512;

/// A tar archive that stays packed.
pub(super) struct Archive {
    path: PathBuf,
    file: File,
    length: u64,
}

/// A file in an archive.
pub(super) struct Entry {
    pub path: String,
    /// Where its bytes begin in the archive.
    pub start: u64,
    pub size: u64,
}

impl Archive {
    pub fn open(path: &Path) -> Result<Self> {
        let at = || format!("{}: cannot be opened", path.display());
        let file = File::open(path).with_context(at)?;
        let length = file.metadata().with_context(at)?.len();
        Ok(Self { path: path.to_owned(), file, length })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All files in the archive, in its order, each tar archive among them followed by the files in it under its name:
    /// `a.tar`, `a.tar/1.jpg`. Only headers are read, and of a large archive they are read once.
    ///
    /// # Errors
    /// An archive that is cut or is none.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let index = Index::of(&self.path);
        if let Some(entries) = index.as_ref().and_then(Index::read) {
            return Ok(entries);
        }
        let mut entries = Vec::new();
        for entry in self.within(0, self.length)? {
            let inner = match entry.path.ends_with(".tar") {
                true => self.within(entry.start, entry.size).with_context(|| format!("`{}`", entry.path))?,
                false => Vec::new(),
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
        let index = || -> Result<Vec<Entry>> {
            let mut file = &self.file;
            file.seek(SeekFrom::Start(base))?;
            let mut archive = tar::Archive::new(file.take(size));
            let (mut entries, mut end) = (Vec::new(), 0);
            for entry in archive.entries_with_seek()? {
                let entry = entry?;
                let (start, length) = (entry.raw_file_position(), entry.size());
                let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                let last = start.checked_add(length).filter(|last| *last <= size);
                ensure!(
                    last.is_some(),
                    "cut within `{path}`: {length} bytes from {start} on are not all there"
                );
                end = last.unwrap_or_default().next_multiple_of(BLOCK);
                if entry.header().entry_type().is_file() {
                    entries.push(Entry { path, start: base + start, size: length });
                }
            }
            // Two empty blocks mark the end; without them one cannot know whether entries are missing.
            ensure!(end + BLOCK <= size, "cut: it has no end mark");
            Ok(entries)
        };
        index().with_context(|| {
            format!("{}: not a sound tar archive; remove it and fetch it again", self.path.display())
        })
    }

    /// Bytes of the archive.
    ///
    /// # Errors
    /// Bytes that it does not have.
    pub fn bytes(&self, start: u64, size: u64) -> Result<Vec<u8>> {
        let at = || format!("{}: cut since it was opened", self.path.display());
        ensure!(start.checked_add(size).is_some_and(|end| end <= self.length), at());
        let mut bytes = vec![0; usize::try_from(size)?];
        self.file.read_exact_at(&mut bytes, start).with_context(at)?;
        Ok(bytes)
    }

    /// What the entry whose bytes begin at `start` is called: the archive, and the name in the header before them.
    pub fn title(&self, start: u64) -> String {
        let name =
            start.checked_sub(BLOCK).and_then(|header| self.bytes(header, 100).ok()).unwrap_or_default();
        let name: Vec<u8> = name.iter().copied().take_while(|&byte| byte != 0).collect();
        format!("{}: {}", self.path.display(), String::from_utf8_lossy(&name))
    }
}
