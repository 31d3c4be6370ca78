//! How the processes of a run find each other: by a store that one of them keeps, or the agent of torchrun.

use super::environment::{Place, Starter};
use crate::torch::c10d::TcpStore;
use crate::{atomic, brief};
use anyhow::{Context, Error, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(20);

/// How long a connection may take before the file is read again.
const PROBE: Duration = Duration::from_secs(2);

/// In the run directory: where rank 0 keeps its store. A file that an earlier start has left leads to no such store.
const FILE: &str = "rendezvous.json";

#[derive(Serialize, Deserialize)]
struct Published {
    host: String,
    port: u16,
    /// Also in the store, under `TOKEN`.
    token: String,
    /// As of [`Starter::Other`].
    job: String,
}

const TOKEN: &str = "token";

/// What the processes tell each other of themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Peer {
    pub host: String,
    pub pid: u32,
    /// The cores that it may use, as the system lists them.
    pub cores: String,
}

/// Finds the store of this start.
///
/// # Errors
/// None within `patience`.
pub(super) fn store(place: &Place, dir: &Path, host: &str, patience: Duration) -> Result<TcpStore> {
    match &place.starter {
        Starter::Agent { host, port, prefix } => {
            let agent = TcpStore::connect(host, *port, patience);
            agent.with_context(|| format!("torchrun's store at {host}:{port}"))?.prefixed(prefix)
        }
        Starter::Other(job) if place.rank == 0 => {
            let (store, port) = TcpStore::serve(patience)?;
            let token = format!("{host} {} {}", std::process::id(), crate::machine::unix_time());
            store.set(TOKEN, &token)?;
            fs::create_dir_all(dir).with_context(|| format!("{}: cannot be created", dir.display()))?;
            let published = Published { host: host.to_owned(), port, token, job: job.clone() };
            atomic::write(&dir.join(FILE), &serde_json::to_vec(&published)?)?;
            Ok(store)
        }
        Starter::Other(job) => find(dir, host, job, patience),
    }
}

/// Takes back what rank 0 has published, when all are there or will not come.
pub(super) fn retire(place: &Place, dir: &Path) {
    if place.rank == 0 && matches!(place.starter, Starter::Other(_)) {
        // Left behind it leads nobody astray.
        let _ = fs::remove_file(dir.join(FILE));
    }
}

/// The store that rank 0 has published.
fn find(dir: &Path, host: &str, job: &str, patience: Duration) -> Result<TcpStore> {
    let (path, since) = (dir.join(FILE), Instant::now());
    let mut last: Option<Error> = None;
    while since.elapsed() < patience {
        match open(&path, host, job, patience) {
            Ok(Some(store)) => return Ok(store),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        sleep(POLL);
    }
    let why = last.map_or(String::new(), |error| format!("; {}", brief(&error)));
    bail!(
        "rank 0 has not come within {} seconds: it publishes its address in {}{why}",
        patience.as_secs_f64(),
        path.display()
    )
}

/// The store of this start that the file leads to, if there is one.
fn open(path: &Path, host: &str, job: &str, patience: Duration) -> Result<Option<TcpStore>> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let published: Published = serde_json::from_slice(&text)?;
    if published.job != job {
        return Ok(None);
    }
    let address = if published.host == host { "localhost" } else { &published.host };
    let name = || format!("{}:{}", published.host, published.port);
    // libtorch would try for the whole time, and say so on stderr.
    let mut addresses = (address, published.port).to_socket_addrs().with_context(name)?;
    let reached = addresses.any(|address| TcpStream::connect_timeout(&address, PROBE).is_ok());
    ensure!(reached, "nothing answers at {}", name());
    let store = TcpStore::connect(address, published.port, patience)?;
    let is_of_this_start = store.has(TOKEN)? && store.get(TOKEN)? == published.token;
    Ok(is_of_this_start.then_some(store))
}

/// Waits until all processes have said that they are there; returns what they say of themselves.
///
/// # Errors
/// Those that have not come within `patience`, by their numbers.
pub(super) fn meet(store: &TcpStore, place: &Place, own: &Peer, patience: Duration) -> Result<Vec<Peer>> {
    let key = |rank: usize| format!("here/{rank}");
    store.set(&key(place.rank), &serde_json::to_string(own)?)?;
    let (mut missing, since): (Vec<usize>, _) = ((0..place.world).collect(), Instant::now());
    loop {
        let mut still = Vec::new();
        for &rank in &missing {
            if !store.has(&key(rank))? {
                still.push(rank);
            }
        }
        missing = still;
        if missing.is_empty() {
            break;
        }
        let names: Vec<_> = missing.iter().map(usize::to_string).collect();
        let (noun, verb) = if names.len() == 1 { ("rank", "has") } else { ("ranks", "have") };
        ensure!(
            since.elapsed() < patience,
            "{noun} {} of {} {verb} not come within {} seconds",
            names.join(", "),
            place.world,
            patience.as_secs_f64()
        );
        sleep(POLL);
    }
    let peer = |rank| Ok(serde_json::from_str(&store.get(&key(rank))?)?);
    (0..place.world).map(peer).collect()
}
