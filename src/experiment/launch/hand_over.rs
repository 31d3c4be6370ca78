//! What is missing of an experiment, given to an engine.

use super::super::begin::{begin, write_trials};
use super::super::halving::Records;
use super::super::order;
use super::super::plan::Plan;
use super::super::source::Experiment;
use super::super::trial::Trial;
use super::grant::{Grant, grants};
use super::kubernetes::{self, Pods};
use super::list::{List, WORKER};
use super::local;
use super::options::{Engine, LaunchOptions};
use super::queue::{Queue, queue};
use super::slurm;
use crate::{Usage, atomic};
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::path::{Path, PathBuf, absolute};

/// What a launch did; with `dry_run` what it would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Launched {
    /// Trials of the plan that are done.
    pub done: usize,
    /// Trials that an engine has from an earlier launch.
    pub queued: usize,
    /// Trials handed over now.
    pub submitted: usize,
    /// As the engine names what has them now.
    pub jobs: Vec<String>,
    /// The scripts or manifests, with their texts.
    pub scripts: Vec<(PathBuf, String)>,
}

/// Hands the trials of an experiment that are neither done nor queued to an engine, and returns.
///
/// # Errors
/// Before anything is written: an impossible experiment, resources that the engine does not know or that do not divide a
/// trial's batch, an engine that is not here, or one that does not say what it has of an earlier launch. Later: what the
/// engine has against a job; launching again submits the rest.
pub fn launch(experiment: &Experiment, dir: &Path, options: &LaunchOptions) -> Result<Launched> {
    let dir = &absolute(dir)?;
    let plan = experiment.plan_in(dir)?;
    let wanted = plan.only(&options.only)?;
    check(&wanted, options)?;
    if options.engine == Engine::Local {
        return launch_local(experiment, &plan, &wanted, dir, options);
    }
    let halving = experiment.spec.halving.as_ref().filter(|_| options.only.is_empty());
    if halving.is_some_and(|halving| !halving.asynchronous) {
        let text = "halving: all trials wait for each other at each rung, which a queue cannot do; write `asynchronous: true`, or use `--on local`";
        bail!(Usage(text.to_owned()));
    }
    if halving.is_some() && options.resources.processes() > 1 {
        bail!(Usage("halving: goes with one process a trial".to_owned()));
    }
    // Before anything is written, the engine answers.
    let most = match &options.engine {
        Engine::Slurm => slurm::array_size(),
        Engine::Kubernetes(pods) if !options.dry_run => {
            kubernetes::reachable(pods).map(|()| kubernetes::MOST)
        }
        _ => Ok(kubernetes::MOST),
    };
    // A dry run may be far from the cluster.
    let most = if options.dry_run { most.unwrap_or(slurm::ARRAY_SIZE) } else { most? };
    let _lock = if options.dry_run { None } else { Some(begin(experiment, &plan, dir)?) };
    let queue = queue(dir)?;
    if let Some(silent) = queue.silent.as_ref().filter(|_| !options.dry_run) {
        bail!("{silent}; it may still have trials of an earlier launch");
    }
    let mut launched = Launched::default();
    let mut missing = Vec::new();
    for trial in wanted {
        match (trial.run_dir(dir).result()?, queue.trials.get(&trial.id)) {
            (Some(_), _) => launched.done += 1,
            (None, Some(queued)) if queued.is_live => launched.queued += 1,
            (None, _) => missing.push(trial),
        }
    }
    if !options.dry_run {
        write_trials(&missing, dir)?;
    }
    let waves = match Records::of(&plan, dir)?.filter(|_| halving.is_some()) {
        Some(records) => {
            launched.queued = queue.workers;
            vec![workers(&records, missing.len(), options, queue.workers)]
        }
        None => waves(missing, &queue),
    };
    let number = List::all(dir)?.last().map_or(0, |list| list.number) + 1;
    let mut work = Work { dir, options, most, number, launched };
    match &options.engine {
        Engine::Kubernetes(pods) => work.pods(&waves, pods)?,
        _ => work.arrays(&waves)?,
    }
    Ok(work.launched)
}

/// Elements that may run side by side.
struct Wave {
    /// Their lines in the list.
    lines: Vec<String>,
    /// Jobs of an earlier launch that have to be over before.
    after: Vec<String>,
}

/// The trials, those that start from the weights of others after those.
fn waves(missing: Vec<&Trial>, queue: &Queue) -> Vec<Wave> {
    let wave = |trials: Vec<&Trial>| {
        let sources = trials.iter().filter_map(|trial| queue.trials.get(trial.after.as_ref()?));
        let after = sources.filter(|queued| queued.is_live).map(|queued| queued.job.clone()).collect();
        Wave { lines: trials.iter().map(|trial| trial.id.clone()).collect(), after }
    };
    order::waves(missing).0.into_iter().map(wave).collect()
}

/// Workers that train what an asynchronous halving allows, beside those at work; none where it is over.
fn workers(records: &Records, missing: usize, options: &LaunchOptions, at_work: usize) -> Wave {
    let most = options.max_parallel.unwrap_or(missing).min(missing);
    let is_over = records.next(&|_| false).is_none();
    let count = if is_over { 0 } else { most.saturating_sub(at_work) };
    Wave { lines: vec![WORKER.to_owned(); count], after: Vec::new() }
}

/// What can be said before anything is planned further.
fn check(trials: &[&Trial], options: &LaunchOptions) -> Result<()> {
    let world = u64::from(options.resources.processes());
    for trial in trials {
        let batch = trial.config.train.batch_size as u64;
        let text = || format!("{}: a batch of {batch} cannot be divided among {world} processes", trial.id);
        ensure!(batch.is_multiple_of(world), Usage(text()));
    }
    Ok(())
}

fn launch_local(
    experiment: &Experiment,
    plan: &Plan,
    wanted: &[&Trial],
    dir: &Path,
    options: &LaunchOptions,
) -> Result<Launched> {
    let mut launched = Launched::default();
    for trial in wanted {
        launched.done += usize::from(trial.run_dir(dir).result()?.is_some());
    }
    let missing = wanted.len() - launched.done;
    if local::is_running(dir) {
        launched.queued = missing;
    } else if missing > 0 {
        launched.submitted = missing;
        if !options.dry_run {
            drop(begin(experiment, plan, dir)?);
            launched.jobs.push(local::start(dir, options)?);
        }
    }
    Ok(launched)
}

/// What all lists of one launch share.
struct Work<'a> {
    dir: &'a Path,
    options: &'a LaunchOptions,
    /// The most elements of an array.
    most: usize,
    /// Of the next list.
    number: u32,
    launched: Launched,
}

impl Work<'_> {
    /// The next list, of these lines.
    fn list(&mut self, lines: &[String]) -> List {
        let list = List::new(self.dir, self.number, lines.to_vec());
        self.number += 1;
        list
    }

    /// Slurm's arrays, each wave after the one before it, and a report after all.
    fn arrays(&mut self, waves: &[Wave]) -> Result<()> {
        let mut all: Vec<String> = Vec::new();
        let mut last = None;
        for wave in waves {
            let before: Vec<String> = wave.after.iter().chain(&all).cloned().collect();
            let mut arrays: Vec<String> = Vec::new();
            for grant in grants(wave.lines.len(), self.most, self.options.max_parallel) {
                let list = self.list(&wave.lines[grant.trials.clone()]);
                let after = grant.after.map(|i| arrays[i].clone());
                let after: Vec<String> = before.iter().cloned().chain(after).collect();
                arrays.push(self.array(&list, &grant, &after)?);
                last = Some(list);
            }
            all.extend(arrays);
        }
        let Some(last) = last else { return Ok(()) };
        let (path, text) = (last.folder.join("report.sh"), slurm::collector(self.dir, &last, self.options));
        if !self.options.dry_run {
            atomic::write(&path, text.as_bytes())?;
            self.launched.jobs.push(slurm::submit(&path, &all)?);
        }
        self.launched.scripts.push((path, text));
        Ok(())
    }

    /// One array; its number is empty in a dry run.
    fn array(&mut self, list: &List, grant: &Grant, after: &[String]) -> Result<String> {
        let text = slurm::script(self.dir, list, grant, self.options);
        let mut id = String::new();
        if !self.options.dry_run {
            list.write("sh", &text)?;
            id = slurm::submit(&list.script("sh"), after).with_context(|| {
                let submitted = self.launched.submitted;
                format!("{submitted} trial(s) are submitted, the others not; launch again when it is mended")
            })?;
            self.launched.jobs.push(id.clone());
        }
        self.launched.submitted += list.trials.len();
        self.launched.scripts.push((list.script("sh"), text));
        Ok(id)
    }

    /// A manifest of what is missing.
    fn pods(&mut self, waves: &[Wave], pods: &Pods) -> Result<()> {
        let Some(wave) = waves.first().filter(|wave| !wave.lines.is_empty()) else { return Ok(()) };
        if waves.len() > 1 || !wave.after.is_empty() {
            let text = "trials that start from the weights of others: pods do not wait for each other; launch those first \
                        by --only, or use `--on slurm` or `local`";
            bail!(Usage(text.to_owned()));
        }
        let (count, most) = (wave.lines.len(), self.most);
        let text = || format!("{count} trials; a Job has {most} pods at most: launch parts by --only");
        ensure!(count <= most, Usage(text()));
        let list = self.list(&wave.lines);
        let text = match self.options.resources.processes() {
            1 => kubernetes::arrays(self.dir, &list, self.options, pods)?,
            _ => kubernetes::sets(self.dir, &list, self.options, pods)?,
        };
        if !self.options.dry_run {
            list.write("yaml", &text)?;
            self.launched.jobs.extend(kubernetes::submit(&list.script("yaml"))?);
        }
        self.launched.submitted = count;
        self.launched.scripts.push((list.script("yaml"), text));
        Ok(())
    }
}
