//! Kubernetes: the manifest of an Indexed Job, and what `kubectl` says of it.

mod manifest;
mod merge;
mod pods;

pub(super) use manifest::{MOST, arrays, sets};
pub(super) use pods::pods;

use super::list::{List, prefix};
use crate::Usage;
use anyhow::{Context, Error, Result, bail};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

/// The label by which the jobs and pods of an experiment's directory are found.
const LABEL: &str = "tchvision/experiment";

/// How the pods of trials are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    /// The image that has the program, such as the one of `Dockerfile`.
    pub image: String,
    /// Volumes that hold the run directory and the data, at the paths that they have here.
    pub volumes: Vec<Claim>,
    pub namespace: Option<String>,
    /// A pod template whose settings go into that of the trials: lists by the names of their items.
    pub template: Option<PathBuf>,
}

/// A claim of a volume, and where it is mounted: `CLAIM:/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub name: String,
    pub path: PathBuf,
}

impl FromStr for Claim {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once(':').filter(|(name, path)| !name.is_empty() && path.starts_with('/'));
        let (name, path) =
            parts.ok_or_else(|| Usage(format!("`{text}`: write CLAIM:/PATH, such as runs:/runs")))?;
        Ok(Self { name: name.to_owned(), path: path.into() })
    }
}

/// Checks that a cluster answers.
///
/// # Errors
/// As [`submit`].
pub(super) fn reachable(pods: &Pods) -> Result<()> {
    said(kubectl(pods.namespace.as_deref()).args(["get", "jobs", "-o", "name", "-l", LABEL])).map(drop)
}

/// Gives a manifest to the cluster.
///
/// # Errors
/// `kubectl` is not here, or what the cluster has against it.
pub(super) fn submit(manifest: &Path) -> Result<Vec<String>> {
    let text = said(Command::new("kubectl").args(["apply", "-o", "name", "-f"]).arg(manifest))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Removes what the lists have of an experiment; the pods save and end.
///
/// # Errors
/// As [`submit`].
pub(super) fn delete(dir: &Path, lists: &[&List]) -> Result<Vec<String>> {
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

fn kubectl(namespace: Option<&str>) -> Command {
    let mut command = Command::new("kubectl");
    if let Some(namespace) = namespace {
        command.args(["--namespace", namespace]);
    }
    command
}

/// The namespaces that manifests name; `None` is that of the current context.
fn namespaces(lists: &[&List]) -> Result<Vec<Option<String>>> {
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
fn said(command: &mut Command) -> Result<String> {
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
