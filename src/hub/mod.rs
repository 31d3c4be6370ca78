//! The Hugging Face hub, and its cache on this machine, which Python shares: one file of a repository at a time.

mod environment;

use crate::atomic;
use crate::digest::digest;
use crate::download::{self, Download, Failure, patiently, refused, unreachable};
use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;
use sha2::Sha256;
use std::fs::{self, File, OpenOptions};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use ureq::Body;
use ureq::http::{HeaderMap, Response, Uri};

/// Upper bound on the size of a file: what a server can make us write if it states no size.
pub(crate) const MAX_BYTES: u64 = 1 << 36;
/// Upper bound on what the hub's API says.
const MAX_TEXT_BYTES: u64 = 256 << 20;
/// Redirects of a renamed repository to follow.
const MAX_REDIRECTS: usize = 5;

/// Where weights and data sets come from and where they are cached. Not `Debug`, to keep the token out of logs.
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

/// A repository of the hub.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    pub kind: Kind,
    /// `OWNER/NAME`
    pub name: String,
    /// A branch, a tag or a commit.
    pub revision: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Model,
    Dataset,
}

/// The hub's metadata of a file, before it is fetched.
pub(crate) struct Remote {
    /// Its URL after the redirects of a renamed repository.
    pub url: String,
    pub commit: String,
    /// The name of its blob: for a large file its sha256.
    pub etag: String,
    pub size: Option<u64>,
}

impl Hub {
    /// Where the cache has a repository.
    pub(crate) fn folder(&self, Repository { kind, name, .. }: &Repository) -> PathBuf {
        let kind = if *kind == Kind::Model { "models" } else { "datasets" };
        self.cache.join(format!("{kind}--{}", name.replace('/', "--")))
    }

    /// The commit that the cache knows a repository's revision by.
    pub(crate) fn commit(&self, repository: &Repository) -> Option<String> {
        let refs = self.folder(repository).join("refs").join(&repository.revision);
        let commit = fs::read_to_string(refs).unwrap_or_default();
        Some(commit.trim().to_owned()).filter(|commit| is_plain(commit))
    }

    /// Remembers that commit.
    pub(crate) fn refer(&self, repository: &Repository, commit: &str) -> Result<()> {
        if repository.revision == commit {
            return Ok(());
        }
        let path = self.folder(repository).join("refs").join(&repository.revision);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        atomic::write(&path, commit.as_bytes())
    }

    pub(crate) fn address(&self, Repository { kind, name, revision }: &Repository, file: &str) -> String {
        let kind = if *kind == Kind::Model { "" } else { "datasets/" };
        format!("{}/{kind}{name}/resolve/{}/{}", self.endpoint, encoded(revision, ""), encoded(file, "/"))
    }

    /// The commit of a revision, and the files that it has.
    pub(crate) fn listing(&self, repository: &Repository) -> Result<(String, Vec<String>), Failure> {
        #[derive(Deserialize)]
        struct Info {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let Repository { kind, name, revision } = repository;
        let kind = if *kind == Kind::Model { "models" } else { "datasets" };
        let url = format!("{}/api/{kind}/{name}/revision/{}", self.endpoint, encoded(revision, ""));
        let text = self.text(&url)?;
        let info: Info = serde_json::from_str(&text)
            .with_context(|| format!("{url}: not what a hub answers; is HF_ENDPOINT a Hugging Face hub?"))?;
        let files: Vec<String> = info.siblings.into_iter().map(|file| file.rfilename).collect();
        let is_inside = |file: &String| {
            file.split('/').all(|part| !matches!(part, "" | "." | "..")) && !file.contains(['\\', '\0'])
        };
        if let Some(file) = files.iter().find(|file| !is_inside(file)) {
            return Err(anyhow!("{url}: the file name `{file:.200}` is refused").into());
        }
        if !is_plain(&info.sha) {
            return Err(anyhow!("{url}: the commit `{:.100}` is refused", info.sha).into());
        }
        Ok((info.sha, files))
    }

    /// Fetches a file of a repository that the hub has told of, unless its bytes are cached.
    pub(crate) fn take(
        &self,
        repository: &Repository,
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
        let snapshot = folder.join("snapshots").join(&remote.commit);
        let path = snapshot.join(file);
        point_to_blob(&snapshot, file, &remote.etag)
            .with_context(|| format!("{}: cannot be created", path.display()))?;
        self.refer(repository, &remote.commit)?;
        Ok(Fetched { path, source, sha256, verified: published.is_some() })
    }

    /// Asks the hub for a file's blob name, commit and size.
    pub(crate) fn ask(&self, mut url: String) -> Result<Remote, Failure> {
        let client = download::client();
        for _ in 0..MAX_REDIRECTS {
            let response = patiently(|| {
                let mut request = client.head(&url).config().max_redirects(0).build();
                if let Some(token) = self.token_for(&url) {
                    request = request.header("Authorization", format!("Bearer {token}"));
                }
                request.call().map_err(|error| unreachable(&url, error))
            })?;
            let header = |name: &str| response.headers().get(name)?.to_str().ok();
            match response.status().as_u16() {
                200 | 301..=308 => {}
                _ => return Err(failure(&url, &response)),
            }
            // A redirect within the endpoint means a renamed repository; others lead to the content.
            match header("location").and_then(|location| self.within_endpoint(&url, location)) {
                Some(moved) => url = moved,
                None => return Ok(remote(url, response.headers())?),
            }
        }
        Err(anyhow!("{url}: more than {MAX_REDIRECTS} redirects").into())
    }

    /// A text of the hub, such as what its API says of a repository.
    pub(crate) fn text(&self, url: &str) -> Result<String, Failure> {
        let client = download::client();
        let mut response = patiently(|| {
            let mut request = client.get(url);
            if let Some(token) = self.token_for(url) {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            request.call().map_err(|error| unreachable(url, error))
        })?;
        match response.status().as_u16() {
            200 => {
                let body = response.body_mut().with_config().limit(MAX_TEXT_BYTES).read_to_string();
                Ok(body.with_context(|| format!("{url}: cannot be read"))?)
            }
            _ => Err(failure(url, &response)),
        }
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

/// A part of a URL: all but letters, digits, `-_.~` and `kept` as percent signs.
fn encoded(text: &str, kept: &str) -> String {
    let one = |byte: u8| match byte {
        b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) || kept.as_bytes().contains(&b) => {
            char::from(b).to_string()
        }
        b => format!("%{b:02X}"),
    };
    text.bytes().map(one).collect()
}

/// What a status that is no success means.
fn failure(url: &str, response: &Response<Body>) -> Failure {
    match response.status().as_u16() {
        404 | 410 => Failure::Missing(anyhow!(refused(url, response))),
        401 | 403 => {
            let remedy = "accept the terms of the repository on the hub, create a token there, set HF_TOKEN";
            anyhow!("{}; {remedy}", refused(url, response)).into()
        }
        _ => anyhow!(refused(url, response)).into(),
    }
}

/// Downloads a file and returns its sha256, which must begin with `published`.
pub(crate) fn run(
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
pub(crate) fn verify(path: &Path, published: Option<&str>) -> Result<String> {
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
pub(crate) fn published_sha256(etag: &str) -> Option<&str> {
    (etag.len() == 64 && etag.bytes().all(|b| b.is_ascii_hexdigit())).then_some(etag)
}

/// Whether a name is safe as a file name.
pub(crate) fn is_plain(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn same_host(url: &str, endpoint: &str) -> bool {
    let origin = |text: &str| {
        let uri: Uri = text.parse().ok()?;
        Some((uri.scheme_str()?.to_owned(), uri.authority()?.to_string()))
    };
    origin(url).is_some_and(|of_url| origin(endpoint) == Some(of_url))
}

/// Makes a file of a snapshot a symbolic link to its blob, as Python does.
fn point_to_blob(snapshot: &Path, file: &str, blob: &str) -> Result<()> {
    let path = snapshot.join(file);
    let parent = path.parent().context("a file in a folder")?;
    fs::create_dir_all(parent)?;
    let up = "../".repeat(file.split('/').count() + 1);
    let temporary = tempfile::Builder::new().prefix(".tmp-").tempdir_in(parent)?;
    let link = temporary.path().join("link");
    std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(blob), &link)?;
    Ok(fs::rename(&link, path)?)
}

/// Waits for an advisory lock between processes; it is released when the file is closed.
pub(crate) fn lock_file(path: &Path) -> Result<File> {
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
