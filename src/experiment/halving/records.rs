//! A race as the run directories tell it.

use super::super::metric::Metric;
use super::super::plan::Plan;
use super::super::trial::Trial;
use super::race::{Race, Runner};
use crate::statistics::mean;
use crate::train::{EpochMetrics, RunState};
use anyhow::Result;
use std::path::Path;

/// A race, with the trials of its runners.
pub(in super::super) struct Records<'a> {
    race: Race,
    /// The epochs of the rungs.
    rungs: Vec<u64>,
    /// The trials of each runner, and what their records say.
    trials: Vec<Vec<(&'a Trial, Record)>>,
}

/// What the records say of a trial.
struct Record {
    /// Its value at each rung that it has reached.
    reached: Vec<f64>,
    epoch: u64,
    state: RunState,
}

impl<'a> Records<'a> {
    /// Of a plan with an asynchronous halving.
    ///
    /// # Errors
    /// Records that cannot be read.
    pub fn of(plan: &'a Plan, dir: &Path) -> Result<Option<Self>> {
        let Some((halving, epochs, metric)) = &plan.race else { return Ok(None) };
        let (rungs, metric) = (halving.rungs(*epochs), *metric);
        let mut all = Vec::new();
        for seeds in plan.trials.chunk_by(|a, b| a.variant == b.variant) {
            let seeds = seeds.iter().map(|trial| Ok((trial, record(dir, trial, &rungs, metric)?)));
            all.push(seeds.collect::<Result<Vec<_>>>()?);
        }
        let runners = all.iter().map(|seeds| runner(seeds, &rungs)).collect();
        let factor = usize::try_from(halving.factor)?.max(2);
        Ok(Some(Self { race: Race { rungs: rungs.len(), factor, runners }, rungs, trials: all }))
    }

    /// What to train next, and to which epoch, where `None` is the end: the first that is allowed and that nobody is at.
    pub fn next(&self, is_taken: &dyn Fn(&Trial) -> bool) -> Option<(&'a Trial, Option<u64>)> {
        self.race.allowed().into_iter().find_map(|(level, runner)| {
            let free = |(trial, record): &&(&Trial, Record)| {
                let has_to = record.reached.len() == level && !matches!(record.state, RunState::Done(_));
                has_to && record.state != RunState::Running && !is_taken(trial)
            };
            let (trial, _) = self.trials[runner].iter().find(free)?;
            Some((*trial, self.rungs.get(level).copied()))
        })
    }

    /// The epoch after which a trial is dropped for good.
    pub fn dropped(&self, trial: &Trial) -> Option<u64> {
        let runner =
            self.trials.iter().position(|seeds| seeds.iter().any(|(other, _)| other.id == trial.id))?;
        self.race.dropped(runner).map(|rung| self.rungs[rung])
    }
}

fn record(dir: &Path, trial: &Trial, rungs: &[u64], metric: Metric) -> Result<Record> {
    let run = trial.run_dir(dir);
    let (rows, state) = (run.epochs()?, run.state()?);
    let value = |row: &EpochMetrics| row.evaluation().map(|seen| metric.rank(seen));
    let last = rows.iter().rev().find_map(value);
    let at = |&rung: &u64| rows.iter().find(|row| row.epoch == rung).and_then(value);
    // One that ended before a rung has its last value there.
    let is_done = matches!(state, RunState::Done(_));
    let reached = rungs.iter().map_while(|rung| at(rung).or(last.filter(|_| is_done))).collect();
    Ok(Record { reached, epoch: rows.last().map_or(0, |row| row.epoch), state })
}

/// The runner whose trials have these records.
fn runner(seeds: &[(&Trial, Record)], rungs: &[u64]) -> Runner {
    let all = |i: usize| {
        seeds.iter().map(|(_, record)| record.reached.get(i).copied()).collect::<Option<Vec<f64>>>()
    };
    let reached: Vec<f64> = (0..rungs.len()).map_while(|i| mean(&all(i)?)).collect();
    let last = reached.len().checked_sub(1).map_or(u64::MAX, |i| rungs[i]);
    Runner {
        goes_on: seeds.iter().any(|(_, record)| record.epoch > last),
        failed: seeds.iter().any(|(_, record)| matches!(record.state, RunState::Failed(_))),
        done: seeds.iter().all(|(_, record)| matches!(record.state, RunState::Done(_))),
        reached,
    }
}
