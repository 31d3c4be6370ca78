//! Downloads of one file over HTTP: resumed after an interruption, verified, and renamed once complete.

use crate::{ErrorKind, atomic};
use anyhow::{Context, Error, Result, anyhow};
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::{Response, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// Attempts in a row without a byte of progress before a transfer is given up.
const ATTEMPTS: u32 = 5;
/// The longest wait that a busy server can ask for.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Why a download failed.
pub(crate) enum Failure {
    /// The server cannot be reached; there is no point in asking it for other files.
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

/// A client that uses the system's root certificates and times out on a silent server within seconds.
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

/// A file to download and where to store it.
pub(crate) struct Download<'a> {
    pub url: &'a str,
    /// Sent to the host of `url` only, never after a redirect to another host.
    pub token: Option<&'a str>,
    /// The partial file; kept when the transfer is interrupted.
    pub part: PathBuf,
    pub to: PathBuf,
    /// Upper bound on what a server can make us write.
    pub max_bytes: u64,
}

impl Download<'_> {
    /// Downloads the file; it gets its final name only if it passes `check`. `progress` receives the bytes so
    /// far and the total (0 if unknown).
    pub fn run(
        &self,
        client: &Agent,
        check: &mut dyn FnMut(&Path) -> Result<()>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Failure> {
        let resumed = self.have() > 0;
        self.transfer(client, progress)?;
        if let Err(error) = check(&self.part) {
            // Wrong bytes cannot be resumed. If some came from an earlier run, start over once.
            fs::remove_file(&self.part).with_context(|| format!("{}", self.part.display()))?;
            if !resumed {
                return Err(error.context(self.url.to_owned()).into());
            }
            return self.run(client, check, progress);
        }
        Ok(atomic::rename(&self.part, &self.to)?)
    }

    /// The length of the partial file.
    fn have(&self) -> u64 {
        fs::metadata(&self.part).map_or(0, |metadata| metadata.len())
    }

    /// Downloads what is missing, retrying after interruptions.
    fn transfer(&self, client: &Agent, progress: &mut dyn FnMut(u64, u64)) -> Result<(), Failure> {
        let mut stalls = 0;
        loop {
            let before = self.have();
            match self.attempt(client, before, progress) {
                Err(Failure::Failed(error)) if error.is::<Interrupted>() => {
                    stalls = if self.have() > before { 0 } else { stalls + 1 };
                    if stalls == ATTEMPTS {
                        return Err(error.into());
                    }
                    let asked = error.downcast_ref().and_then(|Interrupted { wait, .. }| *wait);
                    if let Some(wait) = asked.or((stalls > 0).then(|| pause(stalls))) {
                        std::thread::sleep(wait);
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
                // The partial file cannot be completed: it is long enough, or the server sent another range.
                fs::remove_file(&self.part).with_context(|| format!("{}", self.part.display()))?;
                return Err(interrupted(format!("{url}: the partial download does not match the file")));
            }
            429 | 500..=599 => {
                let message = refused(url, &response);
                return Err(Error::new(Interrupted { message, wait: retry_after(&response) }).into());
            }
            404 | 410 => return Err(Failure::Missing(anyhow!(refused(url, &response)))),
            _ => return Err(anyhow!(refused(url, &response)).into()),
        };
        let start = if resumed { have } else { 0 };
        let total = response.body().content_length().map_or(0, |rest| start.saturating_add(rest));
        if total > self.max_bytes {
            return Err(anyhow!("{url}: {total} bytes exceed the limit of {}", self.max_bytes).into());
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
                Err(error) => return Err(interrupted(format!("{url}: interrupted ({error})"))),
            };
            done += read as u64;
            if done > self.max_bytes {
                return Err(anyhow!("{url}: exceeds the limit of {} bytes", self.max_bytes).into());
            }
            file.write_all(&buffer[..read]).with_context(unwritable)?;
            progress(done, total);
        }
        if done < total {
            return Err(interrupted(format!("{url}: interrupted after {done} of {total} bytes")));
        }
        Ok(())
    }
}

/// The transfer ended early and can be retried.
#[derive(Debug)]
struct Interrupted {
    message: String,
    /// How long the server asks to wait.
    wait: Option<Duration>,
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Interrupted {}

fn interrupted(message: String) -> Failure {
    Error::new(Interrupted { message, wait: None }).into()
}

/// The wait before the attempt after so many.
fn pause(attempts: u32) -> Duration {
    Duration::from_millis(100 << attempts)
}

/// How long a server that is busy asks to wait, in seconds; not for ever.
fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_WAIT))
}

/// Asks again while the server is busy, as long as it says.
pub(crate) fn patiently(
    ask: impl Fn() -> Result<Response<Body>, Failure>,
) -> Result<Response<Body>, Failure> {
    for attempt in 1..ATTEMPTS {
        let response = ask()?;
        if !matches!(response.status().as_u16(), 429 | 500..=599) {
            return Ok(response);
        }
        std::thread::sleep(retry_after(&response).unwrap_or_else(|| pause(attempt)));
    }
    ask()
}

/// The server did not respond.
pub(crate) fn unreachable(url: &str, error: ureq::Error) -> Failure {
    let error = Error::new(error).context(format!("{url}: the server cannot be reached"));
    Failure::Unreachable(ErrorKind::Offline.mark(error))
}

/// The message for a status that is not a success.
pub(crate) fn refused(url: &str, response: &Response<Body>) -> String {
    format!("{url}: the server returned status {}", response.status().as_u16())
}

/// Whether a partial response begins at this byte.
fn starts_at(response: &Response<Body>, start: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {start}-")))
}
