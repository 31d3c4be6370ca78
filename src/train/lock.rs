//! A lock file, so that no two processes work in one directory.

use anyhow::{Context, Result, bail};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long to wait for a lock that is held: its owner may be about to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes the lock; it is held for as long as the file is open.
///
/// # Errors
/// Another process holds it.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("{}: cannot be created", path.display()))?;
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if since.elapsed() < PATIENCE => sleep(Duration::from_millis(50)),
            Err(TryLockError::WouldBlock) => bail!(
                "{}: another process trains there; wait for it, or choose another directory",
                path.parent().unwrap_or(path).display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("{}: cannot be locked", path.display()));
            }
        }
    }
}

/// Whether a process holds the lock.
pub(crate) fn is_locked(path: &Path) -> bool {
    let held = |file: File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    File::open(path).is_ok_and(held)
}
