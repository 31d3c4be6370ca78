//! The same plan by processes of this machine, apart from the one that launches.

use super::options::LaunchOptions;
use crate::{atomic, train};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The process that runs the experiment.
#[derive(Serialize, Deserialize)]
struct Process {
    host: String,
    process: u32,
}

fn record(dir: &Path) -> PathBuf {
    dir.join("launch/local.json")
}

/// Whether a process runs the experiment now.
pub(super) fn is_running(dir: &Path) -> bool {
    train::is_locked(&dir.join(crate::experiment::begin::LOCK))
}

/// Starts `experiment run` on the directory, to go on when this process and its terminal have ended; returns its number.
pub(super) fn start(dir: &Path, options: &LaunchOptions) -> Result<String> {
    let folder = dir.join("launch");
    fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be created", folder.display()))?;
    let path = folder.join("local.out");
    let log = File::create(&path).with_context(|| format!("{}: cannot be created", path.display()))?;
    let mut command = Command::new(&options.program);
    command.args(["experiment", "run"]).arg(dir);
    if let Some(jobs) = options.max_parallel {
        command.arg("--jobs").arg(jobs.to_string());
    }
    for trial in &options.only {
        command.arg("--only").arg(trial);
    }
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    #[cfg(unix)]
    // SAFETY: the call between fork and exec only makes the new process the first of its own session.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(&mut command, || {
            libc::setsid();
            Ok(())
        });
    }
    let child =
        command.spawn().with_context(|| format!("{}: cannot be started", options.program.display()))?;
    let process = Process { host: host(), process: child.id() };
    atomic::write(&record(dir), &serde_json::to_vec(&process)?)?;
    Ok(child.id().to_string())
}

/// Asks the process to save and end.
pub(super) fn cancel(dir: &Path) -> Result<Option<String>> {
    let Ok(text) = fs::read_to_string(record(dir)) else { return Ok(None) };
    let Process { host: there, process } =
        serde_json::from_str(&text).with_context(|| format!("{}: remove it", record(dir).display()))?;
    // Another process may have its number by now: it is ours while the experiment is held.
    if !is_running(dir) {
        return Ok(None);
    }
    anyhow::ensure!(there == host(), "{}: it runs on {there}; cancel it there", dir.display());
    #[cfg(unix)]
    if let Ok(process) = i32::try_from(process) {
        // SAFETY: sends a signal.
        unsafe { libc::kill(process, libc::SIGTERM) };
    }
    Ok(Some(process.to_string()))
}

/// What this machine is called.
fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}
