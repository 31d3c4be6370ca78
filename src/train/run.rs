//! One run from its configuration to its result, in a directory from which it goes on when it is started again.

use super::config::RunConfig;
use super::record::{EpochMetrics, RunResult};
use super::trainer::Trainer;
use crate::{Interrupted, Usage, atomic};
use anyhow::{Context, Result, bail};
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::atomic::AtomicBool;

const CONFIG: &str = "config.yaml";
pub(super) const RESULT: &str = "result.json";
const FAILED: &str = "failed.txt";

/// What a run tells while it goes.
pub enum Event<'a> {
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
    Epoch(&'a EpochMetrics),
}

/// Trains as `config` says, in `dir`, and returns the result; a run that is done is not run again.
///
/// The directory gets `config.yaml`, `metrics.jsonl`, TensorBoard events, `last.safetensors` (all state),
/// `best.safetensors` (weights of the best evaluation) and at the end `result.json`. When `stop` becomes true the run
/// is saved and ends with [`Interrupted`].
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
    fs::create_dir_all(dir).with_context(|| format!("{}: cannot be made", dir.display()))?;
    let _lock = lock(dir)?;
    claim(config, dir)?;
    if let Ok(text) = fs::read_to_string(dir.join(RESULT)) {
        return serde_json::from_str(&text).with_context(|| format!("{}", dir.join(RESULT).display()));
    }
    let failed = dir.join(FAILED);
    if failed.exists() {
        fs::remove_file(&failed).with_context(|| format!("{}", failed.display()))?;
    }
    let outcome = Trainer::new(config, dir).and_then(|mut trainer| trainer.run(stop, observe));
    if let Err(error) = &outcome
        && !error.is::<Interrupted>()
    {
        atomic::write(&failed, crate::brief(error).as_bytes())?;
    }
    outcome
}

/// Makes sure that no other process trains in the same directory.
fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("run.lock");
    let file = File::create(&path).with_context(|| format!("{}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("{}: another process trains there; wait for it, or choose another directory", dir.display())
        }
        Err(TryLockError::Error(e)) => Err(e).with_context(|| format!("{}", path.display())),
    }
}

/// Writes the configuration down, or checks that the directory's is the same.
fn claim(config: &RunConfig, dir: &Path) -> Result<()> {
    let path = dir.join(CONFIG);
    let Ok(text) = fs::read_to_string(&path) else {
        return atomic::write(&path, serde_yaml::to_string(config)?.as_bytes());
    };
    let there: RunConfig = serde_yaml::from_str(&text).with_context(|| format!("{}", path.display()))?;
    if there != *config {
        let remedy = "choose another directory (--out), or remove this one";
        let path = path.display();
        return Err(
            Usage(format!("{path}: the directory holds a run of another configuration; {remedy}")).into()
        );
    }
    Ok(())
}
