//! Atomic file writes: a file is complete or absent.

use anyhow::{Context, Result};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use tempfile::NamedTempFile;

/// How the names of files begin that are being written, or were when their process was killed.
pub(crate) const UNFINISHED: &str = ".tmp-";

/// Writes a file atomically: readers see the old content or the new, even after a crash.
///
/// # Errors
/// The folder is missing or not writable, or the disk is full; `path` is then unchanged.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| Ok(file.write_all(bytes)?))
}

/// Like [`write`], but `fill` writes the content, into a temporary file in the same folder.
pub(crate) fn write_with(path: &Path, fill: impl FnOnce(&mut NamedTempFile) -> Result<()>) -> Result<()> {
    let folder = folder(path);
    let replace = || -> Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(UNFINISHED);
        // The umask applies.
        #[cfg(unix)]
        builder.permissions(<std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        fill(&mut file)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        // The rename is durable only once the folder is synced.
        Ok(File::open(folder)?.sync_all()?)
    };
    replace().with_context(|| format!("{}: cannot be written", path.display()))
}

/// Renames a finished file to `to`, atomically and durably; both are on the same file system.
///
/// # Errors
/// `to` cannot be written; `from` then still exists.
#[cfg(feature = "hub")]
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    let rename = || -> Result<()> {
        File::open(from)?.sync_all()?;
        std::fs::rename(from, to)?;
        Ok(File::open(folder(to))?.sync_all()?)
    };
    rename().with_context(|| format!("{}: cannot be written", to.display()))
}

/// The folder that a file is in.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
