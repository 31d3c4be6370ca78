//! One file over HTTP: resumed after a break, never half under its own name.

use anyhow::Context;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

/// A connection that breaks is taken up again so many times.
const ATTEMPTS: usize = 5;
/// No file of a known data set is larger; bounds what a server can make us write.
const MOST_BYTES: u64 = 1 << 30;

/// Why a download did not come about.
pub(super) enum Failure {
    /// The server cannot be reached: other files need not be tried there.
    Unreachable(anyhow::Error),
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Failed(error)
    }
}

/// A client that trusts what the system trusts and gives up on a silent server within seconds.
pub(super) fn client() -> Agent {
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

/// Appends what is missing of `url` to `part`, telling `progress` the bytes so far and in all (0: not known).
pub(super) fn download(
    client: &Agent,
    url: &str,
    part: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), Failure> {
    let mut broken = None;
    for _ in 0..ATTEMPTS {
        match attempt(client, url, part, progress) {
            Err(Failure::Failed(error)) if error.is::<Broken>() => broken = Some(error),
            outcome => return outcome,
        }
    }
    Err(Failure::Failed(broken.unwrap_or_else(|| anyhow::anyhow!("{url}: no attempt was made"))))
}

/// The connection ended before the file did.
#[derive(Debug)]
struct Broken(String);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

fn attempt(
    client: &Agent,
    url: &str,
    part: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), Failure> {
    let have = fs::metadata(part).map_or(0, |metadata| metadata.len());
    let mut request = client.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let mut response = request.call().map_err(|error| {
        Failure::Unreachable(anyhow::Error::new(error).context(format!("{url}: no answer")))
    })?;
    let resumed = match response.status().as_u16() {
        200 => false,
        206 => true,
        416 => {
            // What is there is as long as the file or longer: it cannot be completed.
            fs::remove_file(part).with_context(|| format!("{}", part.display()))?;
            return Err(
                anyhow::Error::new(Broken(format!("{url}: the part that was there did not fit"))).into()
            );
        }
        status => return Err(anyhow::anyhow!("{url}: the server answers with status {status}").into()),
    };
    let start = if resumed { have } else { 0 };
    let total = response.body().content_length().map_or(0, |rest| start + rest);
    if total > MOST_BYTES {
        return Err(anyhow::anyhow!("{url}: {total} bytes are more than any known data set has").into());
    }
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .append(resumed)
        .truncate(!resumed)
        .open(part)
        .with_context(|| format!("{}: cannot be written", part.display()))?;
    let mut body = response.body_mut().as_reader();
    let (mut done, mut buffer) = (start, vec![0; 1 << 16]);
    loop {
        let read = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) => {
                return Err(anyhow::Error::new(Broken(format!("{url}: broke off ({error})"))).into());
            }
        };
        done += read as u64;
        if done > MOST_BYTES {
            return Err(anyhow::anyhow!("{url}: more than {MOST_BYTES} bytes").into());
        }
        file.write_all(&buffer[..read]).with_context(|| format!("{}: cannot be written", part.display()))?;
        progress(done, total);
    }
    if done < total {
        return Err(
            anyhow::Error::new(Broken(format!("{url}: broke off after {done} of {total} bytes"))).into()
        );
    }
    Ok(())
}
