//! Getting a known data set: from a local folder, the official addresses, or Debian's package; checked before use.

use super::registry::{self, Checksum, Known, KnownFile};
use crate::atomic;
use crate::download::{self, Download, Failure, digest};
use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use md5::Md5;
use sha2::Sha256;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

/// No file of a known data set is larger, in bytes.
const MOST_BYTES: u64 = 1 << 30;

/// What [`fetch`] found or did for one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub path: PathBuf,
    /// Where it came from; `None` when it was there already.
    pub source: Option<String>,
}

/// Puts the files of a known data set into `root`, each with the right checksum under its own name or not at all.
///
/// Files that are there and right are kept. The others are looked for in `from`, in the system's folders, at the
/// official addresses, and in Debian's package (without root). `progress` hears file, bytes so far, and bytes in all.
///
/// # Errors
/// An unknown name, or a file that no source has; the message lists what was tried, and what to put where by hand.
pub fn fetch(
    name: &str,
    root: &Path,
    from: Option<&Path>,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<Vec<Fetched>> {
    fetch_from(registry::find(name)?, None, root, from, progress)
}

/// [`fetch`] with other addresses than the official ones, as tests have them.
pub(super) fn fetch_from(
    known: &Known,
    urls: Option<&[&str]>,
    root: &Path,
    from: Option<&Path>,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<Vec<Fetched>> {
    let folder = root.join(known.name);
    fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    let mut job = Job { known, folder: &folder, fetched: Vec::new(), tried: Vec::new() };
    for file in known.files {
        let path = folder.join(file.name);
        if path.exists() {
            match verify(&path, file.checksum) {
                Ok(()) => job.fetched.push(Fetched { path, source: None }),
                Err(error) => job.tried.push(format!("{error:#}")),
            }
        }
    }
    let system = known.debian.map(|(_, folder)| PathBuf::from(folder)).filter(|folder| folder.is_dir());
    for local in from.map(Path::to_owned).into_iter().chain(system) {
        job.copy_from(&local, &local.display().to_string());
    }
    for url in urls.unwrap_or(known.urls) {
        job.download_from(url, progress);
    }
    if let (Some((package, inside)), false) = (known.debian, job.missing().is_empty()) {
        match unpack_debian(package, inside) {
            Ok((_temporary, unpacked)) => job.copy_from(&unpacked, &format!("Debian's package {package}")),
            Err(error) => job.tried.push(format!("Debian's package {package}: {error:#}")),
        }
    }
    job.finish()
}

/// A fetch under way.
struct Job<'a> {
    known: &'a Known,
    folder: &'a Path,
    fetched: Vec<Fetched>,
    tried: Vec<String>,
}

impl<'a> Job<'a> {
    fn missing(&self) -> Vec<&'a KnownFile> {
        let has =
            |file: &&KnownFile| self.fetched.iter().any(|f| f.path.file_name() == Some(file.name.as_ref()));
        self.known.files.iter().filter(|file| !has(file)).collect()
    }

    fn copy_from(&mut self, local: &Path, source: &str) {
        for file in self.missing() {
            let (from, to) = (local.join(file.name), self.folder.join(file.name));
            let copy = || -> Result<()> {
                let mut bytes = File::open(&from).with_context(|| format!("{}", from.display()))?;
                verify(&from, file.checksum)?;
                atomic::write_with(&to, |temporary| Ok(io::copy(&mut bytes, temporary).map(|_| ())?))
            };
            match copy() {
                Ok(()) => self.fetched.push(Fetched { path: to, source: Some(source.to_owned()) }),
                Err(error) => self.tried.push(format!("{error:#}")),
            }
        }
    }

    fn download_from(&mut self, url: &str, progress: &mut dyn FnMut(&str, u64, u64)) {
        let client = download::client();
        for file in self.missing() {
            let (url, to) = (format!("{url}{}", file.name), self.folder.join(file.name));
            let part = self.folder.join(format!("{}.part", file.name));
            let download = Download { url: &url, token: None, part, to: to.clone(), most_bytes: MOST_BYTES };
            let mut check = |part: &Path| verify(part, file.checksum);
            let outcome =
                download.run(&client, &mut check, &mut |done, total| progress(file.name, done, total));
            match outcome {
                Ok(()) => self.fetched.push(Fetched { path: to, source: Some(url) }),
                Err(Failure::Failed(error) | Failure::Missing(error)) => {
                    self.tried.push(format!("{error:#}"))
                }
                Err(Failure::Unreachable(error)) => {
                    self.tried.push(format!("{error:#}"));
                    return;
                }
            }
        }
    }

    fn finish(self) -> Result<Vec<Fetched>> {
        let missing = self.missing();
        if missing.is_empty() {
            return Ok(self.fetched);
        }
        let names: Vec<&str> = missing.iter().map(|file| file.name).collect();
        bail!(
            "{}: could not get {}.\nTried:\n  {}\nPut the files into {} by hand, or name their folder with --from",
            self.known.name,
            names.join(", "),
            self.tried.join("\n  "),
            self.folder.display()
        )
    }
}

/// Whether a file is what it must be.
fn verify(path: &Path, checksum: Checksum) -> Result<()> {
    let check = || -> Result<()> {
        let file = BufReader::new(File::open(path)?);
        let (want, got) = match checksum {
            Checksum::Md5(want) => (want, digest::<Md5>(file)?),
            Checksum::Sha256OfContent(want) => (want, digest::<Sha256>(MultiGzDecoder::new(file))?),
        };
        ensure!(got == want, "its checksum is {got}, not {want}");
        Ok(())
    };
    check().with_context(|| format!("{}: not the published file", path.display()))
}

/// Downloads a Debian package and unpacks it into a temporary folder, as any user; gives the folder inside it.
fn unpack_debian(package: &str, inside: &str) -> Result<(tempfile::TempDir, PathBuf)> {
    let temporary = tempfile::tempdir()?;
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(temporary.path())
            .output()
            .with_context(|| format!("{program} does not start"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} failed: {}", said.trim());
        Ok(())
    };
    run("apt-get", &["download", package])?;
    let deb = fs::read_dir(temporary.path())?.find_map(|entry| {
        let path = entry.ok()?.path();
        (path.extension()? == "deb").then_some(path)
    });
    let deb = deb.context("apt-get left no package")?;
    run("dpkg", &["-x", &deb.to_string_lossy(), "unpacked"])?;
    let unpacked = temporary.path().join("unpacked").join(inside.trim_start_matches('/'));
    Ok((temporary, unpacked))
}
