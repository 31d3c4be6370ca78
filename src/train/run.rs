//! One run from its configuration to its result, in a directory from which it goes on when it is started again.

use super::begin::Begin;
use super::checkpoint::Progress;
use super::config::RunConfig;
use super::event::Event;
use super::header::Header;
use super::ranks::Ranks;
use super::record::RunResult;
use super::run_dir::RunDir;
use super::trainer::{Prepared, Together, Trainer};
use crate::torch::device;
use crate::{Interrupted, Usage, brief, machine};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use tch::Device;

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
    run_over(&Ranks::alone(), config, dir, begin, until, stop, observe)
}

/// As [`run_until`], together with other processes that call it alike: each learns from its micro-batches of a step, and
/// rank 0 writes all files. The result is the same in all.
///
/// # Errors
/// As [`run_until`]; what makes one end ends all. [`Usage`] for a batch that the processes cannot share alike.
pub fn run_over(
    ranks: &Ranks,
    config: &RunConfig,
    dir: &Path,
    begin: &Begin,
    until: u64,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event),
) -> Result<Option<RunResult>> {
    let outcome = train(ranks, config, dir, begin, until, stop, observe);
    outcome.map_err(|error| ranks.fail(error))
}

fn train(
    ranks: &Ranks,
    config: &RunConfig,
    dir: &Path,
    begin: &Begin,
    until: u64,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event),
) -> Result<Option<RunResult>> {
    let dir = RunDir::new(dir);
    let take = || -> Result<_> {
        let new = dir.create()?;
        Ok((new, Some(dir.own()?)))
    };
    let (new, owner) = ranks.agree(if ranks.leads() { take() } else { Ok((None, None)) })?;
    let abandon = || if ranks.leads() { dir.abandon(new.as_deref()) } else { Ok(()) };
    if new.is_some()
        && config.train.distillation.is_some()
        && let Err(error) =
            config.data.shape().and_then(|(input, classes)| config.check_teacher(input, classes))
    {
        abandon().with_context(|| brief(&error))?;
        return Err(error);
    }
    let config = &match ranks.agree(config.with_checksums(&dir, observe)) {
        Err(error) if new.is_some() => {
            abandon().with_context(|| brief(&error))?;
            return Err(error);
        }
        with => with?,
    };
    let extended: &[String] = if let Begin::Extend(keys) = begin { keys } else { &[] };
    let changes = ranks.agree(dir.check_config(config, Some(extended)))?;
    if changes.is_none() && !extended.is_empty() {
        abandon()?;
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
    let mut carry_out = || -> Result<_> {
        // As this start carries it out, which its identity does not say.
        let carried = dealt(config, &dir, ranks)?;
        let mut trainer = ranks.agree(Trainer::new(
            &carried,
            &dir,
            begin,
            Together { ranks, owner: owner.as_ref() },
            observe,
        ))?;
        let note = || -> Result<()> {
            dir.write_config(config)?;
            dir.clear_outcome()?;
            dir.write_start(&trainer.start(changes.clone().unwrap_or_default()))
        };
        ranks.agree(if ranks.leads() { note() } else { Ok(()) })?;
        let outcome = trainer.run(until, stop, observe);
        has_begun = trainer.has_begun();
        outcome
    };
    let outcome = carry_out();
    match &outcome {
        Err(error) if error.is::<Interrupted>() => {}
        _ if !ranks.leads() => {}
        // So that the same command, corrected, is a first start again.
        Err(error) if changes.is_none() && !has_begun => {
            abandon().with_context(|| brief(error))?;
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

/// The micro-batches of a step that so many processes share, in the run that is in `dir` or is to be.
///
/// # Errors
/// As [`TrainConfig::micro_batches`](super::TrainConfig::micro_batches), or a checkpoint that cannot be read.
pub fn micro_batches(config: &RunConfig, dir: &Path, ranks: usize) -> Result<usize> {
    let checkpoint = RunDir::new(dir).checkpoint();
    let begun = if checkpoint.exists() {
        Some(Progress::read(&checkpoint)?.micro_batches.unwrap_or(config.train.accumulate))
    } else {
        None
    };
    config.train.micro_batches(ranks, begun)
}

/// The configuration with as many micro-batches as the processes share, and each one's part of the cores of its node.
fn dealt(config: &RunConfig, dir: &RunDir, ranks: &Ranks) -> Result<RunConfig> {
    let mut dealt = config.clone();
    let resolved = device::resolve(&config.device)?;
    let message = "several processes train on the CPU alone here; write `device: cpu`, or start one";
    ensure!(ranks.world() == 1 || resolved == Device::Cpu, Usage(message.to_owned()));
    dealt.train.accumulate = micro_batches(config, dir.path(), ranks.world())?;
    if ranks.world() > 1 {
        let cores = ranks.cores(machine::cores());
        dealt.threads = dealt.threads.or(Some(cores));
        dealt.data.workers = dealt.data.workers.or(Some(cores));
    }
    Ok(dealt)
}
