//! Files that are there whole or not at all.

use anyhow::{Context, Result};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use tempfile::NamedTempFile;

/// Puts `bytes` at `path` in one step; whoever reads it sees the old file or the new one, also after a crash.
///
/// # Errors
/// The folder is missing or not writable, or the disk is full; `path` is then as it was.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| Ok(file.write_all(bytes)?))
}

/// As [`write`], with the content written by `fill` into a temporary file in the same folder.
pub(crate) fn write_with(path: &Path, fill: impl FnOnce(&mut NamedTempFile) -> Result<()>) -> Result<()> {
    let folder = folder(path);
    let replace = || -> Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".tmp-");
        #[cfg(unix)]
        builder.permissions(<std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666)); // the umask applies
        let mut file = builder.tempfile_in(folder)?;
        fill(&mut file)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        // The rename itself is on disk only once the folder is.
        Ok(File::open(folder)?.sync_all()?)
    };
    replace().with_context(|| format!("{}: cannot be written", path.display()))
}

/// Gives a finished file its name, in one step and lasting; both are in the same folder or file system.
///
/// # Errors
/// `to` cannot be written; `from` is then still there.
#[cfg(feature = "hub")]
pub(crate) fn place(from: &Path, to: &Path) -> Result<()> {
    let place = || -> Result<()> {
        File::open(from)?.sync_all()?;
        std::fs::rename(from, to)?;
        Ok(File::open(folder(to))?.sync_all()?)
    };
    place().with_context(|| format!("{}: cannot be placed", to.display()))
}

/// The folder that a file is in.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
