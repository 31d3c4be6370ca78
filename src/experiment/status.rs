//! How far the trials of an experiment are.

use super::choices::Choices;
use super::halving::Records;
use super::launch::{Queue, Queued};
use super::plan::Plan;
use super::size::size;
use super::trial::Trial;
use crate::train::RunState;
use anyhow::Result;
use serde::Serialize;
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
    /// Dropped by successive halving.
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
    /// What its directory takes on the disk.
    pub bytes: u64,
    /// Why it failed or was dropped; of one that is neither done nor queued, the last that it printed.
    pub reason: Option<String>,
    /// What the engine says of it, where it was handed to one (see [`join`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queued>,
}

/// Adds to what the directory tells what the engines say: of trials that are done, nothing more is to be said.
pub fn join(trials: &mut [TrialStatus], queue: &Queue) {
    for trial in trials.iter_mut().filter(|trial| trial.state != State::Done) {
        trial.queue = queue.trials.get(&trial.id).cloned();
        let is_live = trial.queue.as_ref().is_some_and(|queued| queued.is_live);
        if trial.reason.is_none() && trial.state != State::Running && !is_live {
            trial.reason = queue.last_words(&trial.id);
        }
    }
}

/// The state of every trial of a plan whose run directory is `dir`, also while it runs.
///
/// # Errors
/// Records that cannot be read.
pub fn status(plan: &Plan, dir: &Path) -> Result<Vec<TrialStatus>> {
    let choices = Choices::read(dir)?;
    let race = Records::of(plan, dir)?;
    let dropped = |trial: &Trial| choices.dropped(trial).or_else(|| race.as_ref()?.dropped(trial));
    plan.trials.iter().map(|trial| trial_status(trial, dir, dropped(trial))).collect()
}

fn trial_status(trial: &Trial, dir: &Path, dropped: Option<u64>) -> Result<TrialStatus> {
    let run = trial.run_dir(dir);
    let (state, reason) = match (run.state()?, dropped) {
        (RunState::Done(_), _) => (State::Done, None),
        (_, Some(epoch)) => (State::Dropped, Some(format!("among the worse after epoch {epoch}"))),
        (RunState::Running, None) => (State::Running, None),
        (RunState::Failed(reason), None) => (State::Failed, Some(reason)),
        (RunState::Interrupted, None) => (State::Interrupted, None),
        (RunState::Waiting, None) => (State::Waiting, None),
    };
    let rows = run.epochs()?;
    Ok(TrialStatus {
        id: trial.id.clone(),
        state,
        epoch: rows.last().map_or(0, |row| row.epoch),
        epochs: trial.config.train.epochs,
        top1: rows.iter().rev().find_map(|row| Some(row.evaluation()?.top1)),
        bytes: size(run.path())?,
        reason,
        queue: None,
    })
}
