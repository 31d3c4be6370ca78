//! A lock file, so that no two processes work in one directory; and who owns it, where locks do not reach.

use crate::Interrupted;
use crate::machine::unix_time;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Error, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long to wait for a lock that is held: its owner may be about to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes the lock; it is held for as long as the file is open.
///
/// # Errors
/// Another process holds it.
pub(crate) fn lock(path: &Path) -> Result<File> {
    // What its owner has written stays.
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = open.with_context(|| format!("{}: cannot be created", path.display()))?;
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if since.elapsed() < PATIENCE => sleep(Duration::from_millis(50)),
            Err(TryLockError::WouldBlock) => bail!(
                "{}: another process trains there; wait for it, or choose another directory",
                path.parent().unwrap_or(path).display()
            ),
            // File systems that have no locks, as some of clusters: the owner's name alone is left.
            Err(TryLockError::Error(error)) if is_without_locks(&error) => return Ok(file),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("{}: cannot be locked", path.display()));
            }
        }
    }
}

fn is_without_locks(error: &Error) -> bool {
    [libc::ENOSYS, libc::ENOLCK, libc::EOPNOTSUPP].map(Some).contains(&error.raw_os_error())
}

/// Who works in a directory: a name in the lock file. A node that its cluster takes for dead may still run, out of the reach
/// of locks; the process that has started in its place has written another name.
pub(crate) struct Owner {
    path: PathBuf,
    name: String,
    /// Held for as long as this lives.
    _lock: File,
}

impl Owner {
    /// Takes the lock, and writes this process's name.
    ///
    /// # Errors
    /// As [`lock`].
    pub fn take(path: &Path) -> Result<Self> {
        let lock = lock(path)?;
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = format!("{} {} {}", host.trim(), process::id(), unix_time());
        let write = || -> Result<()> {
            lock.set_len(0)?;
            (&lock).write_all(name.as_bytes())?;
            Ok(lock.sync_all()?)
        };
        write().with_context(|| format!("{}: cannot be written", path.display()))?;
        Ok(Self { path: path.to_owned(), name, _lock: lock })
    }

    /// To be asked before files of the run are replaced.
    ///
    /// # Errors
    /// [`Interrupted`]: another process has taken the directory.
    pub fn check(&self) -> Result<()> {
        let there = fs::read_to_string(&self.path).unwrap_or_default();
        let text = || {
            let path = self.path.parent().unwrap_or(&self.path).display();
            format!(
                "{path}: another process ({there}) has taken the run over; this one ends and leaves it as it is"
            )
        };
        ensure!(there == self.name, Interrupted(text()));
        Ok(())
    }
}

/// Whether a process holds the lock.
pub(crate) fn is_locked(path: &Path) -> bool {
    let held = |file: File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    File::open(path).is_ok_and(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_sees_that_another_has_come() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.lock");
        let first = Owner::take(&path).unwrap();
        first.check().unwrap();
        // One that waits for the lock in vain leaves the name.
        assert!(lock(&path).unwrap_err().to_string().contains("another process trains there"));
        first.check().unwrap();
        fs::write(&path, "node7 1 2").unwrap();
        let error = first.check().unwrap_err();
        assert!(error.is::<Interrupted>() && error.to_string().contains("node7 1 2"), "{error}");
        drop(first);
        Owner::take(&path).unwrap().check().unwrap();
    }
}
