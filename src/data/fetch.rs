//! Fetches a known data set from a local folder, the official URLs or Debian's package, and verifies it.

use super::registry::{self, Checksum, Known, KnownFile};
use crate::digest::digest;
use crate::download::{self, Download, Failure};
use crate::{Remedy, atomic};
use anyhow::{Context, Error, Result, ensure};
use flate2::read::MultiGzDecoder;
use md5::Md5;
use sha2::Sha256;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Attempts that a message lists.
const SHOWN: usize = 5;

/// Upper bound on the size of a file of a known data set.
const MAX_BYTES: u64 = 1 << 30;

/// What [`fetch`] found or did for one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub path: PathBuf,
    /// Where it came from; `None` if it was already there.
    pub source: Option<String>,
}

/// Puts the files of a known data set into `root`; only files with the right checksum get their name.
///
/// Correct files that exist are kept. The others are looked for in `from`, in the system's folders, at the
/// official URLs, and in Debian's package (unpacked without root). `progress` receives the file, the bytes so
/// far and the total.
///
/// # Errors
/// An unknown name, or a file that no source has; the message lists what was tried and where to put the files
/// by hand.
pub fn fetch(
    name: &str,
    root: &Path,
    from: Option<&Path>,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<Vec<Fetched>> {
    let known = registry::find(name)?;
    fetch_from(known, known.urls, root, from, progress)
}

/// [`fetch`] from the given URLs.
fn fetch_from(
    known: &Known,
    urls: &[&str],
    root: &Path,
    from: Option<&Path>,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<Vec<Fetched>> {
    let folder = root.join(known.name);
    fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be created", folder.display()))?;
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
    for url in urls {
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

/// A fetch in progress.
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
            let download = Download { url: &url, token: None, part, to: to.clone(), max_bytes: MAX_BYTES };
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
        let mut tried: Vec<String> = self.tried.iter().take(SHOWN).cloned().collect();
        if self.tried.len() > SHOWN {
            tried.push(format!("and {} more", self.tried.len() - SHOWN));
        }
        let text = format!(
            "{}: cannot get {}.\nTried:\n  {}\nMissing in {}",
            self.known.name,
            names.join(", "),
            tried.join("\n  "),
            self.folder.display()
        );
        Err(Error::new(Remedy::DataFolder).context(text))
    }
}

/// Compares a file with its published checksum.
fn verify(path: &Path, checksum: Checksum) -> Result<()> {
    let check = || -> Result<()> {
        let file = BufReader::new(File::open(path)?);
        let (want, got) = match checksum {
            Checksum::Md5(want) => (want, digest::<Md5>(file)?),
            Checksum::Sha256OfContent(want) => (want, digest::<Sha256>(MultiGzDecoder::new(file))?),
        };
        ensure!(got == want, "the checksum is {got}, not {want}");
        Ok(())
    };
    check().with_context(|| format!("{}: not the published file", path.display()))
}

/// Downloads and unpacks a Debian package into a temporary folder, without root; returns the folder inside.
fn unpack_debian(package: &str, inside: &str) -> Result<(tempfile::TempDir, PathBuf)> {
    let temporary = tempfile::tempdir()?;
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(temporary.path())
            .output()
            .with_context(|| format!("{program} cannot be started"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} failed: {}", said.trim());
        Ok(())
    };
    run("apt-get", &["download", package])?;
    let deb = fs::read_dir(temporary.path())?.find_map(|entry| {
        let path = entry.ok()?.path();
        (path.extension()? == "deb").then_some(path)
    });
    let deb = deb.context("apt-get downloaded no package")?;
    run("dpkg", &["-x", &deb.to_string_lossy(), "unpacked"])?;
    let unpacked = temporary.path().join("unpacked").join(inside.trim_start_matches('/'));
    Ok((temporary, unpacked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, Write};
    use std::net::TcpListener;
    use std::thread;

    const NAMES: [&str; 4] = [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ];

    /// A known data set whose files are [`content`] of their names.
    fn known() -> Known {
        let files: Vec<_> = NAMES.iter().map(|name| (*name, content(name))).collect();
        let file = |(name, bytes): (&'static str, Vec<u8>)| {
            let sum: &'static str = digest::<Md5>(bytes.as_slice()).unwrap().leak();
            registry::KnownFile { name, checksum: Checksum::Md5(sum) }
        };
        let files: Vec<_> = files.into_iter().map(file).collect();
        Known { files: files.leak(), ..*registry::find("mnist").unwrap() }
    }

    fn content(name: &str) -> Vec<u8> {
        (0..100_000 + name.len()).map(|i| (i * i) as u8).collect()
    }

    /// What the server does with its n-th request.
    #[derive(Clone, Copy)]
    enum Answer {
        /// Closes the connection after this many bytes of the body.
        Break(usize),
        Whole,
        WrongBytes,
        Status(u16),
    }

    /// A server on the loopback interface that gives these answers and then whole files; returns its URL.
    fn serve(answers: Vec<Answer>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        thread::spawn(move || {
            let mut answers = answers.into_iter();
            for stream in listener.incoming().take(50) {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let request = lines.next().unwrap_or_default();
                let name = request.split(['/', ' ']).nth(2).unwrap_or_default().to_owned();
                let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let from = headers.iter().find_map(|line| {
                    line.to_lowercase()
                        .strip_prefix("range: bytes=")?
                        .strip_suffix('-')?
                        .parse::<usize>()
                        .ok()
                });
                let answer = answers.next().unwrap_or(Answer::Whole);
                let mut body = content(&name).split_off(from.unwrap_or(0));
                let status = match answer {
                    Answer::Status(status) => status,
                    _ if from.is_some() => 206,
                    _ => 200,
                };
                if let Answer::WrongBytes = answer {
                    body.fill(7);
                }
                let sent = if let Answer::Break(n) = answer { n } else { body.len() };
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..sent]));
            }
        });
        address
    }

    fn fetch_all(urls: &[&str], root: &Path) -> Result<Vec<Fetched>> {
        fetch_from(&known(), urls, root, None, &mut |_, _, _| {})
    }

    #[test]
    fn an_interrupted_download_is_resumed_and_can_be_repeated() {
        let root = tempfile::tempdir().unwrap();
        let server = serve(vec![Answer::Break(40_000), Answer::Break(1), Answer::Whole, Answer::Break(0)]);
        let fetched = fetch_all(&[&server], root.path()).unwrap();
        assert_eq!(fetched.len(), 4);
        for (file, name) in fetched.iter().zip(NAMES) {
            assert_eq!(fs::read(&file.path).unwrap(), content(name));
            assert!(file.source.as_deref().is_some_and(|source| source.starts_with("http://127.0.0.1")));
        }
        let again = fetch_all(&["http://127.0.0.1:1/"], root.path()).unwrap();
        assert!(again.iter().all(|file| file.source.is_none()), "correct files are not fetched again");
        assert_eq!(fs::read_dir(root.path().join("mnist")).unwrap().count(), 4, "no partial file is left");
    }

    #[test]
    fn wrong_bytes_are_refused_and_the_next_address_is_tried() {
        let root = tempfile::tempdir().unwrap();
        let wrong = serve(vec![Answer::WrongBytes; 4]);
        let missing = serve(vec![Answer::Status(404); 4]);
        let error = format!("{:#}", fetch_all(&[&wrong, &missing], root.path()).unwrap_err());
        for part in
            ["the checksum is", "status 404", "put them there by hand, or name a folder that has them"]
        {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
        assert_eq!(fs::read_dir(root.path().join("mnist")).unwrap().count(), 0);
        let right = serve(Vec::new());
        assert_eq!(fetch_all(&[&missing, &right], root.path()).unwrap().len(), 4);
    }

    #[test]
    fn a_folder_that_has_the_files_is_taken_before_any_address() {
        let (root, local) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        NAMES.iter().for_each(|name| fs::write(local.path().join(name), content(name)).unwrap());
        // A damaged file is replaced.
        fs::create_dir(root.path().join("mnist")).unwrap();
        fs::write(root.path().join("mnist").join(NAMES[0]), b"damaged").unwrap();
        let fetched = fetch_from(&known(), &[], root.path(), Some(local.path()), &mut |_, _, _| {}).unwrap();
        let source = local.path().display().to_string();
        assert!(fetched.iter().all(|file| file.source.as_ref() == Some(&source)));
        assert_eq!(fs::read(root.path().join("mnist").join(NAMES[0])).unwrap(), content(NAMES[0]));
    }
}
