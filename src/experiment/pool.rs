//! Trials side by side, one process a trial.

use super::share::Share;
use super::trial::Trial;
use crate::train::{self, Event, RunDir, RunResult, RunState};
use crate::{brief, locked};
use anyhow::{Context, Result};
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

/// How long a signal may go unnoticed.
const TICK: Duration = Duration::from_millis(50);

/// How to run.
pub struct RunOptions {
    /// The program whose `train CONFIG --out DIR --events` runs one trial: this one.
    pub program: PathBuf,
    /// Trials side by side; the cores are divided among them, and they take turns on the GPUs.
    pub jobs: usize,
    /// The GPUs of this machine.
    pub gpus: usize,
    /// Trials to run (see [`super::Plan::only`]); all when empty.
    pub only: Vec<String>,
    /// Beside other processes that run the same experiment, which has been written: in an asynchronous halving.
    pub beside: bool,
}

/// What a trial tells while the experiment runs.
pub enum TrialEvent {
    Event(Event),
    /// It waits after this epoch for the others.
    Paused(u64),
    /// The process is over; `None` when it was interrupted.
    Over(Option<Result<Box<RunResult>, String>>),
}

/// A trial to run, and the epoch after which it pauses.
pub(super) type Task<'a> = (&'a Trial, Option<u64>);

/// Decides from the records what to run next, but for trials that are taken.
pub(super) type Decide<'a> = dyn Fn(&dyn Fn(&Trial) -> bool) -> Result<Option<Task<'a>>> + Sync + 'a;

/// Where tasks come from.
pub(super) enum Tasks<'a> {
    /// These, in turn.
    Listed(Mutex<std::vec::IntoIter<Task<'a>>>),
    /// What the records allow when a place is free. Other processes may decide too: one after the other, held by a lock.
    Decided(Box<Decide<'a>>),
}

/// What a free place does.
enum Next<'a> {
    Run(Task<'a>, Option<File>),
    Wait,
    End,
}

/// The trials to run, and the processes at work.
pub(super) struct Pool<'a> {
    dir: &'a Path,
    options: &'a RunOptions,
    stop: &'a AtomicBool,
    tasks: Tasks<'a>,
    share: Share,
    /// The IDs of trials at work.
    taken: Mutex<HashSet<String>>,
    running: Mutex<HashSet<u32>>,
}

/// Held while a task is decided, until its process holds the trial itself.
const TURN: &str = "turn.lock";

type Message<'a> = Result<(&'a Trial, TrialEvent)>;

impl<'a> Pool<'a> {
    pub fn new(dir: &'a Path, options: &'a RunOptions, stop: &'a AtomicBool, tasks: Tasks<'a>) -> Self {
        let share = Share::new(options.jobs, options.gpus);
        Self { dir, options, stop, tasks, share, taken: Mutex::default(), running: Mutex::default() }
    }

    /// Runs all to their end, or to the epoch after which they pause.
    ///
    /// # Errors
    /// Records from which nothing can be decided.
    pub fn run(&self, observe: &mut dyn FnMut(&Trial, TrialEvent)) -> Result<()> {
        let mut outcome = Ok(());
        let (sender, receiver) = channel::<Message>();
        thread::scope(|scope| {
            for place in 0..self.options.jobs.max(1) {
                let sender = sender.clone();
                scope.spawn(move || self.work(place, &sender));
            }
            drop(sender);
            let mut asked = HashSet::new();
            loop {
                match receiver.recv_timeout(TICK) {
                    Ok(Ok((trial, event))) => observe(trial, event),
                    Ok(Err(error)) => outcome = Err(error),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                if self.stop.load(Ordering::Relaxed) {
                    for &process in locked(&self.running).iter().filter(|&&process| asked.insert(process)) {
                        terminate(process);
                    }
                }
            }
        });
        outcome
    }

    /// Takes trials until there are none, to run them in this place.
    fn work(&self, place: usize, sender: &Sender<Message<'a>>) {
        while !self.stop.load(Ordering::Relaxed) {
            let ((trial, until), turn) = match self.next() {
                Ok(Next::Run(task, turn)) => (task, turn),
                Ok(Next::Wait) => {
                    thread::sleep(TICK);
                    continue;
                }
                Ok(Next::End) => return,
                Err(error) => {
                    let _ = sender.send(Err(error));
                    return;
                }
            };
            let over = match self.trial(trial, until, place, turn, sender) {
                Ok(event) => event,
                Err(error) => TrialEvent::Over(Some(Err(brief(&error)))),
            };
            locked(&self.taken).remove(&trial.id);
            if sender.send(Ok((trial, over))).is_err() {
                return;
            }
        }
    }

    fn next(&self) -> Result<Next<'a>> {
        match &self.tasks {
            Tasks::Listed(tasks) => Ok(locked(tasks).next().map_or(Next::End, |task| Next::Run(task, None))),
            Tasks::Decided(decide) => {
                let Ok(turn) = train::lock(&self.dir.join(TURN)) else { return Ok(Next::Wait) };
                let mut taken = locked(&self.taken);
                Ok(match decide(&|trial| taken.contains(&trial.id))? {
                    Some(task) => {
                        taken.insert(task.0.id.clone());
                        Next::Run(task, Some(turn))
                    }
                    // Those at work may bring others further.
                    None if !taken.is_empty() => Next::Wait,
                    None => Next::End,
                })
            }
        }
    }

    /// Runs one trial to its end.
    fn trial(
        &self,
        trial: &'a Trial,
        until: Option<u64>,
        place: usize,
        mut turn: Option<File>,
        sender: &Sender<Message<'a>>,
    ) -> Result<TrialEvent> {
        let dir = trial.run_dir(self.dir);
        let mut child = self.start(trial, until, place, &dir)?;
        locked(&self.running).insert(child.id());
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines() {
                if let Ok(event) = serde_json::from_str(&line?) {
                    // It holds its directory by now.
                    turn = None;
                    let _ = sender.send(Ok((trial, TrialEvent::Event(event))));
                }
            }
        }
        drop(turn);
        // Its number is its own until it is waited for.
        locked(&self.running).remove(&child.id());
        let status = child.wait()?;
        let state = dir.state()?;
        if let RunState::Done(result) = state {
            return Ok(TrialEvent::Over(Some(Ok(result))));
        }
        if let Some(until) = until.filter(|_| status.success()) {
            return Ok(TrialEvent::Paused(until));
        }
        if self.stop.load(Ordering::Relaxed) {
            return Ok(TrialEvent::Over(None));
        }
        let reason = match state {
            RunState::Failed(reason) => reason,
            _ => {
                let stderr = fs::read_to_string(dir.stderr()).unwrap_or_default();
                format!("{status}; {}", stderr.lines().last().unwrap_or("it left no message"))
            }
        };
        Ok(TrialEvent::Over(Some(Err(reason))))
    }

    fn start(&self, trial: &Trial, until: Option<u64>, place: usize, dir: &RunDir) -> Result<Child> {
        let program = &self.options.program;
        let mut command = Command::new(program);
        command.arg("train").arg(dir.config_file()).arg("--out").arg(dir.path()).arg("--events");
        if let Some(until) = until {
            command.arg("--until").arg(until.to_string());
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(dir.stderr())?);
        command.envs(self.share.environment(place, &trial.config));
        end_with_parent(&mut command);
        command.spawn().with_context(|| format!("{}: cannot be started", program.display()))
    }
}

/// Asks a trial's process to save and end: by a signal that ends it in peace however often it comes, for a cluster that
/// cancels us asks it as well.
fn terminate(process: u32) {
    #[cfg(unix)]
    if let Ok(process) = i32::try_from(process) {
        // SAFETY: sends a signal to a child that has not been waited for.
        unsafe { libc::kill(process, libc::SIGUSR2) };
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
