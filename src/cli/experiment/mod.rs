//! `tchvision experiment`: plan, run, launch, status, report.

mod grow;
mod launch;
mod watch;
mod which;

use self::which::Which;
use super::progress::{Counter, RunBar, log_line};
use super::{network, print, print_json, signals, table};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use indicatif::MultiProgress;
use serde_json::json;
use std::collections::HashMap;
use std::path::{Path, absolute};
use tch::Device;
use tchvision::experiment::{
    self, Answer, Clean, Experiment, Plan, Removable, Row, RunOptions, State, Together, TrialEvent, X,
};
use tchvision::report::{self, format::count};
use tchvision::torch::device;
use tchvision::train::{Event, RunDir, RunState};
use tchvision::{Classifier, Usage, machine};

#[derive(Subcommand)]
pub enum Verb {
    /// The trials, checked and costed; nothing runs
    Plan(Which),
    /// Run the trials that are missing, then report; run again to go on after an interruption
    Run {
        #[command(flatten)]
        which: Which,
        /// Only these trials: an ID, or KEY=VALUE[,KEY=VALUE] of axes and seed
        #[arg(long, value_name = "TRIAL")]
        only: Vec<String>,
        /// Trials side by side, the cores divided among them; one a core, or one a GPU, when absent
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        jobs: Option<u16>,
        /// Beside other processes that run it, as an asynchronous halving is launched
        #[arg(long, hide = true)]
        beside: bool,
    },
    /// Hand the trials that are missing to Slurm, Kubernetes or processes apart from this one, and return; again submits
    /// what is missing then
    Launch(launch::Args),
    /// Take the trials that were launched from the queue; those at work save first
    Cancel(Which),
    /// How far each trial is, also while the experiment runs
    Status(Which),
    /// A line whenever a trial gets further, until none runs or is queued
    Watch(watch::Args),
    /// More seeds for each variant of the experiment in a run directory; what is done stays
    AddSeeds(grow::AddSeeds),
    /// The trials of several run directories of one experiment in one
    Merge(grow::Merge),
    /// The report anew from what the trials have left
    Report {
        #[command(flatten)]
        which: Which,
        /// Test the networks of each variant's seeds together as well: the mean of their probabilities, by the weights at
        /// the end of each, or the best where checkpoints are cleaned away
        #[arg(long)]
        ensemble: bool,
    },
    /// Remove what is not needed; without a flag, say what each would free
    Clean {
        #[command(flatten)]
        which: Which,
        /// The checkpoints of trials that are done; these cannot be extended then
        #[arg(long)]
        checkpoints: bool,
        /// Trials that failed
        #[arg(long)]
        failed: bool,
        /// Trials that the plan no longer has
        #[arg(long)]
        stale: bool,
        /// Say what would go, and remove nothing
        #[arg(long)]
        dry_run: bool,
    },
}

pub fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Plan(which) => plan(&which),
        Verb::Run { which, only, jobs, beside } => run_trials(&which, only, jobs, beside),
        Verb::Launch(args) => launch::launch(args),
        Verb::Cancel(which) => launch::cancel(&which),
        Verb::Status(which) => status(&which),
        Verb::Watch(args) => watch::watch(&args),
        Verb::AddSeeds(args) => grow::add_seeds(&args),
        Verb::Merge(args) => grow::merge(&args),
        Verb::Clean { which, checkpoints, failed, stale, dry_run } => {
            clean(&which, Clean { checkpoints, failed, stale }, dry_run)
        }
        Verb::Report { which, ensemble } => {
            let experiment = which.experiment()?;
            report(&which, &experiment, &which.plan(&experiment)?, ensemble)
        }
    }
}

fn plan(which: &Which) -> Result<()> {
    let experiment = which.experiment()?;
    // A plan is a question: the directory of another experiment does not stand in its way.
    let plan = match which.plan(&experiment) {
        Err(error) if error.is::<Usage>() => experiment.plan()?,
        plan => plan?,
    };
    if which.json {
        return print_json(&plan);
    }
    plan.concerns.iter().try_for_each(|concern| print(format_args!("note         {concern}")))?;
    let mut out = table(&["trial", "setting", "solved", "model", "params", "MACs", "activations"]);
    for trial in &plan.trials {
        let costs = [trial.params, trial.macs, trial.activations].map(count);
        let names = [trial.id.clone(), trial.label(), trial.solved(), trial.model.clone()];
        out.add_row(names.into_iter().chain(costs));
    }
    print(out)?;
    plan.next.map_or(Ok(()), |next| print(format_args!("then         {next}")))
}

fn run_trials(which: &Which, only: Vec<String>, jobs: Option<u16>, beside: bool) -> Result<()> {
    let experiment = which.experiment()?;
    let dir = which.dir(&experiment);
    let gpus = gpus(&experiment);
    let jobs = jobs.map_or_else(|| default_jobs(gpus), usize::from);
    let options = RunOptions { program: std::env::current_exe()?, jobs, gpus, only, beside };
    let stop = signals()?;
    let bars = MultiProgress::new();
    let mut running: HashMap<String, RunBar> = HashMap::new();
    let outcome = experiment::run(&experiment, &dir, &options, &stop, &mut |trial, event| match event {
        TrialEvent::Event(Event::Skipped(skipped)) => {
            log_line(&bars, &format!("{}: skipped {}: {}", trial.id, skipped.name, skipped.reason));
        }
        TrialEvent::Event(event) => {
            let bar = || RunBar::new(&bars, &trial.id, trial.config.train.epochs);
            running.entry(trial.id.clone()).or_insert_with(bar).show(&event);
        }
        TrialEvent::Paused(_) => {
            if let Some(bar) = running.remove(&trial.id) {
                bar.finish();
            }
        }
        TrialEvent::Over(over) => {
            if let Some(bar) = running.remove(&trial.id) {
                bar.finish();
            }
            match over {
                Some(Ok(result)) => log_line(
                    &bars,
                    &format!(
                        "{}: top-1 {:.2} %, loss {:.4}, {:.0} images/s",
                        trial.id, result.top1, result.loss, result.images_per_second
                    ),
                ),
                Some(Err(reason)) => log_line(&bars, &format!("{}: failed: {reason}", trial.id)),
                None => log_line(&bars, &format!("{}: interrupted, saved", trial.id)),
            }
        }
    })?;
    if !beside {
        report(which, &experiment, &which.plan(&experiment)?, false)?;
    }
    match outcome.failures.as_slice() {
        [] => Ok(()),
        failures => {
            let names: Vec<&str> = failures.iter().map(|failure| failure.id.as_str()).collect();
            bail!("{} trial(s) failed: {}; run again to try them once more", names.len(), names.join(", "))
        }
    }
}

/// One trial a core, or one a GPU: threads of one small net wait for each other. On two cores, two trials side by side
/// took 0.76 (resnext.yaml), 0.65 (wrn.yaml) and 0.69 (vit.yaml) of the time of one after the other with two threads.
fn default_jobs(gpus: usize) -> usize {
    if gpus > 0 { gpus } else { machine::cores() }
}

/// The GPUs that trials may use; none where the base trains on the CPU.
fn gpus(experiment: &Experiment) -> usize {
    let on_gpu = experiment.spec.base.device != "cpu" && device::has_driver();
    if on_gpu { device::cuda_count().unwrap_or(0) } else { 0 }
}

fn status(which: &Which) -> Result<()> {
    if !which.path.join("experiment.yaml").exists() && which.path.join("config.yaml").exists() {
        return run_status(which);
    }
    let experiment = which.experiment()?;
    let dir = which.dir(&experiment);
    let mut trials = experiment::status(&which.plan(&experiment)?, &dir)?;
    let queue = experiment::launch::queue(&absolute(&dir)?)?;
    experiment::join(&mut trials, &queue);
    if let Some(silent) = &queue.silent {
        eprintln!("{silent}: what is queued is not known");
    }
    if which.json {
        return print_json(&trials);
    }
    let is_queued = trials.iter().any(|trial| trial.queue.is_some());
    let mut titles = vec!["trial", "state", "epoch", "top-1 %", "size", "reason"];
    if is_queued {
        titles.insert(2, "queue");
    }
    let mut out = table(&titles);
    for trial in &trials {
        let mut row = vec![
            trial.id.clone(),
            format!("{:?}", trial.state).to_lowercase(),
            format!("{}/{}", trial.epoch, trial.epochs),
            trial.top1.map_or("–".into(), |top1| format!("{top1:.2}")),
            megabytes(trial.bytes),
            trial.reason.clone().unwrap_or_default(),
        ];
        if is_queued {
            row.insert(2, trial.queue.as_ref().map_or(String::new(), ToString::to_string));
        }
        out.add_row(row);
    }
    print(out)?;
    let done = trials.iter().filter(|trial| trial.state == State::Done).count();
    let total = megabytes(trials.iter().map(|trial| trial.bytes).sum());
    print(format_args!("{done} of {} trials are done, {total}", trials.len()))
}

fn clean(which: &Which, what: Clean, dry_run: bool) -> Result<()> {
    let experiment = which.experiment()?;
    let (plan, dir) = (which.plan(&experiment)?, which.dir(&experiment));
    let only_shown = dry_run || what == Clean::default();
    let all = Clean { checkpoints: true, failed: true, stale: true };
    let found = experiment::removable(&plan, &dir, if what == Clean::default() { all } else { what })?;
    if !only_shown {
        found.iter().try_for_each(experiment::remove)?;
    }
    if which.json {
        return print_json(&found);
    }
    let mut out = table(&["path", "size", "why"]);
    for Removable { path, bytes, why } in &found {
        out.add_row([path.display().to_string(), megabytes(*bytes), (*why).to_owned()]);
    }
    print(out)?;
    let total = megabytes(found.iter().map(|removable| removable.bytes).sum());
    let what = if only_shown { "could be freed (--checkpoints, --failed, --stale)" } else { "freed" };
    print(format_args!("{total} {what}"))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// How far the run in a directory of `tchvision train` is.
fn run_status(which: &Which) -> Result<()> {
    let run = RunDir::new(&which.path);
    let config = run.config()?.context("its config.yaml is gone")?;
    let (rows, state) = (run.epochs()?, run.state()?);
    let (word, reason) = match state {
        RunState::Waiting => ("waiting", None),
        RunState::Running => ("running", None),
        RunState::Interrupted => ("interrupted", None),
        RunState::Failed(reason) => ("failed", Some(reason)),
        RunState::Done(_) => ("done", None),
    };
    let epoch = rows.last().map_or(0, |row| row.epoch);
    let top1 = rows.iter().rev().find_map(|row| Some(row.evaluation()?.top1));
    let (model, epochs) = (&config.model.name, config.train.epochs);
    if which.json {
        let status = json!({"model": model, "state": word, "epoch": epoch, "epochs": epochs, "top1": top1, "reason": reason});
        return print_json(&status);
    }
    let top1 = top1.map_or(String::new(), |top1| format!(", top-1 {top1:.2} %"));
    let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
    print(format_args!("{model}: {word}, epoch {epoch}/{epochs}{top1}{reason}"))
}

fn report(which: &Which, experiment: &Experiment, plan: &Plan, ensemble: bool) -> Result<()> {
    let dir = which.dir(experiment);
    if !dir.is_dir() {
        bail!("{}: there is no such run directory; `tchvision experiment run` makes it", dir.display());
    }
    if experiment.spec.report.x == X::Latency {
        experiment::measure_latency(plan, &dir)?;
    }
    let mut answer = experiment::collect(experiment, plan, &dir)?;
    if ensemble {
        let device = device::resolve(&experiment.spec.base.device)?;
        for row in answer.rows.iter_mut().filter(|row| row.results.len() > 1) {
            row.ensemble = Some(together(row, &dir, device)?);
        }
    }
    report::write(&answer, &dir)?;
    if which.json {
        return print_json(&answer);
    }
    show(&answer, &dir)
}

/// What the networks of a variant's seeds reach together.
fn together(row: &Row, dir: &Path, device: Device) -> Result<Together> {
    let open = |id: &String| {
        let run = RunDir::new(dir.join("trials").join(id));
        network::open(Classifier::of_file(run.path()).device(device))
    };
    let members = row.ids.iter().map(open).collect::<Result<Vec<_>>>()?;
    let data = members[0].test_set(None)?;
    let bar = Counter::new(data.names().len());
    let batch_size = members[0].about().map_or(1, |about| about.batch_size);
    let found = Classifier::ensemble(&members)?.evaluate(
        data,
        &row.results[0].protocol,
        batch_size,
        &mut |_| bar.step(),
        &mut |_, _| {
            bar.step();
            Ok(())
        },
    );
    bar.finish();
    let accuracy = found?.accuracy;
    let (total, none) = (accuracy.total(), "none of the test pictures can be read");
    Ok(Together {
        members: members.len(),
        top1: total.top1_percent().context(none)?,
        top5: total.top5_percent().context(none)?,
        loss: accuracy.loss().context(none)?,
    })
}

fn show(answer: &Answer, dir: &Path) -> Result<()> {
    let shown = |report::Table { titles, rows }: report::Table| {
        let mut out = table(&titles.iter().map(String::as_str).collect::<Vec<_>>());
        out.add_rows(rows);
        print(out)
    };
    print(&answer.question)?;
    answer.concerns.iter().try_for_each(|concern| print(format_args!("note: {concern}")))?;
    shown(report::answer_table(answer))?;
    report::paper_table(answer).map_or(Ok(()), shown)?;
    print(report::verdict(answer))?;
    report::findings(answer).iter().try_for_each(print)?;
    let missing = answer.missing.iter().filter(|trial| trial.state != State::Dropped).count();
    if missing > 0 {
        print(format_args!(
            "{missing} trial(s) are not done: tchvision experiment status {}",
            dir.display()
        ))?;
    }
    print(format_args!("report       {}", dir.join("report.html").display()))?;
    let program = Path::new(".venv/bin/tensorboard");
    let program = if program.exists() { program } else { Path::new("tensorboard") };
    print(format_args!("TensorBoard  {} --logdir {}", program.display(), dir.join("trials").display()))
}
