//! Fetches the files of the catalogue from the Hugging Face hub or a URL, into the caches that Python uses.

mod environment;

use super::catalogue::{Entry, Location};
use crate::atomic;
use crate::digest::digest;
use crate::download::{self, Download, Failure, refused, unreachable};
use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use sha2::Sha256;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use ureq::http::{HeaderMap, Uri};

/// Names of weights files in a hub repository, in order of preference.
const FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
/// Files that say what the weights are, where a repository has them.
const SETTINGS: [&str; 2] = ["config.json", "preprocessor_config.json"];
/// The revision to fetch.
const REVISION: &str = "main";
/// Upper bound on the size of a weights file: what a server can make us write if it states no size.
const MAX_BYTES: u64 = 1 << 36;
/// Redirects of a renamed repository to follow.
const MAX_REDIRECTS: usize = 5;

/// Where weights come from and where they are cached. Not `Debug`, to keep the token out of logs.
#[derive(Clone)]
pub struct Hub {
    /// The hub or a mirror of it, without a trailing slash.
    pub endpoint: String,
    /// For gated repositories. Sent to the endpoint only, and only over https or to this machine.
    pub token: Option<String>,
    /// The hub's cache, as `huggingface_hub` lays it out.
    pub cache: PathBuf,
    /// The folder for files from other URLs, as in `torch.hub`.
    pub checkpoints: PathBuf,
    /// Whether to use cached files only.
    pub offline: bool,
}

/// A weights file on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub path: PathBuf,
    /// The URL it came from; `None` if it was already cached.
    pub source: Option<String>,
    pub sha256: String,
    /// Whether the file was compared with a published checksum or a prefix of one.
    pub verified: bool,
}

/// The hub's metadata of a file, before it is fetched.
struct Remote {
    /// Its URL after the redirects of a renamed repository.
    url: String,
    commit: String,
    /// The name of its blob: for a large file its sha256.
    etag: String,
    size: Option<u64>,
}

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
        let folder = self.folder(repository);
        if let Some(fetched) = FILES.iter().find_map(|file| cached(&folder, file)) {
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

    /// Where the cache has a repository.
    fn folder(&self, repository: &str) -> PathBuf {
        self.cache.join(format!("models--{}", repository.replace('/', "--")))
    }

    /// Fetches a file of a repository that the hub has told of, unless its bytes are cached.
    fn take(
        &self,
        repository: &str,
        file: &str,
        remote: &Remote,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Fetched> {
        let folder = self.folder(repository);
        let locks = self.cache.join(".locks").join(folder.file_name().unwrap_or_default());
        let _locked = lock_file(&locks.join(format!("{}.lock", remote.etag)))?;
        let blobs = folder.join("blobs");
        fs::create_dir_all(&blobs).with_context(|| format!("{}: cannot be created", blobs.display()))?;
        let blob = blobs.join(&remote.etag);
        let published = published_sha256(&remote.etag);
        let (sha256, source) = match verify(&blob, published) {
            Ok(sha256) => (sha256, None),
            Err(_) => {
                let download = Download {
                    url: &remote.url,
                    token: self.token_for(&remote.url),
                    part: blobs.join(format!("{}.incomplete", remote.etag)),
                    to: blob,
                    max_bytes: remote.size.unwrap_or(MAX_BYTES),
                };
                (run(&download, published, progress)?, Some(remote.url.clone()))
            }
        };
        let path = folder.join("snapshots").join(&remote.commit).join(file);
        point_to_blob(&path, &remote.etag)
            .with_context(|| format!("{}: cannot be created", path.display()))?;
        let refs = folder.join("refs");
        fs::create_dir_all(&refs)?;
        atomic::write(&refs.join(REVISION), remote.commit.as_bytes())?;
        Ok(Fetched { path, source, sha256, verified: published.is_some() })
    }

    /// The first of [`FILES`] that a repository has.
    fn look_up(&self, repository: &str) -> Result<(&'static str, Remote)> {
        let mut missing = Vec::new();
        for file in FILES {
            match self.ask(self.address(repository, file)) {
                Ok(remote) => return Ok((file, remote)),
                Err(Failure::Missing(error)) => missing.push(format!("{error:#}")),
                Err(failure) => return Err(failure.into()),
            }
        }
        bail!("{repository}: has no weights on the hub: {}", missing.join("; "))
    }

    fn address(&self, repository: &str, file: &str) -> String {
        format!("{}/{repository}/resolve/{REVISION}/{file}", self.endpoint)
    }

    /// Asks the hub for a file's blob name, commit and size.
    fn ask(&self, mut url: String) -> Result<Remote, Failure> {
        let client = download::client();
        for _ in 0..MAX_REDIRECTS {
            let mut request = client.head(&url).config().max_redirects(0).build();
            if let Some(token) = self.token_for(&url) {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            let response = request.call().map_err(|error| unreachable(&url, error))?;
            let header = |name: &str| response.headers().get(name)?.to_str().ok();
            match response.status().as_u16() {
                200 | 301..=308 => {}
                404 | 410 => return Err(Failure::Missing(anyhow!(refused(&url, &response)))),
                401 | 403 => {
                    let remedy =
                        "accept the terms of the repository on the hub, create a token there, set HF_TOKEN";
                    return Err(anyhow!("{}; {remedy}", refused(&url, &response)).into());
                }
                _ => return Err(anyhow!(refused(&url, &response)).into()),
            }
            // A redirect within the endpoint means a renamed repository; others lead to the content.
            match header("location").and_then(|location| self.within_endpoint(&url, location)) {
                Some(moved) => url = moved,
                None => return Ok(remote(url, response.headers())?),
            }
        }
        Err(anyhow!("{url}: more than {MAX_REDIRECTS} redirects").into())
    }

    /// The absolute URL of a redirect that stays on the endpoint's host.
    fn within_endpoint(&self, url: &str, location: &str) -> Option<String> {
        if location.starts_with('/') && !location.starts_with("//") {
            let uri: Uri = url.parse().ok()?;
            return Some(format!("{}://{}{location}", uri.scheme_str()?, uri.authority()?));
        }
        same_host(location, &self.endpoint).then(|| location.to_owned())
    }

    /// The token, if it may be sent to this URL.
    fn token_for(&self, url: &str) -> Option<&str> {
        let uri: Uri = url.parse().ok()?;
        let host = uri.host()?.trim_matches(['[', ']']);
        let local = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let safe = uri.scheme_str() == Some("https") || local;
        self.token.as_deref().filter(|_| safe && same_host(url, &self.endpoint))
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

/// Downloads a file and returns its sha256, which must begin with `published`.
fn run(
    download: &Download,
    published: Option<&str>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<String, Failure> {
    let mut sha256 = String::new();
    let mut check = |part: &Path| {
        sha256 = verify(part, published)?;
        Ok(())
    };
    download.run(&download::client(), &mut check, progress)?;
    Ok(sha256)
}

/// The sha256 of a file, which must begin with `published`.
fn verify(path: &Path, published: Option<&str>) -> Result<String> {
    let file = File::open(path).with_context(|| format!("{}", path.display()))?;
    let sha256 = digest::<Sha256>(file).with_context(|| format!("{}", path.display()))?;
    if let Some(published) = published {
        ensure!(
            sha256.starts_with(published),
            "{}: not the published file: the sha256 is {sha256}, not {published}",
            path.display()
        );
    }
    Ok(sha256)
}

/// The cached file of a repository, unless its checksum is wrong.
fn cached(folder: &Path, file: &str) -> Option<Fetched> {
    let commit = fs::read_to_string(folder.join("refs").join(REVISION)).unwrap_or_default();
    let commit = Some(commit.trim()).filter(|commit| is_plain(commit));
    commit.into_iter().chain([REVISION]).find_map(|revision| {
        let path = folder.join("snapshots").join(revision).join(file);
        let blob = fs::canonicalize(&path).ok()?;
        let published = published_sha256(blob.file_name()?.to_str()?);
        let sha256 = verify(&blob, published).ok()?;
        Some(Fetched { path, source: None, sha256, verified: published.is_some() })
    })
}

/// Reads the hub's response; values that become part of a path are checked.
fn remote(url: String, headers: &HeaderMap) -> Result<Remote> {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let name = |value: Option<&str>, what: &str| {
        let value = value.map(|value| value.trim_start_matches("W/").trim_matches('"'));
        let value = value.filter(|value| is_plain(value)).map(str::to_owned);
        value.with_context(|| {
            format!("{url}: the response has no valid {what}; is HF_ENDPOINT a Hugging Face hub?")
        })
    };
    let commit = name(header("x-repo-commit"), "x-repo-commit")?;
    let etag = name(header("x-linked-etag").or_else(|| header("etag")), "etag")?;
    let size = header("x-linked-size").and_then(|size| size.parse().ok());
    Ok(Remote { url, commit, etag, size })
}

/// The sha256 if a blob is named by it, as large files are; small ones have git's hash.
fn published_sha256(etag: &str) -> Option<&str> {
    (etag.len() == 64 && etag.bytes().all(|b| b.is_ascii_hexdigit())).then_some(etag)
}

/// Whether a name is safe as a file name.
fn is_plain(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn same_host(url: &str, endpoint: &str) -> bool {
    let origin = |text: &str| {
        let uri: Uri = text.parse().ok()?;
        Some((uri.scheme_str()?.to_owned(), uri.authority()?.to_string()))
    };
    origin(url).is_some_and(|of_url| origin(endpoint) == Some(of_url))
}

/// Makes the snapshot's file a symbolic link to its blob, as Python does.
fn point_to_blob(path: &Path, blob: &str) -> Result<()> {
    let parent = path.parent().context("a file in a folder")?;
    fs::create_dir_all(parent)?;
    let temporary = tempfile::Builder::new().prefix(".tmp-").tempdir_in(parent)?;
    let link = temporary.path().join("link");
    std::os::unix::fs::symlink(Path::new("../../blobs").join(blob), &link)?;
    Ok(fs::rename(&link, path)?)
}

/// Waits for an advisory lock between processes; it is released when the file is closed.
fn lock_file(path: &Path) -> Result<File> {
    let lock = || -> Result<File> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.lock()?;
        Ok(file)
    };
    lock().with_context(|| format!("{}: cannot be locked", path.display()))
}

fn by_hand(url: &str, path: &Path) -> String {
    format!("without network access, download {url} elsewhere and save it as {}", path.display())
}
