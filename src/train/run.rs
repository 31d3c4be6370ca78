//! One run from its configuration to its result, in a directory from which it goes on when it is started again.

use super::config::RunConfig;
use super::record::{EpochMetrics, RunResult};
use super::trainer::Trainer;
use crate::data::Skipped;
use crate::{Interrupted, Remedy, Usage, atomic, yaml};
use anyhow::{Context, Error, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The configuration, as given.
pub(crate) const CONFIG: &str = "config.yaml";
/// The result; it is there once the run is done.
pub(crate) const RESULT: &str = "result.json";
/// Why the run failed.
pub(crate) const FAILED: &str = "failed.txt";
/// Held by the process at work.
const LOCK: &str = "run.lock";
/// How long a lock that is held is waited for: its owner may be ending.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a run tells while it goes; one JSON object a line between processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Training begins, or goes on after `step`.
    Started {
        steps: u64,
        step: u64,
        images_per_step: usize,
    },
    /// A step is over; the loss is there where it was read.
    Step {
        epoch: u64,
        step: u64,
        loss: Option<f64>,
    },
    Epoch(EpochMetrics),
    /// A picture cannot be read and is left out; said once.
    Skipped(Skipped),
}

/// Trains as `config` says, in `dir`, and returns the result; a run that is done is not run again.
///
/// The directory gets `config.yaml`, `metrics.jsonl`, TensorBoard events, `last.safetensors` (all state),
/// `best.safetensors` (weights of the best evaluation) and at the end `result.json`. When `stop` becomes true the run
/// is saved and ends with [`Interrupted`]. The same bits come out again while nothing else in the process draws from
/// libtorch's generator, of which there is one.
///
/// # Errors
/// Configuration, data or device that cannot be, a loss that is not finite, another process at work in `dir`; the
/// reason is also left in `failed.txt`, and the last good checkpoint is kept.
pub fn run(
    config: &RunConfig,
    dir: &Path,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event),
) -> Result<RunResult> {
    run_until(config, dir, u64::MAX, stop, observe)?.context("a run without an end")
}

/// As [`run`], but to the end of epoch `until` at most: a run that has more to do is saved there, and `None` returned.
///
/// # Errors
/// As [`run`].
pub fn run_until(
    config: &RunConfig,
    dir: &Path,
    until: u64,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event),
) -> Result<Option<RunResult>> {
    fs::create_dir_all(dir).with_context(|| format!("{}: cannot be made", dir.display()))?;
    let _lock = lock(dir)?;
    claim(config, dir)?;
    if let Ok(text) = fs::read_to_string(dir.join(RESULT)) {
        let result = serde_json::from_str(&text);
        return result.map(Some).with_context(|| format!("{}", dir.join(RESULT).display()));
    }
    let failed = dir.join(FAILED);
    if failed.exists() {
        fs::remove_file(&failed).with_context(|| format!("{}", failed.display()))?;
    }
    let outcome = Trainer::new(config, dir).and_then(|mut trainer| trainer.run(until, stop, observe));
    if let Err(error) = &outcome
        && !error.is::<Interrupted>()
    {
        atomic::write(&failed, crate::brief(error).as_bytes())?;
    }
    outcome
}

/// Makes sure that no other process works in the same directory.
///
/// # Errors
/// Another process does.
pub(crate) fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK);
    let file = File::create(&path).with_context(|| format!("{}", path.display()))?;
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if since.elapsed() < PATIENCE => sleep(Duration::from_millis(50)),
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "{}: another process trains there; wait for it, or choose another directory",
                    dir.display()
                )
            }
            Err(TryLockError::Error(e)) => return Err(e).with_context(|| format!("{}", path.display())),
        }
    }
}

/// Whether a process works in the directory now.
pub(crate) fn is_running(dir: &Path) -> bool {
    let held = |file: File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    File::open(dir.join(LOCK)).is_ok_and(held)
}

/// Writes the configuration down, or checks that the directory's is the same.
fn claim(config: &RunConfig, dir: &Path) -> Result<()> {
    let path = dir.join(CONFIG);
    let Ok(text) = fs::read_to_string(&path) else {
        return atomic::write(&path, yaml::to_string(config)?.as_bytes());
    };
    let there: RunConfig = yaml::parse(&text, &path.display().to_string())?;
    if there != *config {
        let text = format!("{}: the directory holds a run of another configuration", path.display());
        return Err(Error::new(Remedy::RunDirectory).context(Usage(text)));
    }
    Ok(())
}
