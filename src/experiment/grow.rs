//! A run directory that grows: more seeds, and the trials of other directories.

use super::begin::begin;
use super::plan::Plan;
use super::source::Experiment;
use super::spec::Seeds;
use super::trial::Trial;
use crate::Usage;
use crate::train::{Change, RunDir, RunState, changes};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::fs;
use std::path::Path;

/// Adds `count` seeds to the experiment in `dir`, after the largest that it has; what is done stays.
///
/// # Errors
/// Not the directory of an experiment, one at work, or more seeds than an experiment has.
pub fn add_seeds(dir: &Path, count: u64) -> Result<Plan> {
    let spec = Experiment::read(dir, &[])?.spec;
    let seeds = match &spec.seeds {
        Seeds::Count(n) => (n + count).to_string(),
        Seeds::List(list) => {
            let next = list.iter().max().map_or(spec.base.seed, |last| last + 1);
            let all: Vec<String> =
                list.iter().copied().chain(next..next + count).map(|n| n.to_string()).collect();
            format!("[{}]", all.join(", "))
        }
    };
    let experiment = Experiment::read(dir, &[format!("seeds={seeds}")])?;
    let plan = experiment.plan_in(dir)?;
    begin(&experiment, &plan, dir)?;
    Ok(plan)
}

/// What became of the trials of a directory that was merged into another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// Copied: they were not there, or less far.
    pub copied: Vec<String>,
    /// Left: what was there is done or as far.
    pub kept: Vec<String>,
    /// Left, done on both sides with other numbers: the machines differ, or the data.
    pub differ: Vec<String>,
}

/// Copies the trials of the experiment in `from` into its directory `into`, which it becomes where it is new. Of a trial that
/// both have, the one that is further stays.
///
/// # Errors
/// Another experiment (question or base), trials that the plan there does not have, or one that is at work.
pub fn merge(from: &Path, into: &Path) -> Result<Merged> {
    let base = if into.join("experiment.yaml").exists() { into } else { from };
    let experiment = with_seeds_of(Experiment::read(base, &[])?, base, from)?;
    let (theirs, plan) = (Experiment::read(from, &[])?.plan_in(from)?, experiment.plan_in(into)?);
    // The same question and base.
    experiment.plan_in(from)?;
    let mut found: Vec<(&Trial, RunDir, &Trial)> = Vec::new();
    for trial in &theirs.trials {
        let run = trial.run_dir(from);
        if run.config()?.is_none() {
            continue;
        }
        let busy = || format!("{}: it runs; wait for it", run.path().display());
        ensure!(run.state()? != RunState::Running, Usage(busy()));
        let here = plan.trials.iter().find(|other| other.id == trial.id);
        let unknown = || {
            format!(
                "{}: {} has no such trial; give it the axes of both",
                run.path().display(),
                into.display()
            )
        };
        let here = here.with_context(|| Usage(unknown()))?;
        found.push((trial, run, here));
    }
    for (theirs, run, here) in &found {
        let other = changes(&theirs.config, &here.config)?.into_iter().find(Change::is_of_identity);
        let text = other.as_ref().map(Change::text).unwrap_or_default();
        ensure!(other.is_none(), Usage(format!("{}: {text}", run.path().display())));
    }
    let _lock = begin(&experiment, &plan, into)?;
    let mut merged = Merged::default();
    for (trial, theirs, _) in found {
        let ours = trial.run_dir(into);
        let list = match (theirs.result()?, ours.result()?) {
            (Some(theirs), Some(ours)) if (theirs.top1, theirs.loss) != (ours.top1, ours.loss) => {
                &mut merged.differ
            }
            (_, Some(_)) => &mut merged.kept,
            (theirs_done, None) => {
                let epochs = |run: &RunDir| run.epochs().map(|rows| rows.len());
                if theirs_done.is_some() || ours.config()?.is_none() || epochs(&theirs)? > epochs(&ours)? {
                    ensure!(
                        ours.state()? != RunState::Running,
                        Usage(format!("{}: it runs", ours.path().display()))
                    );
                    copy(theirs.path(), ours.path())?;
                    &mut merged.copied
                } else {
                    &mut merged.kept
                }
            }
        };
        list.push(trial.id.clone());
    }
    Ok(merged)
}

/// The experiment in `dir`, with the seeds that the one in `from` has beside its own.
fn with_seeds_of(experiment: Experiment, dir: &Path, from: &Path) -> Result<Experiment> {
    let of = |experiment: &Experiment| experiment.spec.seeds.from(experiment.spec.base.seed);
    let own = of(&experiment);
    let theirs = of(&Experiment::read(from, &[])?);
    let more: Vec<u64> = theirs.into_iter().filter(|seed| !own.contains(seed)).collect();
    if more.is_empty() {
        return Ok(experiment);
    }
    let all: Vec<String> = own.iter().chain(&more).map(ToString::to_string).collect();
    Experiment::read(dir, &[format!("seeds=[{}]", all.join(", "))])
}

/// Replaces the folder `to` by a copy of `from`: first beside it, so that half a copy is never taken for a trial.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().context("a trial without a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("{}: cannot be created", parent.display()))?;
    let beside = tempfile::Builder::new().prefix(".merge-").tempdir_in(parent)?;
    for entry in fs::read_dir(from).with_context(|| format!("{}", from.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        let is_wanted = path.is_file() && name != "run.lock" && !name.to_string_lossy().starts_with(".tmp-");
        if is_wanted {
            fs::copy(&path, beside.path().join(name)).with_context(|| format!("{}", path.display()))?;
        }
    }
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("{}: cannot be replaced", to.display()))?;
    }
    let beside = beside.keep();
    fs::rename(&beside, to).with_context(|| format!("{}: cannot be written", to.display()))
}
