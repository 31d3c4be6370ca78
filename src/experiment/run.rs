//! Running the trials that are missing, one process a trial, several side by side.

use super::halving::{Choices, Halving};
use super::plan::{Experiment, Plan, Trial};
use super::spec::Spec;
use crate::train::{self, Event, RunResult};
use crate::{Interrupted, Remedy, Usage, atomic, locked, machine, yaml};
use anyhow::{Context, Error, Result};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

const STDERR: &str = "stderr.txt";
/// How long a signal may go unnoticed.
const TICK: Duration = Duration::from_millis(50);

/// How to run.
pub struct RunOptions {
    /// The program whose `train CONFIG --out DIR --events` runs one trial: this one.
    pub program: PathBuf,
    /// Trials side by side; the cores are divided among them.
    pub jobs: usize,
    /// Trials to run (see [`Plan::only`]); all when empty.
    pub only: Vec<String>,
}

/// What a trial tells while the experiment runs.
pub enum TrialEvent {
    Event(Event),
    /// It waits after this epoch for the others.
    Paused(u64),
    /// The process is over; `None` when it was interrupted.
    Over(Option<Result<Box<RunResult>, String>>),
}

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

/// Where a trial of the experiment in `dir` has its run directory.
pub(super) fn trial_dir(dir: &Path, trial: &Trial) -> PathBuf {
    dir.join("trials").join(&trial.id)
}

/// Runs what is missing of an experiment in `dir`; a trial that fails does not stop the others.
///
/// When `stop` becomes true, the running trials are told to save, and the call ends with [`Interrupted`].
///
/// # Errors
/// [`Usage`] before anything runs, for an experiment that cannot be or a directory that holds trials of another
/// configuration; a directory that cannot be written, or where another process runs the experiment.
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
        same_configurations(&plan, dir)?;
        fs::create_dir_all(dir).with_context(|| format!("{}: cannot be made", dir.display()))?;
        let _lock = train::lock(dir)?;
        atomic::write(&dir.join("experiment.yaml"), experiment.text()?.as_bytes())?;
        atomic::write(&dir.join("plan.json"), &serde_json::to_vec_pretty(&plan)?)?;
        let is_done = |trial: &&Trial| trial_dir(dir, trial).join(train::RESULT).exists();
        let (done, missing): (Vec<&Trial>, Vec<&Trial>) = wanted.into_iter().partition(is_done);
        if step == 0 {
            outcome.already = done.len();
        }
        let mut work = Work { dir, options, stop, outcome: &mut outcome, observe };
        match &experiment.spec.halving {
            // What is asked for by name is not given up.
            Some(halving) if options.only.is_empty() => work.halve(halving, missing, &experiment.spec)?,
            _ => work.run(missing, None)?,
        }
        let ended = stop.load(Ordering::Relaxed) || !outcome.failures.is_empty();
        // A search that is done has a second step.
        if ended || plan.next.is_none() || experiment.plan_in(dir)?.next.is_some() {
            break;
        }
    }
    match stop.load(Ordering::Relaxed) {
        true => Err(Interrupted(format!(
            "interrupted with everything saved in {}; run the same command again to go on",
            dir.display()
        ))
        .into()),
        false => Ok(outcome),
    }
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
            self.run(trials.clone(), Some(rung))?;
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            choices.choose(self.dir, &trials, rung, halving.factor, spec.report.y)?;
        }
        trials.retain(|trial| choices.dropped(trial).is_none());
        self.run(trials, None)
    }

    /// Runs these trials, to an epoch or to the end, and counts how they ended.
    fn run(&mut self, trials: Vec<&Trial>, until: Option<u64>) -> Result<()> {
        let Self { dir, options, stop, .. } = *self;
        for trial in &trials {
            let dir = trial_dir(dir, trial);
            fs::create_dir_all(&dir).with_context(|| format!("{}: cannot be made", dir.display()))?;
            atomic::write(&dir.join(train::CONFIG), yaml::to_string(&trial.config)?.as_bytes())?;
        }
        let queue = Mutex::new(trials.into_iter());
        let pool = Pool { dir, options, stop, until, queue, running: Mutex::default() };
        pool.run(&mut |trial, event| {
            match &event {
                TrialEvent::Over(Some(Ok(_))) => self.outcome.ran += 1,
                TrialEvent::Over(Some(Err(reason))) => {
                    self.outcome.failures.push(Failure { id: trial.id.clone(), reason: reason.clone() });
                }
                _ => {}
            }
            (self.observe)(trial, event);
        });
        Ok(())
    }
}

/// No trial of the plan may stand in `dir` with other settings.
fn same_configurations(plan: &Plan, dir: &Path) -> Result<()> {
    for trial in &plan.trials {
        let path = trial_dir(dir, trial).join(train::CONFIG);
        if path.exists() && yaml::load::<train::RunConfig>(&path)? != trial.config {
            let text = format!("{}: this trial ran with another configuration", path.display());
            return Err(Error::new(Remedy::RunDirectory).context(Usage(text)));
        }
    }
    Ok(())
}

/// The trials to run, and the processes at work.
struct Pool<'a> {
    dir: &'a Path,
    options: &'a RunOptions,
    stop: &'a AtomicBool,
    /// The epoch after which trials pause.
    until: Option<u64>,
    queue: Mutex<std::vec::IntoIter<&'a Trial>>,
    running: Mutex<HashSet<u32>>,
}

type Message<'a> = (&'a Trial, TrialEvent);

impl<'a> Pool<'a> {
    fn run(&self, observe: &mut dyn FnMut(&Trial, TrialEvent)) {
        let (sender, receiver) = channel::<Message>();
        thread::scope(|scope| {
            for _ in 0..self.options.jobs.max(1) {
                let sender = sender.clone();
                scope.spawn(move || self.work(&sender));
            }
            drop(sender);
            let mut told = HashSet::new();
            loop {
                match receiver.recv_timeout(TICK) {
                    Ok((trial, event)) => observe(trial, event),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                if self.stop.load(Ordering::Relaxed) {
                    for &process in locked(&self.running).iter().filter(|&&process| told.insert(process)) {
                        terminate(process);
                    }
                }
            }
        });
    }

    /// Takes trials until there are none.
    fn work(&self, sender: &Sender<Message<'a>>) {
        while !self.stop.load(Ordering::Relaxed) {
            let Some(trial) = locked(&self.queue).next() else { return };
            let over = match self.trial(trial, sender) {
                Ok(event) => event,
                Err(error) => TrialEvent::Over(Some(Err(crate::brief(&error)))),
            };
            if sender.send((trial, over)).is_err() {
                return;
            }
        }
    }

    /// Runs one trial to its end.
    fn trial(&self, trial: &'a Trial, sender: &Sender<Message<'a>>) -> Result<TrialEvent> {
        let dir = trial_dir(self.dir, trial);
        let mut child = self.start(trial, &dir)?;
        locked(&self.running).insert(child.id());
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines() {
                if let Ok(event) = serde_json::from_str(&line?) {
                    let _ = sender.send((trial, TrialEvent::Event(event)));
                }
            }
        }
        // Its number is its own until it is waited for.
        locked(&self.running).remove(&child.id());
        let status = child.wait()?;
        if let Ok(text) = fs::read_to_string(dir.join(train::RESULT)) {
            return Ok(TrialEvent::Over(Some(Ok(Box::new(serde_json::from_str(&text)?)))));
        }
        if let Some(until) = self.until.filter(|_| status.success()) {
            return Ok(TrialEvent::Paused(until));
        }
        if self.stop.load(Ordering::Relaxed) {
            return Ok(TrialEvent::Over(None));
        }
        let read = |name| fs::read_to_string(dir.join(name)).unwrap_or_default();
        let reason = match read(train::FAILED) {
            reason if !reason.is_empty() => reason,
            _ => format!("{status}; {}", read(STDERR).lines().last().unwrap_or("it left no message")),
        };
        Ok(TrialEvent::Over(Some(Err(reason))))
    }

    fn start(&self, trial: &Trial, dir: &Path) -> Result<Child> {
        let program = &self.options.program;
        let mut command = Command::new(program);
        command.arg("train").arg(dir.join(train::CONFIG)).arg("--out").arg(dir).arg("--events");
        if let Some(until) = self.until {
            command.arg("--until").arg(until.to_string());
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(dir.join(STDERR))?);
        if trial.config.threads.is_none() && std::env::var_os("OMP_NUM_THREADS").is_none() {
            command.env("OMP_NUM_THREADS", (machine::cores() / self.options.jobs.max(1)).max(1).to_string());
        }
        end_with_parent(&mut command);
        command.spawn().with_context(|| format!("{}: cannot be started", program.display()))
    }
}

/// Asks a trial's process to save and end.
fn terminate(process: u32) {
    #[cfg(unix)]
    if let Ok(process) = i32::try_from(process) {
        // SAFETY: sends a signal to a child that has not been waited for.
        unsafe { libc::kill(process, libc::SIGTERM) };
    }
}

/// Keeps a terminal's Ctrl-C from the trial, which hears of it from us; when this process is killed, so is the trial.
fn end_with_parent(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(target_os = "linux")]
    // SAFETY: the call between fork and exec only sets a flag of the new process.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(command, || {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}
