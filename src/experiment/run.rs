//! Running the trials that are missing.

use super::begin::{begin, write_trials};
use super::choices::Choices;
use super::halving::{Halving, Records};
use super::order;
use super::plan::Plan;
use super::pool::{Pool, RunOptions, Task, Tasks, TrialEvent};
use super::source::Experiment;
use super::spec::Spec;
use super::trial::Trial;
use crate::Interrupted;
use anyhow::{Result, bail};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A trial that failed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub id: String,
    pub reason: String,
}

/// What a run of the experiment did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Trials that were done before.
    pub already: usize,
    /// Trials that ran to their end now.
    pub ran: usize,
    pub failures: Vec<Failure>,
}

/// Runs what is missing of an experiment in `dir`; a trial that fails does not stop the others.
///
/// When `stop` becomes true, the running trials are asked to save and stop, and the call ends with [`Interrupted`].
///
/// # Errors
/// Before anything runs: an impossible experiment, or a directory that holds trials of another configuration. A directory
/// that cannot be written, or where another process runs the experiment.
pub fn run(
    experiment: &Experiment,
    dir: &Path,
    options: &RunOptions,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(&Trial, TrialEvent),
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for step in 0.. {
        let plan = experiment.plan_in(dir)?;
        let wanted = plan.only(&options.only)?;
        let _lock = if options.beside { None } else { Some(begin(experiment, &plan, dir)?) };
        let (mut done, mut missing) = (0, Vec::new());
        for trial in wanted {
            match trial.run_dir(dir).result()? {
                Some(_) => done += 1,
                None => missing.push(trial),
            }
        }
        if step == 0 {
            outcome.already = done;
        }
        let mut work = Work { dir, options, stop, outcome: &mut outcome, observe };
        match &experiment.spec.halving {
            // Trials asked for by name are not dropped.
            Some(halving) if options.only.is_empty() && halving.asynchronous => work.race(&plan, missing)?,
            Some(halving) if options.only.is_empty() => work.halve(halving, missing, &experiment.spec)?,
            _ => work.run_in_order(missing)?,
        }
        let ended = stop.load(Ordering::Relaxed) || !outcome.failures.is_empty();
        // A search that is done has a second step.
        if ended || plan.next.is_none() || experiment.plan_in(dir)?.next.is_some() {
            break;
        }
    }
    if stop.load(Ordering::Relaxed) {
        let dir = dir.display();
        bail!(Interrupted(format!(
            "interrupted with everything saved in {dir}; run the same command again to go on"
        )));
    }
    Ok(outcome)
}

/// What all trials of one call share.
struct Work<'a> {
    dir: &'a Path,
    options: &'a RunOptions,
    stop: &'a AtomicBool,
    outcome: &'a mut Outcome,
    observe: &'a mut dyn FnMut(&Trial, TrialEvent),
}

impl Work<'_> {
    /// Trains all to each rung, and drops the worse ones there.
    fn halve(&mut self, halving: &Halving, mut trials: Vec<&Trial>, spec: &Spec) -> Result<()> {
        let mut choices = Choices::read(self.dir)?;
        for rung in halving.rungs(spec.base.train.epochs) {
            trials.retain(|trial| choices.dropped(trial).is_none());
            self.run_to(trials.clone(), Some(rung))?;
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            choices.choose(self.dir, &trials, rung, halving.factor, spec.report.y)?;
        }
        trials.retain(|trial| choices.dropped(trial).is_none());
        self.run_to(trials, None)
    }

    /// Trains what the records allow, until they allow nothing more.
    fn race(&mut self, plan: &Plan, missing: Vec<&Trial>) -> Result<()> {
        let dir = self.dir;
        if !self.options.beside {
            write_trials(&missing, dir)?;
        }
        let decide = move |is_taken: &dyn Fn(&Trial) -> bool| {
            Ok(Records::of(plan, dir)?.and_then(|records| records.next(is_taken)))
        };
        self.run(Tasks::Decided(Box::new(decide)))
    }

    /// Runs these trials to the end, each after the one from whose weights it starts.
    fn run_in_order(&mut self, trials: Vec<&Trial>) -> Result<()> {
        for wave in order::waves(trials).0 {
            if !self.stop.load(Ordering::Relaxed) {
                self.run_to(wave, None)?;
            }
        }
        Ok(())
    }

    /// Runs these trials, to an epoch or to the end.
    fn run_to(&mut self, trials: Vec<&Trial>, until: Option<u64>) -> Result<()> {
        write_trials(&trials, self.dir)?;
        let tasks: Vec<Task> = trials.into_iter().map(|trial| (trial, until)).collect();
        self.run(Tasks::Listed(Mutex::new(tasks.into_iter())))
    }

    /// Runs tasks, and counts how they ended.
    fn run<'t>(&'t mut self, tasks: Tasks<'t>) -> Result<()> {
        Pool::new(self.dir, self.options, self.stop, tasks).run(&mut |trial, event| {
            match &event {
                TrialEvent::Over(Some(Ok(_))) => self.outcome.ran += 1,
                TrialEvent::Over(Some(Err(reason))) => {
                    self.outcome.failures.push(Failure { id: trial.id.clone(), reason: reason.clone() });
                }
                _ => {}
            }
            (self.observe)(trial, event);
        })
    }
}
