//! Fetches the files of the catalogue from the Hugging Face hub or a URL, into the caches that Python uses.

use super::catalogue::{Entry, Location};
use crate::atomic;
use crate::download::{Download, Failure};
use crate::hub::{
    Fetched, Hub, Kind, MAX_BYTES, Remote, Repository, lock_file, published_sha256, run, verify,
};
use anyhow::{Context, Error, Result, bail, ensure};
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Names of weights files in a hub repository, in order of preference.
const FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
/// Files that say what the weights are, where a repository has them.
const SETTINGS: [&str; 2] = ["config.json", "preprocessor_config.json"];
/// The revision to fetch.
const REVISION: &str = "main";
impl Hub {
    /// Fetches the file of a catalogue entry unless a correct copy is cached. `progress` receives the file,
    /// the bytes so far and the total (0 if unknown).
    ///
    /// # Errors
    /// A server that does not respond, refuses, or sends other bytes than were published; a cache that cannot
    /// be written. The message says which file to place by hand, and where.
    pub fn fetch(&self, entry: &Entry, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<Fetched> {
        let mut progress = |done, total| progress(&entry.short_name(), done, total);
        match &entry.location {
            Location::Hub(repository) => self.fetch_weights(repository, &mut progress),
            Location::Url(url) => self.fetch_url(url, entry.location.sha256_prefix(), &mut progress),
        }
        .with_context(|| entry.name())
    }

    fn fetch_url(
        &self,
        url: &str,
        sha256: Option<&str>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Fetched> {
        let name = url.rsplit('/').next().unwrap_or_default();
        let to = self.checkpoints.join(name);
        let verified = sha256.is_some();
        let here =
            || Some(Fetched { sha256: verify(&to, sha256).ok()?, path: to.clone(), source: None, verified });
        if let Some(fetched) = here() {
            return Ok(fetched);
        }
        let by_hand = || by_hand(url, &to);
        ensure!(!self.offline, "not in the cache, and HF_HUB_OFFLINE is set; {}", by_hand());
        let lock = self.checkpoints.join(format!(".{name}.lock"));
        let _locked = lock_file(&lock)?;
        if let Some(fetched) = here() {
            return Ok(fetched);
        }
        let part = self.checkpoints.join(format!("{name}.part"));
        let download = Download { url, token: None, part, to: to.clone(), max_bytes: MAX_BYTES };
        let sha256 = run(&download, sha256, progress).map_err(|e| Error::from(e).context(by_hand()))?;
        // Another process that waits for the lock will find the file.
        fs::remove_file(&lock)?;
        Ok(Fetched { path: to, source: Some(url.to_owned()), sha256, verified })
    }

    /// Fetches the weights of a repository of the hub, `OWNER/NAME`, with the files that say what they are, unless they are
    /// cached; `progress` receives the bytes so far and the total.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub fn fetch_repository(&self, repository: &str, progress: &mut dyn FnMut(u64, u64)) -> Result<Fetched> {
        let fetched = self.fetch_weights(repository, progress)?;
        let repository = &weights_of(repository);
        for file in SETTINGS {
            let here = fetched.path.with_file_name(file);
            if self.offline || here.exists() {
                continue;
            }
            match self.ask(self.address(repository, file)) {
                Ok(remote) => drop(self.take(repository, file, &remote, &mut |_, _| ())?),
                Err(Failure::Missing(_)) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(fetched)
    }

    fn fetch_weights(&self, repository: &str, progress: &mut dyn FnMut(u64, u64)) -> Result<Fetched> {
        let repository = &weights_of(repository);
        let folder = self.folder(repository);
        let commit = self.commit(repository);
        if let Some(fetched) = FILES.iter().find_map(|file| cached(&folder, commit.as_deref(), file)) {
            return Ok(fetched);
        }
        let by_hand = || {
            let path = folder.join("snapshots").join(REVISION).join(FILES[0]);
            by_hand(&self.address(repository, FILES[0]), &path)
        };
        ensure!(!self.offline, "not in the cache, and HF_HUB_OFFLINE is set; {}", by_hand());
        let (file, remote) = self.look_up(repository).map_err(|e| e.context(by_hand()))?;
        self.take(repository, file, &remote, progress).map_err(|e| e.context(by_hand()))
    }

    /// The first of [`FILES`] that a repository has.
    fn look_up(&self, repository: &Repository) -> Result<(&'static str, Remote)> {
        let mut missing = Vec::new();
        for file in FILES {
            match self.ask(self.address(repository, file)) {
                Ok(remote) => return Ok((file, remote)),
                Err(Failure::Missing(error)) => missing.push(format!("{error:#}")),
                Err(failure) => return Err(failure.into()),
            }
        }
        bail!("{}: has no weights on the hub: {}", repository.name, missing.join("; "))
    }
}

impl Fetched {
    /// Copies the file of `entry` into a folder, under a descriptive name; a correct copy that exists is
    /// kept.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn copy_to(&self, folder: &Path, entry: &Entry) -> Result<Self> {
        let name = match (&entry.location, self.path.extension()) {
            (Location::Hub(_), Some(kind)) => format!("{}.{}", entry.short_name(), kind.display()),
            _ => self.path.file_name().unwrap_or_default().display().to_string(),
        };
        let to = folder.join(name);
        fs::create_dir_all(folder).with_context(|| format!("{}: cannot be created", folder.display()))?;
        if verify(&to, Some(&self.sha256)).is_err() {
            let mut bytes = File::open(&self.path).with_context(|| format!("{}", self.path.display()))?;
            atomic::write_with(&to, |file| Ok(io::copy(&mut bytes, file).map(|_| ())?))?;
        }
        Ok(Self { path: to, ..self.clone() })
    }
}

/// The cached file of a repository, unless its checksum is wrong.
fn cached(folder: &Path, commit: Option<&str>, file: &str) -> Option<Fetched> {
    commit.into_iter().chain([REVISION]).find_map(|revision| {
        let path = folder.join("snapshots").join(revision).join(file);
        let blob = fs::canonicalize(&path).ok()?;
        let published = published_sha256(blob.file_name()?.to_str()?);
        let sha256 = verify(&blob, published).ok()?;
        Some(Fetched { path, source: None, sha256, verified: published.is_some() })
    })
}

/// The repository of weights with this name.
fn weights_of(name: &str) -> Repository {
    Repository { kind: Kind::Model, name: name.to_owned(), revision: REVISION.to_owned() }
}

fn by_hand(url: &str, path: &Path) -> String {
    format!("without network access, download {url} elsewhere and save it as {}", path.display())
}
