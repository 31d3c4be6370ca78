//! One run from its configuration to its result, in a directory from which it goes on when it is started again.

use super::config::RunConfig;
use super::event::Event;
use super::record::RunResult;
use super::run_dir::RunDir;
use super::trainer::Trainer;
use crate::{Interrupted, brief};
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Trains as `config` says, in `dir`, and returns the result; a run that is done is not run again.
///
/// The directory gets `config.yaml`, `metrics.jsonl`, TensorBoard events, `last.safetensors` (all state),
/// `best.safetensors` (weights of the best evaluation) and at the end `result.json`. When `stop` becomes true the run
/// is saved and ends with [`Interrupted`]. The same bits come out again while nothing else in the process draws from
/// libtorch's generator, of which there is one.
///
/// # Errors
/// An impossible configuration, data that cannot be read, a device that is not there, a loss that is not finite, another
/// process at work in `dir`; the reason is also left in `failed.txt`, and the last good checkpoint is kept.
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
    let dir = RunDir::new(dir);
    dir.create()?;
    let _lock = dir.lock()?;
    dir.check_config(config)?;
    dir.write_config(config)?;
    if let Some(result) = dir.result()? {
        return Ok(Some(result));
    }
    dir.clear_failure()?;
    let outcome = Trainer::new(config, &dir).and_then(|mut trainer| trainer.run(until, stop, observe));
    if let Err(error) = &outcome
        && !error.is::<Interrupted>()
    {
        dir.write_failure(&brief(error))?;
    }
    outcome
}
