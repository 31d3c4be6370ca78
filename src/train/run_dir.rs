//! A run directory: the one place that knows its files, and how far the run in it has come.

use super::config::RunConfig;
use super::identity::{Change, EXTENDABLE, changes};
use super::lock::{Owner, is_locked};
use super::record::{EpochMetrics, RunResult, Start};
use crate::weights::{About, Parent, StateFile};
use crate::{Remedy, Usage, atomic, tensorboard, yaml};
use anyhow::{Context, Error, Result};
use serde_yaml::Value;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Settings that a message lists.
const MAX_CHANGES: usize = 6;

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

    /// The weights of an evaluated epoch, where a run keeps several.
    pub fn epoch_weights(&self, epoch: u64) -> PathBuf {
        self.0.join(format!("epoch-{epoch}.safetensors"))
    }

    /// The epochs whose weights are kept, in order, and their files.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub fn kept(&self) -> Result<Vec<(u64, PathBuf)>> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.0).with_context(|| self.0.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let epoch = name.strip_prefix("epoch-").and_then(|rest| rest.strip_suffix(".safetensors"));
            if let Some(epoch) = epoch.and_then(|epoch| epoch.parse().ok()) {
                kept.push((epoch, path));
            }
        }
        kept.sort();
        Ok(kept)
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

    /// Creates the directory; returns the outermost folder that is new, if any is.
    pub(crate) fn create(&self) -> Result<Option<PathBuf>> {
        let is_new = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let new = self.0.ancestors().take_while(is_new).last().map(Path::to_owned);
        fs::create_dir_all(&self.0).with_context(|| format!("{}: cannot be created", self.0.display()))?;
        Ok(new)
    }

    /// Keeps other processes from working in the directory, for as long as the value lives; what an earlier one was
    /// writing when it was killed is removed.
    ///
    /// # Errors
    /// Another process works there.
    pub(super) fn own(&self) -> Result<Owner> {
        let owner = Owner::take(&self.lock_file())?;
        self.remove_files(atomic::UNFINISHED)?;
        Ok(owner)
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
        let Some(text) = read(&path)? else { return Ok(None) };
        let name = path.display().to_string();
        let mut config: RunConfig = yaml::parse(&text, &name)?;
        if let Some(ema) = &mut config.train.ema {
            // A bare number was written before averages had a warm-up.
            let written: Value = yaml::parse(&text, &name)?;
            ema.warmup &= !written["train"]["ema"].is_number();
        }
        Ok(Some(config))
    }

    /// Checks that the directory is free, or holds a run of the same identity but for the settings by which it is
    /// extended (`None` where it cannot be); returns what else differs from the run there, `None` if there is none.
    ///
    /// # Errors
    /// [`Usage`] for a run of another identity, with the settings in which it differs.
    pub(crate) fn check_config(
        &self,
        config: &RunConfig,
        extended: Option<&[String]>,
    ) -> Result<Option<Vec<Change>>> {
        let Some(there) = self.config()? else { return Ok(None) };
        let changes = changes(&there, config)?;
        let extends = |change: &&Change| extended.is_some_and(|keys| keys.contains(&change.key));
        let others = || changes.iter().filter(|change| change.is_of_identity() && !extends(change));
        let texts: Vec<String> = others().map(Change::text).collect();
        if texts.is_empty() {
            return Ok(Some(changes));
        }
        let more = match texts.len().saturating_sub(MAX_CHANGES) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let shown = texts[..texts.len().min(MAX_CHANGES)].join("; ");
        let text =
            format!("{}: the run there has other settings: {shown}{more}", self.config_file().display());
        let is_length = |change: &Change| extended.is_some() && EXTENDABLE.contains(&change.key.as_str());
        let remedy = match others().next() {
            Some(Change { key, new, .. }) if others().all(is_length) => {
                Remedy::Extend(key.clone(), yaml::flow(new))
            }
            _ => Remedy::RunDirectory,
        };
        Err(Error::new(remedy).context(Usage(text)))
    }

    /// Checks that the run began at this checkpoint of another.
    pub(super) fn check_parent(&self, checkpoint: &Path) -> Result<()> {
        let asked = checkpoint.display().to_string();
        if self.parents()?.iter().any(|parent| parent.file == asked) {
            return Ok(());
        }
        let text = format!("{}: the run there did not begin at {asked}", self.0.display());
        Err(Error::new(Remedy::RunDirectory).context(Usage(text)))
    }

    /// The files of weights that the run there began with; none before its first checkpoint.
    pub(super) fn parents(&self) -> Result<Vec<Parent>> {
        let checkpoint = self.checkpoint();
        let about = if checkpoint.exists() { About::of(&StateFile::open(&checkpoint)?)? } else { None };
        Ok(about.map_or(Vec::new(), |about| about.parents))
    }

    pub(crate) fn write_config(&self, config: &RunConfig) -> Result<()> {
        atomic::write(&self.config_file(), yaml::to_string(config)?.as_bytes())
    }

    /// Notes that a process goes on with the run, or begins it.
    pub(super) fn write_start(&self, start: &Start) -> Result<()> {
        let path = self.0.join("starts.jsonl");
        let text = read(&path)?.unwrap_or_default() + &serde_json::to_string(start)? + "\n";
        atomic::write(&path, text.as_bytes())
    }

    /// Takes back all that a start has left which came to nothing: the new folder, if there is one, or the run's files.
    pub(super) fn abandon(&self, new: Option<&Path>) -> Result<()> {
        if let Some(new) = new {
            return fs::remove_dir_all(new).with_context(|| format!("{}: cannot be removed", new.display()));
        }
        self.remove_events()?;
        [self.config_file(), self.checkpoint(), self.metrics_file(), self.lock_file()]
            .iter()
            .try_for_each(|file| remove(file))
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

    /// Forgets that an earlier process failed, or that the run was done before it was extended.
    pub(super) fn clear_outcome(&self) -> Result<()> {
        remove(&self.failure_file())?;
        remove(&self.result_file())
    }

    /// Removes TensorBoard's files of earlier processes.
    pub(super) fn remove_events(&self) -> Result<()> {
        self.remove_files(tensorboard::FILE_PREFIX)
    }

    /// Removes the files whose names begin with `prefix`.
    fn remove_files(&self, prefix: &str) -> Result<()> {
        for entry in fs::read_dir(&self.0).with_context(|| format!("{}", self.0.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(prefix) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_was_writing_is_removed_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::new(folder.path());
        for file in [".tmp-a1b2c3", ".tmp-d4", "last.safetensors", ".tmpfile"] {
            fs::write(folder.path().join(file), "x").unwrap();
        }
        let _lock = dir.own().unwrap();
        let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.collect();
        names.sort();
        assert_eq!(names, [".tmpfile", "last.safetensors", "run.lock"]);
    }
}
