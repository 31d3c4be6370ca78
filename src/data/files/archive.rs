//! Tar archives: the list of entries, and the bytes of each.

use super::index::{Entry, Index};
use super::listing::spelled;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const BLOCK: u64 = 512;
/// Smaller archives have no index.
const MIN_INDEXED_BYTES: u64 = 256 << 20;

/// How compressed files begin, and what unpacks them in place.
const COMPRESSED: [(&[u8], &str); 4] = [
    (b"\x1f\x8b", "gzip (`gunzip`)"),
    (b"BZh", "bzip2 (`bunzip2`)"),
    (b"\xfd7zXZ\0", "xz (`unxz`)"),
    (b"\x28\xb5\x2f\xfd", "zstd (`unzstd`)"),
];

/// A tar archive, read in place.
pub(super) struct Archive {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Archive {
    pub fn open(path: &Path) -> Result<Self> {
        let at = || format!("{}: cannot be opened", path.display());
        let file = File::open(path).with_context(at)?;
        let length = file.metadata().with_context(at)?.len();
        let mut start = [0; 6];
        let read = file.read_at(&mut start, 0).with_context(at)?;
        let packed = COMPRESSED.iter().find(|(magic, _)| start[..read].starts_with(magic));
        if let Some((_, by)) = packed {
            let path = path.display();
            bail!("{path}: compressed with {by}, and archives are read in place; unpack it to a plain .tar");
        }
        Ok(Self { path: path.to_owned(), file, length })
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
        let index = Index::of(&self.path, MIN_INDEXED_BYTES, "entries");
        if let Some(entries) = index.as_ref().and_then(Index::read) {
            return Ok(entries);
        }
        let mut entries = Vec::new();
        for entry in self.within(0, self.length)? {
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
        let index = || -> Result<Vec<Entry>> {
            let mut file = &self.file;
            file.seek(SeekFrom::Start(base))?;
            let mut archive = tar::Archive::new(file.take(size));
            let (mut entries, mut end) = (Vec::new(), 0);
            for entry in archive.entries_with_seek()? {
                let entry = entry?;
                let (start, length) = (entry.raw_file_position(), entry.size());
                let path = spelled(&entry.path_bytes());
                let last = start.checked_add(length).filter(|last| *last <= size);
                ensure!(
                    last.is_some(),
                    "truncated in `{}`: its {length} bytes from {start} on are not all there",
                    path.escape_debug()
                );
                end = last.unwrap_or_default().next_multiple_of(BLOCK);
                if entry.header().entry_type().is_file() {
                    entries.push(Entry { path, start: base + start, size: length });
                }
            }
            // Two zero blocks mark the end; without them entries may be missing.
            ensure!(end + BLOCK <= size, "truncated: the end-of-archive marker is missing");
            Ok(entries)
        };
        index().with_context(|| {
            format!("{}: not a valid tar archive; remove it and fetch it again", self.path.display())
        })
    }

    /// `size` bytes of the archive from `start` on.
    ///
    /// # Errors
    /// Bytes that it does not have.
    pub fn bytes(&self, start: u64, size: u64) -> Result<Vec<u8>> {
        let at = || format!("{}: truncated; fetch it again", self.path.display());
        ensure!(start.checked_add(size).is_some_and(|end| end <= self.length), at());
        let mut bytes = vec![0; usize::try_from(size)?];
        self.file.read_exact_at(&mut bytes, start).with_context(at)?;
        Ok(bytes)
    }

    /// The name of the entry whose bytes begin at `start`: the archive, and the name in the entry's header.
    pub fn title(&self, start: u64) -> String {
        let name =
            start.checked_sub(BLOCK).and_then(|header| self.bytes(header, 100).ok()).unwrap_or_default();
        let name: Vec<u8> = name.iter().copied().take_while(|&byte| byte != 0).collect();
        format!("{}: {}", self.path.display(), spelled(&name))
    }
}
