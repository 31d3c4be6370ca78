//! What `kubectl` is asked.

use super::super::list::{List, prefix};
use super::settings::Pods;
use crate::Usage;
use anyhow::{Context, Result, bail};
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

/// The label by which the jobs and pods of an experiment's directory are found.
pub(super) const LABEL: &str = "tchvision/experiment";

/// Checks that a cluster answers.
///
/// # Errors
/// As [`submit`].
pub(in super::super) fn reachable(pods: &Pods) -> Result<()> {
    said(kubectl(pods.namespace.as_deref()).args(["get", "jobs", "-o", "name", "-l", LABEL])).map(drop)
}

/// Gives a manifest to the cluster.
///
/// # Errors
/// `kubectl` is not here, or what the cluster has against it.
pub(in super::super) fn submit(manifest: &Path) -> Result<Vec<String>> {
    let text = said(Command::new("kubectl").args(["apply", "-o", "name", "-f"]).arg(manifest))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Removes what the lists have of an experiment; the pods save and end.
///
/// # Errors
/// As [`submit`].
pub(in super::super) fn delete(dir: &Path, lists: &[&List]) -> Result<Vec<String>> {
    if lists.is_empty() {
        return Ok(Vec::new());
    }
    let namespaces = namespaces(lists)?;
    let mut gone = Vec::new();
    for namespace in &namespaces {
        let label = format!("{LABEL}={}", prefix(dir));
        let mut command = kubectl(namespace.as_deref());
        command.args(["delete", "jobs,services", "--wait=false", "-o", "name", "-l", &label]);
        gone.extend(said(&mut command)?.lines().map(str::to_owned));
    }
    Ok(gone)
}

pub(super) fn kubectl(namespace: Option<&str>) -> Command {
    let mut command = Command::new("kubectl");
    if let Some(namespace) = namespace {
        command.args(["--namespace", namespace]);
    }
    command
}

/// The namespaces that manifests name; `None` is that of the current context.
pub(super) fn namespaces(lists: &[&List]) -> Result<Vec<Option<String>>> {
    let mut all = Vec::new();
    for list in lists {
        let path = list.script("yaml");
        let text = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        // The manifest is ours: two spaces within `metadata`.
        let line = text.lines().find_map(|line| line.strip_prefix("  namespace: "));
        all.push(line.map(str::to_owned));
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// What `kubectl` prints.
pub(super) fn said(command: &mut Command) -> Result<String> {
    let out = match command.stdin(Stdio::null()).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let text = "`kubectl` is not here: run this where it is, or take the manifest of `--dry-run`";
            return Err(Usage(text.to_owned()).into());
        }
        out => out.context("kubectl: cannot be started")?,
    };
    if !out.status.success() {
        bail!("kubectl: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
