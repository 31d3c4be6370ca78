//! Collectives of the processes of a run, and what is said where one of them has ended.

#[cfg(feature = "distributed")]
pub use self::c10d::*;
#[cfg(not(feature = "distributed"))]
pub use self::none::*;

#[cfg(feature = "distributed")]
mod c10d {
    use super::super::environment::Place;
    use super::super::rendezvous::{Peer, meet, retire, store};
    use crate::torch::c10d::{ProcessGroup, TcpStore};
    use crate::{Interrupted, Usage, brief};
    use anyhow::{Error, Result, anyhow};
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::{self, JoinHandle, sleep};
    use std::time::{Duration, Instant};
    use std::{env, fs, process};
    use tch::Tensor;

    pub use crate::torch::c10d::Reducer;

    /// How long ranks wait for each other at the start.
    const JOIN: Duration = Duration::from_secs(120);
    const JOIN_VARIABLE: &str = "TCHVISION_RANK_TIMEOUT";
    /// How long one waits for the others in a step.
    const COLLECTIVE: Duration = Duration::from_secs(600);
    /// How long the watch waits for the end of a run.
    const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    /// How long a process may take to end by itself when another has ended.
    const GRACE: Duration = Duration::from_secs(2);

    pub struct Group {
        place: Place,
        peers: Vec<Peer>,
        main: ProcessGroup,
        /// Of another group, which nothing but the end of a rank or of the run disturbs.
        watch: Arc<ProcessGroup>,
        watcher: JoinHandle<()>,
        parted: Arc<AtomicBool>,
        store: Arc<TcpStore>,
    }

    /// What goes around the ring.
    const PARTED: i64 = 0;
    const LOST: i64 = 1;

    /// Why a rank ends, for the others.
    const USAGE: &str = "usage";
    const FAILED: &str = "failed";
    const INTERRUPTED: &str = "interrupted";

    fn reason(rank: usize) -> String {
        format!("reason/{rank}")
    }

    fn heard(rank: usize) -> String {
        format!("heard/{rank}")
    }

    impl Group {
        pub fn join(place: &Place, dir: &Path, lost: Box<dyn FnOnce(Error) + Send>) -> Result<Self> {
            let seconds = env::var(JOIN_VARIABLE).ok().and_then(|text| text.parse().ok());
            let patience = seconds.map_or(JOIN, Duration::from_secs_f64);
            let own = Peer { host: host(), pid: process::id(), cores: cores() };
            let store = Arc::new(store(place, dir, &own.host, patience)?);
            let peers = meet(&store, place, &own, patience);
            retire(place, dir);
            let peers = peers?;
            let open =
                |name: &str, time| ProcessGroup::new(&store.prefixed(name)?, place.rank, place.world, time);
            let (main, watch) = (open("main", COLLECTIVE)?, Arc::new(open("watch", FOREVER)?));
            let parted = Arc::new(AtomicBool::new(false));
            let watcher = thread::Builder::new().name("ranks".to_owned()).spawn({
                let (watch, store, parted) = (Arc::clone(&watch), Arc::clone(&store), Arc::clone(&parted));
                let (next, before) = (place.rank + 1, place.rank + place.world - 1);
                let [next, before] = [next, before].map(|rank| rank % place.world);
                move || {
                    // In a ring: a rank tells the one before it that the next has ended, and so on.
                    let byte = Tensor::from_slice(&[0u8]);
                    let error = match watch.receive(&byte, next) {
                        Ok(()) if byte.int64_value(&[0]) == PARTED => return,
                        Ok(()) => anyhow!("a rank further on"),
                        Err(error) => error,
                    };
                    if !parted.load(Ordering::Relaxed) {
                        // The one before may be the one that has ended.
                        let _ = watch.send(&Tensor::from_slice(&[LOST as u8]), before);
                    }
                    sleep(GRACE);
                    if !parted.load(Ordering::Relaxed) {
                        lost(why(&store, next..next + 1, &error));
                    }
                }
            })?;
            Ok(Self { place: place.clone(), peers, main, watch, watcher, parted, store })
        }

        pub fn host(&self) -> &str {
            &self.peers[self.place.rank].host
        }

        pub fn backend(&self) -> &'static str {
            "gloo"
        }

        /// How many ranks share the cores of this one.
        pub fn neighbours(&self) -> usize {
            let own = &self.peers[self.place.rank];
            self.peers.iter().filter(|peer| (&peer.host, &peer.cores) == (&own.host, &own.cores)).count()
        }

        fn met<T>(&self, outcome: Result<T>) -> Result<T> {
            outcome.map_err(|error| why(&self.store, 0..self.place.world, &error))
        }

        pub fn sum(&self, tensor: &Tensor) -> Result<()> {
            self.met(self.main.all_reduce(tensor))
        }

        pub fn broadcast(&self, tensors: &[Tensor]) -> Result<()> {
            self.met(self.main.broadcast(tensors))
        }

        pub fn reducer(&self, parameters: &[(String, Tensor)], some_unused: bool) -> Result<Reducer> {
            self.met(Reducer::new(&self.main, parameters, some_unused))
        }

        /// Leaves the reason why this rank ends where the others look for it. One that another has given is not given again.
        pub fn tell(&self, error: &Error) {
            let kind = match error {
                error if error.is::<Interrupted>() => INTERRUPTED,
                error if error.is::<Usage>() || error.is::<crate::Invalid>() => USAGE,
                _ => FAILED,
            };
            // Where even that is impossible, the others see that this one has ended.
            let _ = self.store.set(&reason(self.place.rank), &format!("{kind} {}", brief(error)));
        }

        /// What an error of gloo's means.
        pub fn explained(&self, error: Error) -> Error {
            let is_of_gloo = error.chain().any(|cause| cause.to_string().contains("gloo"));
            if is_of_gloo { why(&self.store, 0..self.place.world, &error) } else { error }
        }

        /// The reason that another has told.
        pub fn told(&self) -> Error {
            why(&self.store, 0..self.place.world, &anyhow!("another rank has failed"))
        }

        /// Where this process keeps the store, it is there until the others have read it, or are gone.
        pub fn linger(&self) {
            let since = Instant::now();
            let all_heard = || {
                let mut others = (1..self.place.world).map(|rank| self.store.has(&heard(rank)));
                others.all(|heard| heard.unwrap_or(true))
            };
            if self.place.rank != 0 {
                let _ = self.store.set(&heard(self.place.rank), "");
                return;
            }
            while since.elapsed() < GRACE && !all_heard() {
                sleep(Duration::from_millis(20));
            }
        }

        pub fn part(self) -> Result<()> {
            self.parted.store(true, Ordering::Relaxed);
            let world = self.place.world;
            let byte = Tensor::from_slice(&[PARTED as u8]);
            self.watch.send(&byte, (self.place.rank + world - 1) % world)?;
            // It hears from the one behind in the ring.
            let _ = self.watcher.join();
            Ok(())
        }
    }

    /// What one of these ranks says why it has ended, or that one has ended without a word.
    fn why(store: &TcpStore, ranks: std::ops::Range<usize>, error: &Error) -> Error {
        for rank in ranks {
            let key = reason(rank);
            let Ok(text) =
                store.has(&key).and_then(|told| if told { store.get(&key) } else { Ok(String::new()) })
            else {
                break;
            };
            let Some((kind, text)) = text.split_once(' ') else { continue };
            let text = format!("rank {rank}: {text}");
            return match kind {
                USAGE => Usage(text).into(),
                INTERRUPTED => Interrupted(text).into(),
                _ => anyhow!(text),
            };
        }
        let error = brief(error);
        // Of gloo's text what the system says: `… Read error [127.0.0.1]:20178: Connection reset by peer. This is …`.
        let said = ["Connection reset by peer", "Connection closed by peer", "Timed out"];
        let said = said.into_iter().find(|said| error.contains(said)).unwrap_or(&error);
        Interrupted(format!(
            "another rank has ended ({said}); start all again to go on from the last checkpoint"
        ))
        .into()
    }

    fn host() -> String {
        fs::read_to_string("/proc/sys/kernel/hostname")
            .map_or("localhost".to_owned(), |name| name.trim().to_owned())
    }

    fn cores() -> String {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        list.unwrap_or_default().trim().to_owned()
    }
}

/// Of a program without the feature there is none.
#[cfg(not(feature = "distributed"))]
mod none {
    use super::super::environment::Place;
    use crate::Usage;
    use anyhow::{Error, Result};
    use std::path::Path;
    use tch::Tensor;

    pub enum Group {}
    pub enum Reducer {}

    impl Group {
        pub fn join(place: &Place, _: &Path, _: Box<dyn FnOnce(Error) + Send>) -> Result<Self> {
            let text = "this program was built without the feature `distributed`, and trains by one process";
            Err(Usage(format!("{} processes were started, and {text}", place.world)).into())
        }

        pub fn host(&self) -> &str {
            match *self {}
        }

        pub fn backend(&self) -> &'static str {
            match *self {}
        }

        pub fn neighbours(&self) -> usize {
            match *self {}
        }

        pub fn sum(&self, _: &Tensor) -> Result<()> {
            match *self {}
        }

        pub fn broadcast(&self, _: &[Tensor]) -> Result<()> {
            match *self {}
        }

        pub fn reducer(&self, _: &[(String, Tensor)], _: bool) -> Result<Reducer> {
            match *self {}
        }

        pub fn tell(&self, _: &Error) {
            match *self {}
        }

        pub fn told(&self) -> Error {
            match *self {}
        }

        pub fn explained(&self, _: Error) -> Error {
            match *self {}
        }

        pub fn linger(&self) {
            match *self {}
        }

        pub fn part(self) -> Result<()> {
            match self {}
        }
    }

    impl Reducer {
        pub fn before_forward(&mut self) -> Result<()> {
            match *self {}
        }

        pub fn before_backward(&mut self, _: &Tensor) -> Result<()> {
            match *self {}
        }
    }
}
