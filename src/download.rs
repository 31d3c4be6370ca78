//! One file over HTTP: resumed after a break, checked, and under its own name whole or not at all.

use crate::atomic;
use anyhow::{Context, Error, Result, anyhow};
use sha2::digest::Digest;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::{Response, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// A transfer that breaks without a byte of progress is taken up again so many times.
const ATTEMPTS: u32 = 5;

/// Why a download did not come about.
pub(crate) enum Failure {
    /// The server cannot be reached: other files need not be tried there.
    Unreachable(Error),
    /// The server has no such file.
    Missing(Error),
    Failed(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Failed(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(error) | Failure::Missing(error) | Failure::Failed(error) => error,
        }
    }
}

/// A client that trusts what the system trusts and gives up on a silent server within seconds.
pub(crate) fn client() -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    Agent::config_builder()
        .tls_config(tls)
        .timeout_resolve(Some(Duration::from_secs(5)))
        .timeout_connect(Some(Duration::from_secs(5)))
        .timeout_recv_response(Some(Duration::from_secs(20)))
        .timeout_recv_body(Some(Duration::from_secs(600)))
        .http_status_as_error(false)
        .build()
        .into()
}

/// What is asked of a server, and where it goes.
pub(crate) struct Download<'a> {
    pub url: &'a str,
    /// Sent to the host of `url` only, never to one that it redirects to.
    pub token: Option<&'a str>,
    /// What has come so far; kept when the transfer breaks.
    pub part: PathBuf,
    pub to: PathBuf,
    /// Bounds what a server can make us write.
    pub max_bytes: u64,
}

impl Download<'_> {
    /// Gets the file; only one that passes `check` gets its name. `progress` hears bytes so far and in all (0: not
    /// known).
    pub fn run(
        &self,
        client: &Agent,
        check: &mut dyn FnMut(&Path) -> Result<()>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Failure> {
        let resumed = self.have() > 0;
        self.transfer(client, progress)?;
        if let Err(error) = check(&self.part) {
            // To go on from wrong bytes would never end well; those of an earlier run get one more chance.
            fs::remove_file(&self.part).with_context(|| format!("{}", self.part.display()))?;
            if !resumed {
                return Err(error.context(self.url.to_owned()).into());
            }
            return self.run(client, check, progress);
        }
        Ok(atomic::place(&self.part, &self.to)?)
    }

    /// The length of what has come so far.
    fn have(&self) -> u64 {
        fs::metadata(&self.part).map_or(0, |metadata| metadata.len())
    }

    /// Appends what is missing.
    fn transfer(&self, client: &Agent, progress: &mut dyn FnMut(u64, u64)) -> Result<(), Failure> {
        let mut in_vain = 0;
        loop {
            let before = self.have();
            match self.attempt(client, before, progress) {
                Err(Failure::Failed(error)) if error.is::<Broken>() => {
                    in_vain = if self.have() > before { 0 } else { in_vain + 1 };
                    if in_vain == ATTEMPTS {
                        return Err(error.into());
                    }
                    if in_vain > 0 {
                        std::thread::sleep(Duration::from_millis(100 << in_vain));
                    }
                }
                outcome => return outcome,
            }
        }
    }

    fn attempt(&self, client: &Agent, have: u64, progress: &mut dyn FnMut(u64, u64)) -> Result<(), Failure> {
        let url = self.url;
        let mut request = client.get(url);
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
        }
        if let Some(token) = self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let mut response = request.call().map_err(|error| unreachable(url, error))?;
        let resumed = match response.status().as_u16() {
            200 => false,
            206 if starts_at(&response, have) => true,
            206 | 416 => {
                // What is there cannot be completed: it is as long as the file, or the server has other parts.
                fs::remove_file(&self.part).with_context(|| format!("{}", self.part.display()))?;
                return Err(broken(format!("{url}: the part that was there did not fit")));
            }
            429 | 500..=599 => return Err(broken(refused(url, &response))),
            404 | 410 => return Err(Failure::Missing(anyhow!(refused(url, &response)))),
            _ => return Err(anyhow!(refused(url, &response)).into()),
        };
        let start = if resumed { have } else { 0 };
        let total = response.body().content_length().map_or(0, |rest| start.saturating_add(rest));
        if total > self.max_bytes {
            return Err(anyhow!("{url}: {total} bytes are more than the file can have").into());
        }
        let unwritable = || format!("{}: cannot be written", self.part.display());
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .append(resumed)
            .truncate(!resumed)
            .open(&self.part)
            .with_context(unwritable)?;
        let mut body = response.body_mut().as_reader();
        let (mut done, mut buffer) = (start, vec![0; 1 << 16]);
        loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) => return Err(broken(format!("{url}: broke off ({error})"))),
            };
            done += read as u64;
            if done > self.max_bytes {
                return Err(anyhow!("{url}: more than {} bytes", self.max_bytes).into());
            }
            file.write_all(&buffer[..read]).with_context(unwritable)?;
            progress(done, total);
        }
        if done < total {
            return Err(broken(format!("{url}: broke off after {done} of {total} bytes")));
        }
        Ok(())
    }
}

/// The transfer ended before the file did.
#[derive(Debug)]
struct Broken(String);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

fn broken(message: String) -> Failure {
    Error::new(Broken(message)).into()
}

/// No answer came at all.
pub(crate) fn unreachable(url: &str, error: ureq::Error) -> Failure {
    Failure::Unreachable(Error::new(error).context(format!("{url}: no answer")))
}

/// What a server said instead of the file.
pub(crate) fn refused(url: &str, response: &Response<Body>) -> String {
    format!("{url}: the server answers with status {}", response.status().as_u16())
}

/// Whether a partial answer begins at this byte.
fn starts_at(response: &Response<Body>, start: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {start}-")))
}

/// A digest in lower-case hexadecimal.
pub(crate) fn digest<D: Digest>(mut reader: impl Read) -> Result<String> {
    let (mut hasher, mut buffer) = (D::new(), vec![0; 1 << 16]);
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
