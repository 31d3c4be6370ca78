//! What a run directory can do without.

use super::plan::Plan;
use super::size::size;
use super::status::{State, status};
use crate::train::RunDir;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What to remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clean {
    /// The checkpoints of trials that are done; these cannot be extended then.
    pub checkpoints: bool,
    /// Trials that failed.
    pub failed: bool,
    /// Trials that the plan no longer has.
    pub stale: bool,
}

/// A file or folder that can go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removable {
    pub path: PathBuf,
    pub bytes: u64,
    pub why: &'static str,
}

/// What of the experiment in `dir` can go.
///
/// # Errors
/// A trial that runs, or a directory that cannot be read.
pub fn removable(plan: &Plan, dir: &Path, what: Clean) -> Result<Vec<Removable>> {
    let mut found = Vec::new();
    let mut add = |path: PathBuf, why| -> Result<()> {
        if path.exists() {
            found.push(Removable { bytes: size(&path)?, path, why });
        }
        Ok(())
    };
    for (trial, status) in plan.trials.iter().zip(status(plan, dir)?) {
        ensure!(status.state != State::Running, "{}: trial {} runs; wait for it", dir.display(), trial.id);
        let run = trial.run_dir(dir);
        match status.state {
            State::Done if what.checkpoints => add(run.checkpoint(), "checkpoint of a trial that is done")?,
            State::Failed if what.failed => add(run.path().to_owned(), "trial that failed")?,
            _ => {}
        }
    }
    let planned: HashSet<&str> = plan.trials.iter().map(|trial| trial.id.as_str()).collect();
    let trials = dir.join("trials");
    if what.stale && trials.is_dir() {
        for entry in fs::read_dir(&trials).with_context(|| format!("{}", trials.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Folders of others stay.
            if !planned.contains(name.as_str()) && RunDir::new(&path).config_file().exists() {
                add(path, "trial that the plan no longer has")?;
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Removes one of [`removable`].
///
/// # Errors
/// A path that cannot be removed.
pub fn remove(removable: &Removable) -> Result<()> {
    let path = &removable.path;
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.with_context(|| format!("{}: cannot be removed", path.display()))
}
