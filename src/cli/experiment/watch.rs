//! `tchvision experiment watch`: how far an experiment is, until nothing of it runs or waits in a queue.

use super::super::{print, print_json, signals};
use super::which::Which;
use anyhow::Result;
use std::path::absolute;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;
use tchvision::experiment::{self, State, TrialStatus};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
}

/// Prints a line whenever something has changed; with `--json` a document a line, and all trials at the end.
pub fn watch(Args { which, every }: &Args) -> Result<()> {
    let experiment = which.experiment()?;
    let dir = which.dir(&experiment);
    let stop = signals()?;
    let mut said = String::new();
    loop {
        let mut trials = experiment::status(&which.plan(&experiment)?, &dir)?;
        experiment::join(&mut trials, &experiment::launch::queue(&absolute(&dir)?)?);
        let line = summary(&trials);
        if line != said && !which.json {
            print(&line)?;
        }
        said = line;
        let goes_on = |trial: &TrialStatus| {
            trial.state == State::Running || trial.queue.as_ref().is_some_and(|queued| queued.is_live)
        };
        if !trials.iter().any(goes_on) || stop.load(Ordering::Relaxed) {
            return if which.json { print_json(&trials) } else { Ok(()) };
        }
        for _ in 0..every * 10 {
            if !stop.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(100));
            }
        }
    }
}

/// `3 of 8 done, 2 running (41 of 80 epochs), 3 waiting; best so far lr=0.1_seed=0 with 91.20 %`.
fn summary(trials: &[TrialStatus]) -> String {
    let count = |state: State| trials.iter().filter(|trial| trial.state == state).count();
    let mut text = format!("{} of {} done", count(State::Done), trials.len());
    for (state, name) in [
        (State::Running, "running"),
        (State::Interrupted, "interrupted"),
        (State::Waiting, "waiting"),
        (State::Failed, "failed"),
        (State::Dropped, "dropped"),
    ] {
        if count(state) > 0 {
            text += &format!(", {} {name}", count(state));
        }
    }
    let (epoch, epochs) = trials.iter().fold((0, 0), |(a, b), trial| (a + trial.epoch, b + trial.epochs));
    text += &format!("; epoch {epoch} of {epochs}");
    let best = trials
        .iter()
        .filter(|trial| trial.top1.is_some())
        .max_by(|a, b| a.top1.unwrap_or_default().total_cmp(&b.top1.unwrap_or_default()));
    best.map_or(text.clone(), |best| {
        format!("{text}; best so far {} with {:.2} %", best.id, best.top1.unwrap_or_default())
    })
}
