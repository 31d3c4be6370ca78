//! What files take on the disk.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Bytes of a file, or of all files in a folder.
///
/// # Errors
/// A folder that cannot be read.
pub fn size(path: &Path) -> Result<u64> {
    if !path.is_dir() {
        // A file that is not there, or goes meanwhile, takes nothing.
        return Ok(path.metadata().map_or(0, |metadata| metadata.len()));
    }
    let entries = fs::read_dir(path).with_context(|| format!("{}", path.display()))?;
    entries.map(|entry| size(&entry?.path())).sum()
}
