//! The manifest: an Indexed Job whose pods are the trials, or one Job a trial whose pods are the ranks of one training.

use super::super::element;
use super::super::list::{List, prefix};
use super::super::options::{LaunchOptions, Resources};
use super::kubectl::LABEL;
use super::merge::merge;
use super::settings::Pods;
use crate::{Usage, yaml};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;

/// Seconds that a pod has to save before it is killed.
const GRACE: u32 = 120;

/// Where ranks of one training meet on the pod of rank 0.
const PORT: u16 = 29_500;

/// The most pods of an Indexed Job with a limit for each index.
pub(in super::super) const MOST: usize = 100_000;

/// The manifest of a list whose elements are pods side by side.
///
/// # Errors
/// A run directory outside of the volumes, or a template that cannot be read.
pub(in super::super) fn arrays(
    dir: &Path,
    list: &List,
    options: &LaunchOptions,
    pods: &Pods,
) -> Result<String> {
    let choose = element::choose(&list.file(), "JOB_COMPLETION_INDEX");
    let command = format!("{choose}; exec {}", element::command(&options.program, dir, list));
    let count = list.trials.len();
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(dir, &list.name(dir), pods),
        "spec": {
            "completionMode": "Indexed",
            "completions": count,
            "parallelism": options.max_parallel.unwrap_or(count).min(count),
            "backoffLimitPerIndex": options.requeues,
            // A trial that cannot run does not stop the others.
            "maxFailedIndexes": count,
            "podFailurePolicy": {"rules": rules("FailIndex")},
            "template": template(dir, &command, &[], options, pods)?,
        },
    });
    yaml::to_string(&job)
}

/// The manifest of a list whose elements are trainings over several pods each: a Job and a headless Service a trial.
///
/// # Errors
/// As [`arrays`], and places for fewer than all: such Jobs do not wait for each other.
pub(in super::super) fn sets(
    dir: &Path,
    list: &List,
    options: &LaunchOptions,
    pods: &Pods,
) -> Result<String> {
    let text = "--max-parallel: Jobs of several pods each do not wait for each other; launch parts of them by --only";
    ensure!(options.max_parallel.is_none(), Usage(text.to_owned()));
    let world = options.resources.processes();
    let mut documents = Vec::new();
    for (index, trial) in list.trials.iter().enumerate() {
        let name = format!("{}-{index}", list.name(dir));
        let choose = format!("trial={}", super::super::quote::quote(trial));
        let ranks = "RANK=$JOB_COMPLETION_INDEX LOCAL_RANK=0";
        let command =
            format!("{choose}; export {ranks}; exec {}", element::command(&options.program, dir, list));
        let variables = [
            json!({"name": "WORLD_SIZE", "value": world.to_string()}),
            json!({"name": "MASTER_ADDR", "value": format!("{name}-0.{name}")}),
            json!({"name": "MASTER_PORT", "value": PORT.to_string()}),
        ];
        let mut template = template(dir, &command, &variables, options, pods)?;
        // Pods find each other as NAME-RANK.NAME.
        template["spec"]["subdomain"] = json!(name);
        let selector = json!({"batch.kubernetes.io/job-name": name});
        documents.push(yaml::to_string(&json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(dir, &name, pods),
            "spec": {"clusterIP": "None", "publishNotReadyAddresses": true, "selector": selector, "ports": [{"port": PORT}]},
        }))?);
        documents.push(yaml::to_string(&json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata(dir, &name, pods),
            "spec": {
                "completionMode": "Indexed",
                "completions": world,
                "parallelism": world,
                // When one rank ends, all end with 75 and start again.
                "backoffLimit": options.requeues.saturating_mul(world),
                "podFailurePolicy": {"rules": rules("FailJob")},
                "template": template,
            },
        }))?);
    }
    Ok(documents.join("---\n"))
}

/// A pod that the cluster took away does not count; one that failed, or cannot run, is not tried again. All else is: 75
/// after a save, and a container that was killed.
fn rules(fail: &str) -> Value {
    json!([
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": fail, "onExitCodes": {"containerName": "trial", "operator": "In", "values": [1, 2]}},
    ])
}

fn metadata(dir: &Path, name: &str, pods: &Pods) -> Value {
    let mut metadata = json!({"name": name, "labels": {LABEL: prefix(dir)}});
    if let Some(namespace) = &pods.namespace {
        metadata["namespace"] = json!(namespace);
    }
    metadata
}

/// The pod of a trial.
fn template(
    dir: &Path,
    command: &str,
    variables: &[Value],
    options: &LaunchOptions,
    pods: &Pods,
) -> Result<Value> {
    let Resources { gpus, cpus, memory, .. } = &options.resources;
    let several = options.resources.processes() > 1;
    let mut limits = json!({});
    if let Some(gpus) = gpus.filter(|&gpus| gpus > 0) {
        // Of one training over several processes each has a pod with a GPU of its own.
        limits["nvidia.com/gpu"] = json!(if several { 1 } else { gpus });
    }
    if let Some(cpus) = cpus {
        limits["cpu"] = json!(cpus);
    }
    if let Some(memory) = memory {
        limits["memory"] = json!(memory);
    }
    let place = |path: &Path| pods.volumes.iter().any(|claim| path.starts_with(&claim.path));
    if pods.template.is_none() && !place(dir) {
        let text =
            format!("{}: in none of the volumes; --volume CLAIM:/PATH mounts one above it", dir.display());
        return Err(Usage(text).into());
    }
    let names = (0..pods.volumes.len()).map(|i| format!("volume-{i}"));
    let mounts: Vec<Value> = names
        .clone()
        .zip(&pods.volumes)
        .map(|(name, claim)| json!({"name": name, "mountPath": claim.path.display().to_string()}))
        .collect();
    let volumes: Vec<Value> = names
        .zip(&pods.volumes)
        .map(|(name, claim)| json!({"name": name, "persistentVolumeClaim": {"claimName": claim.name}}))
        .collect();
    let mut container = json!({
        "name": "trial",
        "image": pods.image,
        "command": ["sh", "-c", command],
        "env": variables,
        "resources": {"limits": limits},
        "volumeMounts": mounts,
    });
    let here = std::env::current_dir()?;
    if place(&here) {
        // So that paths of data mean the same.
        container["workingDir"] = json!(here.display().to_string());
    }
    let mut template = json!({
        "metadata": {"labels": {LABEL: prefix(dir)}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": GRACE,
            "containers": [container],
            "volumes": volumes,
        },
    });
    if let Some(path) = &pods.template {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| format!("{name}: cannot be read"))?;
        merge(&mut template, yaml::parse(&text, &name)?);
    }
    Ok(template)
}
