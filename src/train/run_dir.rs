//! A run directory: the one place that knows its files, and how far the run in it has come.

use super::config::RunConfig;
use super::lock::{is_locked, lock};
use super::record::{EpochMetrics, RunResult};
use crate::{Remedy, Usage, atomic, tensorboard, yaml};
use anyhow::{Context, Error, Result};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The directory of one run, whether or not it exists yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir(PathBuf);

/// How far a run has come.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// No epoch is over, and no process is at work.
    Waiting,
    /// A process is at work.
    Running,
    /// Begun, and not at work now: it goes on from its checkpoint.
    Interrupted,
    /// Why it failed.
    Failed(String),
    Done(Box<RunResult>),
}

impl RunDir {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The configuration, as given.
    pub fn config_file(&self) -> PathBuf {
        self.0.join("config.yaml")
    }

    /// The whole state of the run, from which it goes on.
    pub fn checkpoint(&self) -> PathBuf {
        self.0.join("last.safetensors")
    }

    /// The weights of the best evaluation.
    pub fn best_weights(&self) -> PathBuf {
        self.0.join("best.safetensors")
    }

    /// What the process of the run wrote to stderr, where an experiment started it.
    pub fn stderr(&self) -> PathBuf {
        self.0.join("stderr.txt")
    }

    /// One [`EpochMetrics`] a line.
    fn metrics_file(&self) -> PathBuf {
        self.0.join("metrics.jsonl")
    }

    /// Written last: once it is there, the run is done.
    fn result_file(&self) -> PathBuf {
        self.0.join("result.json")
    }

    fn failure_file(&self) -> PathBuf {
        self.0.join("failed.txt")
    }

    /// Held by the process at work.
    fn lock_file(&self) -> PathBuf {
        self.0.join("run.lock")
    }

    /// Creates the directory, unless it exists.
    pub(crate) fn create(&self) -> Result<()> {
        fs::create_dir_all(&self.0).with_context(|| format!("{}: cannot be created", self.0.display()))
    }

    /// Keeps other processes from working in the directory, for as long as the file is open.
    ///
    /// # Errors
    /// Another process works there.
    pub(crate) fn lock(&self) -> Result<File> {
        lock(&self.lock_file())
    }

    /// How far the run has come.
    ///
    /// # Errors
    /// Records that cannot be read.
    pub fn state(&self) -> Result<RunState> {
        if let Some(result) = self.result()? {
            return Ok(RunState::Done(Box::new(result)));
        }
        if is_locked(&self.lock_file()) {
            return Ok(RunState::Running);
        }
        if let Some(reason) = read(&self.failure_file())? {
            return Ok(RunState::Failed(reason));
        }
        Ok(if self.epochs()?.is_empty() { RunState::Waiting } else { RunState::Interrupted })
    }

    /// The configuration of the run, if there is one.
    ///
    /// # Errors
    /// A file that cannot be read, or is not a configuration.
    pub fn config(&self) -> Result<Option<RunConfig>> {
        let path = self.config_file();
        read(&path)?.map(|text| yaml::parse(&text, &path.display().to_string())).transpose()
    }

    /// Checks that the directory is free, or holds a run of the same configuration.
    ///
    /// # Errors
    /// [`Usage`] for a run of another.
    pub(crate) fn check_config(&self, config: &RunConfig) -> Result<()> {
        if self.config()?.is_none_or(|there| there == *config) {
            return Ok(());
        }
        let text = format!("{}: this run ran with another configuration", self.config_file().display());
        Err(Error::new(Remedy::RunDirectory).context(Usage(text)))
    }

    pub(crate) fn write_config(&self, config: &RunConfig) -> Result<()> {
        atomic::write(&self.config_file(), yaml::to_string(config)?.as_bytes())
    }

    /// The epochs that are over.
    ///
    /// # Errors
    /// A file that cannot be read, or a line that is not an epoch.
    pub fn epochs(&self) -> Result<Vec<EpochMetrics>> {
        let path = self.metrics_file();
        let Some(text) = read(&path)? else { return Ok(Vec::new()) };
        let epoch = |(line, number): (&str, usize)| {
            serde_json::from_str(line).with_context(|| format!("{}:{number}: not an epoch", path.display()))
        };
        text.lines().zip(1..).map(epoch).collect()
    }

    pub(super) fn write_epochs(&self, epochs: &[EpochMetrics]) -> Result<()> {
        let mut lines = String::new();
        for epoch in epochs {
            lines += &serde_json::to_string(epoch)?;
            lines.push('\n');
        }
        atomic::write(&self.metrics_file(), lines.as_bytes())
    }

    /// The result, if the run is done.
    ///
    /// # Errors
    /// A file that cannot be read, or is not a result.
    pub fn result(&self) -> Result<Option<RunResult>> {
        let path = self.result_file();
        let Some(text) = read(&path)? else { return Ok(None) };
        let result = serde_json::from_str(&text);
        result.map(Some).with_context(|| format!("{}: not a result; remove it", path.display()))
    }

    /// Marks the run as done.
    pub(super) fn write_result(&self, result: &RunResult) -> Result<()> {
        atomic::write(&self.result_file(), &serde_json::to_vec_pretty(result)?)
    }

    /// Marks the run as failed.
    pub(super) fn write_failure(&self, reason: &str) -> Result<()> {
        atomic::write(&self.failure_file(), reason.as_bytes())
    }

    /// Forgets that an earlier process failed.
    pub(super) fn clear_failure(&self) -> Result<()> {
        remove(&self.failure_file())
    }

    /// Removes TensorBoard's files of earlier processes.
    pub(super) fn remove_events(&self) -> Result<()> {
        for entry in fs::read_dir(&self.0).with_context(|| format!("{}", self.0.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(tensorboard::FILE_PREFIX) {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

/// The text of a file that may be missing.
fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some).with_context(|| format!("{}: cannot be read", path.display())),
    }
}

/// Removes a file that may be missing.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("{}: cannot be removed", path.display())),
    }
}
