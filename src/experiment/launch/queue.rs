//! What the engines say of trials that were handed to them.

use super::kubernetes;
use super::list::{List, WORKER};
use super::local;
use super::slurm;
use crate::brief;
use anyhow::Result;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;

/// What an engine says of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Queued {
    /// As the engine names it: `812_3` of Slurm, a pod.
    pub job: String,
    /// In the engine's words: `PENDING`, `RUNNING`, `FAILED`.
    pub state: String,
    /// Why it waits or ended so, in the engine's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Whether it runs or may still run.
    #[serde(skip)]
    pub is_live: bool,
}

/// For people: `812_3 PENDING (Resources)`.
impl fmt::Display for Queued {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.job, self.state)?;
        self.node.as_ref().map_or(Ok(()), |node| write!(f, " on {node}"))?;
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, " ({reason})"))
    }
}

/// The engines' view of an experiment.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// By the trials' IDs.
    pub trials: HashMap<String, Queued>,
    /// Elements that train what an asynchronous halving allows, and may still run.
    pub workers: usize,
    /// Why an engine that has trials does not answer: they may be queued.
    pub silent: Option<String>,
    /// The last line that each trial's element printed, by the trials' IDs; of trials that no engine remembers too.
    last: HashMap<String, (List, usize)>,
}

impl Queue {
    /// The last line that a trial's element or its engine printed.
    pub fn last_words(&self, trial: &str) -> Option<String> {
        let (list, index) = self.last.get(trial)?;
        let text = fs::read(list.log(*index)).ok()?;
        let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(4096)..]).into_owned();
        tail.lines().rev().find(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
    }
}

/// Asks the engines that have trials of the experiment in `dir`, an absolute path.
///
/// # Errors
/// Lists that cannot be read.
pub fn queue(dir: &Path) -> Result<Queue> {
    let lists = List::all(dir)?;
    let mut queue = Queue::default();
    for list in &lists {
        for (index, trial) in list.trials.iter().enumerate() {
            queue.last.insert(trial.clone(), (list.clone(), index));
        }
    }
    let (pods, arrays): (Vec<&List>, Vec<&List>) =
        lists.iter().partition(|list| list.script("yaml").exists());
    let names: Vec<String> = arrays.iter().map(|list| list.name(dir)).collect();
    match slurm::jobs(&names) {
        Ok(jobs) => {
            let lists: HashMap<&str, &List> = names.iter().map(String::as_str).zip(arrays).collect();
            let mut found: Vec<_> = jobs
                .into_iter()
                .filter_map(|job| {
                    let list = lists.get(job.name.as_str())?;
                    Some((list.number, list.trials.get(job.index?)?.clone(), job))
                })
                .collect();
            queue.workers += found.iter().filter(|(_, line, job)| line == WORKER && job.is_live()).count();
            found.retain(|(_, line, _)| line != WORKER);
            // The last one tells: of those that live, or of all where none does, the newest.
            found.sort_by_key(|(number, _, job)| (job.is_live(), *number, job.array.parse::<u64>().ok()));
            queue.trials.extend(found.into_iter().map(|(_, trial, job)| {
                let (id, is_live) = (job.id(), job.is_live());
                (trial, Queued { job: id, state: job.state, reason: job.reason, node: job.node, is_live })
            }));
        }
        Err(error) => queue.silent = Some(brief(&error)),
    }
    match kubernetes::pods(dir, &pods) {
        Ok((workers, found)) => {
            queue.workers += workers;
            queue.trials.extend(found);
        }
        Err(error) => queue.silent = Some(brief(&error)),
    }
    Ok(queue)
}

/// What was taken from an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cancelled {
    /// Slurm's arrays and jobs, Kubernetes' jobs, processes of this machine.
    pub jobs: Vec<String>,
}

/// Takes all trials of the experiment in `dir`, an absolute path, from the engines that have them; those at work save
/// first, and go on when they are launched again.
///
/// # Errors
/// An engine that does not answer.
pub fn cancel(dir: &Path) -> Result<Cancelled> {
    let lists = List::all(dir)?;
    let (pods, arrays): (Vec<&List>, Vec<&List>) =
        lists.iter().partition(|list| list.script("yaml").exists());
    let own = arrays.iter().map(|list| list.name(dir));
    let names: Vec<String> = own.flat_map(|name| [name.clone(), format!("{name}-report")]).collect();
    let mut jobs: Vec<String> =
        slurm::jobs(&names)?.into_iter().filter(slurm::Job::is_live).map(|job| job.array).collect();
    jobs.sort();
    jobs.dedup();
    slurm::cancel(&jobs)?;
    jobs.extend(kubernetes::delete(dir, &pods)?);
    jobs.extend(local::cancel(dir)?);
    Ok(Cancelled { jobs })
}
