//! How far the trials of an experiment are.

use super::halving::Choices;
use super::plan::{Plan, Trial};
use super::run::trial_dir;
use crate::train::{self, EpochMetrics, RunResult};
use crate::yaml;
use anyhow::{Context, Result};
use serde::Serialize;
use std::fs;
use std::path::Path;

/// Where a trial stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Waiting,
    Running,
    /// Begun, and not at work now: it goes on from its checkpoint.
    Interrupted,
    Failed,
    /// Given up by successive halving.
    Dropped,
    Done,
}

/// One trial of [`status`].
#[derive(Clone, Debug, Serialize)]
pub struct TrialStatus {
    pub id: String,
    pub state: State,
    /// Epochs that are over, of so many.
    pub epoch: u64,
    pub epochs: u64,
    /// Of the last evaluation, in percent.
    pub top1: Option<f64>,
    /// Why it failed.
    pub reason: Option<String>,
}

/// The state of every trial of a plan whose run directory is `dir`, also while it runs.
///
/// # Errors
/// Records that cannot be read.
pub fn status(plan: &Plan, dir: &Path) -> Result<Vec<TrialStatus>> {
    let choices = Choices::read(dir)?;
    let status = |trial: &Trial| {
        let mut status = trial_status(trial, &trial_dir(dir, trial))?;
        if let (Some(epoch), true) = (choices.dropped(trial), status.state != State::Done) {
            status.state = State::Dropped;
            status.reason = Some(format!("among the worse after epoch {epoch}"));
        }
        Ok(status)
    };
    plan.trials.iter().map(status).collect()
}

fn trial_status(trial: &Trial, dir: &Path) -> Result<TrialStatus> {
    let rows = epochs(dir)?;
    let reason = fs::read_to_string(dir.join(train::FAILED)).ok();
    let state = match (result(dir)?, train::is_running(dir), &reason, rows.is_empty()) {
        (Some(_), ..) => State::Done,
        (_, true, ..) => State::Running,
        (_, _, Some(_), _) => State::Failed,
        (_, _, None, false) => State::Interrupted,
        (_, _, None, true) => State::Waiting,
    };
    Ok(TrialStatus {
        id: trial.id.clone(),
        state,
        epoch: rows.last().map_or(0, |row| row.epoch),
        epochs: trial.config.train.epochs,
        top1: rows.iter().rev().find_map(|row| row.test_top1),
        reason: reason.filter(|_| state == State::Failed),
    })
}

/// The result of the run in `dir`, if it is done.
pub(super) fn result(dir: &Path) -> Result<Option<RunResult>> {
    let path = dir.join(train::RESULT);
    let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
    Ok(Some(serde_json::from_str(&text).with_context(|| format!("{}: remove it", path.display()))?))
}

/// The result of a trial of the experiment in `dir`, if it is done with these settings.
pub(super) fn finished(trial: &Trial, dir: &Path) -> Result<Option<RunResult>> {
    let dir = trial_dir(dir, trial);
    let config = dir.join(train::CONFIG);
    match config.exists() && yaml::load::<train::RunConfig>(&config)? == trial.config {
        true => result(&dir),
        false => Ok(None),
    }
}

/// The epochs of the run in `dir` that are over.
pub(super) fn epochs(dir: &Path) -> Result<Vec<EpochMetrics>> {
    let path = dir.join(train::METRICS);
    let Ok(text) = fs::read_to_string(&path) else { return Ok(Vec::new()) };
    let row = |line| serde_json::from_str(line).with_context(|| format!("{}: not a row", path.display()));
    text.lines().map(row).collect()
}
