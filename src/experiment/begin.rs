//! The directory of an experiment, as it is before its trials run.

use super::plan::Plan;
use super::source::Experiment;
use super::trial::Trial;
use crate::{atomic, train};
use anyhow::{Context, Result};
use rayon::prelude::*;
use std::fs::{self, File};
use std::path::Path;

/// Held by the process that runs the experiment.
pub(super) const LOCK: &str = "run.lock";

/// Holds `dir` for this process as long as the file is open, and writes the experiment and its plan there.
///
/// # Errors
/// A directory that cannot be written, or where another process runs the experiment.
pub(super) fn begin(experiment: &Experiment, plan: &Plan, dir: &Path) -> Result<File> {
    fs::create_dir_all(dir).with_context(|| format!("{}: cannot be created", dir.display()))?;
    let lock = train::lock(&dir.join(LOCK))?;
    atomic::write(&dir.join("experiment.yaml"), experiment.text()?.as_bytes())?;
    atomic::write(&dir.join("plan.json"), &serde_json::to_vec_pretty(plan)?)?;
    Ok(lock)
}

/// Writes the run directories from which trials start.
///
/// # Errors
/// A directory that cannot be written.
pub(super) fn write_trials(trials: &[&Trial], dir: &Path) -> Result<()> {
    // Side by side: each waits for the disk.
    trials.par_iter().try_for_each(|trial| {
        let run = trial.run_dir(dir);
        run.create()?;
        run.write_config(&trial.config)
    })
}
