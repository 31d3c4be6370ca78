//! One run from its configuration to its result, in a directory from which it goes on when it is started again.

use super::begin::Begin;
use super::config::RunConfig;
use super::event::Event;
use super::header::Header;
use super::record::RunResult;
use super::run_dir::RunDir;
use super::trainer::{Prepared, Trainer};
use crate::{Interrupted, Usage, brief};
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
/// process at work in `dir`. Before the first step of a new run nothing is left in `dir`; later the reason is in
/// `failed.txt`, and the last good checkpoint is kept.
pub fn run(
    config: &RunConfig,
    dir: &Path,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event),
) -> Result<RunResult> {
    run_until(config, dir, &Begin::There, u64::MAX, stop, observe)?.context("a run without an end")
}

/// As [`run`], but from `begin` on, and to the end of epoch `until` at most: a run that has more to do is saved there, and
/// `None` returned.
///
/// # Errors
/// As [`run`], nothing to extend, or another checkpoint to begin at than the run in `dir` began at.
pub fn run_until(
    config: &RunConfig,
    dir: &Path,
    begin: &Begin,
    until: u64,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event),
) -> Result<Option<RunResult>> {
    let dir = RunDir::new(dir);
    let new = dir.create()?;
    let _lock = dir.lock()?;
    if new.is_some()
        && config.train.distillation.is_some()
        && let Err(error) =
            config.data.shape().and_then(|(input, classes)| config.check_teacher(input, classes))
    {
        dir.abandon(new.as_deref()).with_context(|| brief(&error))?;
        return Err(error);
    }
    let config = &match config.with_checksums(&dir, observe) {
        Err(error) if new.is_some() => {
            dir.abandon(new.as_deref()).with_context(|| brief(&error))?;
            return Err(error);
        }
        with => with?,
    };
    let extended: &[String] = if let Begin::Extend(keys) = begin { keys } else { &[] };
    let changes = dir.check_config(config, Some(extended))?;
    if changes.is_none() && !extended.is_empty() {
        dir.abandon(new.as_deref())?;
        return Err(Usage(format!("{}: there is no run to extend", dir.path().display())).into());
    }
    if let (Begin::From(run), true) = (begin, changes.is_some()) {
        dir.check_parent(&RunDir::new(run).checkpoint())?;
    }
    let goes_further = changes.iter().flatten().any(|change| extended.contains(&change.key));
    if let (Some(result), false) = (dir.result()?, goes_further) {
        return Ok(Some(result));
    }
    let mut has_begun = false;
    let outcome = Trainer::new(config, &dir, begin, observe).and_then(|mut trainer| {
        dir.write_config(config)?;
        dir.clear_outcome()?;
        dir.write_start(&trainer.start(changes.clone().unwrap_or_default()))?;
        let outcome = trainer.run(until, stop, observe);
        has_begun = trainer.has_begun();
        outcome
    });
    match &outcome {
        Err(error) if error.is::<Interrupted>() => {}
        // So that the same command, corrected, is a first start again.
        Err(error) if changes.is_none() && !has_begun => {
            dir.abandon(new.as_deref()).with_context(|| brief(error))?;
        }
        Err(error) => dir.write_failure(&brief(error))?,
        Ok(_) => {}
    }
    outcome
}

/// What a run in `dir` would be, from `begin` on. Reads the data, builds no weights and writes nothing.
///
/// # Errors
/// As [`run_until`] before its first step, but for a memory that is too small.
pub fn plan(config: &RunConfig, dir: &Path, begin: &Begin, observe: &mut dyn FnMut(Event)) -> Result<Header> {
    let dir = RunDir::new(dir);
    let extended: &[String] = if let Begin::Extend(keys) = begin { keys } else { &[] };
    dir.check_config(config, Some(extended))?;
    Ok(Prepared::new(config, &dir, begin, observe)?.header)
}
