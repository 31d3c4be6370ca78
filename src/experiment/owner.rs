//! Which experiment a run directory belongs to.

use super::source::Experiment;
use super::trial::Trial;
use crate::train::{Change, changes};
use crate::{Remedy, Usage};
use anyhow::{Error, Result};
use std::path::Path;

/// Settings that a message lists.
const MAX_CHANGES: usize = 6;

/// Checks that a run directory is free, or this experiment's: the same question, and the same base but for circumstances.
/// Axes, variants, seeds and the report may have changed; trials that are there stay as they are.
///
/// # Errors
/// [`Usage`] for a directory of another experiment: both questions, or the settings that differ.
pub(super) fn check(experiment: &Experiment, dir: &Path) -> Result<()> {
    if !dir.join("experiment.yaml").exists() {
        return Ok(());
    }
    let there = Experiment::read(dir, &[])?;
    let (old, new) = (&there.spec.question, &experiment.spec.question);
    if old != new {
        return Err(refused(dir, format!("it answers another question: `{old}`, and not `{new}`")));
    }
    let changes = changes(&there.spec.base, &experiment.spec.base)?;
    let texts: Vec<String> =
        changes.iter().filter(|change| change.is_of_identity()).map(Change::text).collect();
    if texts.is_empty() {
        return Ok(());
    }
    let more = if texts.len() > MAX_CHANGES { "; …" } else { "" };
    let shown = texts[..texts.len().min(MAX_CHANGES)].join("; ");
    Err(refused(dir, format!("its trials have another base: {shown}{more}")))
}

/// Checks that the trials that are there are those of the plan.
///
/// # Errors
/// As [`check`].
pub(super) fn check_trials(trials: &[Trial], dir: &Path) -> Result<()> {
    trials.iter().try_for_each(|trial| trial.run_dir(dir).check_config(&trial.config, None).map(drop))
}

fn refused(dir: &Path, what: String) -> Error {
    Error::new(Remedy::RunDirectory).context(Usage(format!("{}: {what}", dir.display())))
}
