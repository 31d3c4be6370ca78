//! What the cluster says of the pods of trials.

use super::super::list::{List, WORKER, prefix};
use super::super::queue::Queued;
use super::kubectl::{LABEL, kubectl, namespaces, said};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// A list of indices as Kubernetes writes it: `1,3-5,7`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Indices(Vec<(usize, usize)>);

impl Indices {
    fn read(text: &str) -> Self {
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
        };
        Self(text.split(',').filter_map(range).collect())
    }

    fn has(&self, index: usize) -> bool {
        self.0.iter().any(|&(first, last)| (first..=last).contains(&index))
    }
}

/// The live workers of these lists, and the trials as the cluster has them.
///
/// # Errors
/// `kubectl` is not here, or the cluster does not answer.
pub(in super::super) fn pods(dir: &Path, lists: &[&List]) -> Result<(usize, HashMap<String, Queued>)> {
    let (mut workers, mut found) = (0, HashMap::new());
    if lists.is_empty() {
        return Ok((workers, found));
    }
    let label = format!("{LABEL}={}", prefix(dir));
    for namespace in namespaces(lists)? {
        let mut command = kubectl(namespace.as_deref());
        let text = said(command.args(["get", "jobs,pods", "-o", "json", "-l", &label]))?;
        let items = serde_json::from_str::<Value>(&text).context("kubectl: its answer is no JSON")?;
        let (at_work, trials): (Vec<_>, Vec<_>) =
            elements(dir, lists, &items).into_iter().partition(|(line, _)| line == WORKER);
        workers += at_work.iter().filter(|(_, queued)| queued.is_live).count();
        found.extend(trials);
    }
    Ok((workers, found))
}

/// The elements of the lists in an answer of `kubectl get jobs,pods -o json`, by their lines.
fn elements(dir: &Path, lists: &[&List], answer: &Value) -> Vec<(String, Queued)> {
    let none = Vec::new();
    let items = answer["items"].as_array().unwrap_or(&none);
    let jobs: HashMap<&str, &Value> = items
        .iter()
        .filter(|item| item["kind"] == "Job")
        .filter_map(|job| Some((job["metadata"]["name"].as_str()?, job)))
        .collect();
    let mut pods: HashMap<(&str, usize), &Value> = HashMap::new();
    for pod in items.iter().filter(|item| item["kind"] == "Pod") {
        let metadata = &pod["metadata"];
        let job = metadata["labels"]["batch.kubernetes.io/job-name"].as_str();
        let index = metadata["annotations"]["batch.kubernetes.io/job-completion-index"].as_str();
        let Some((job, index)) = job.zip(index.and_then(|index| index.parse().ok())) else { continue };
        let created =
            |pod: &Value| pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
        let newer = pods.get(&(job, index)).is_none_or(|there| created(there) <= created(pod));
        if newer {
            pods.insert((job, index), pod);
        }
    }
    let mut found = Vec::new();
    for list in lists {
        for (index, trial) in list.trials.iter().enumerate() {
            let (array, set) = (list.name(dir), format!("{}-{index}", list.name(dir)));
            let (name, index) = if jobs.contains_key(set.as_str()) { (set, 0) } else { (array, index) };
            if let Some(job) = jobs.get(name.as_str()) {
                let pod = pods.get(&(name.as_str(), index)).copied();
                found.push((trial.clone(), queued(job, &name, index, pod)));
            }
        }
    }
    found
}

/// What a Job and the newest pod of an index say.
fn queued(job: &Value, name: &str, index: usize, pod: Option<&Value>) -> Queued {
    let status = &job["status"];
    let has = |list: &str| status[list].as_str().is_some_and(|text| Indices::read(text).has(index));
    let condition = |of: &Value, kind: &str, value: &str| {
        let all = of["status"]["conditions"].as_array()?;
        all.iter().find(|condition| condition["type"] == kind && condition["status"] == value).cloned()
    };
    let over = ["Complete", "Failed"].into_iter().find_map(|kind| condition(job, kind, "True"));
    let is_live = over.is_none() && !has("completedIndexes") && !has("failedIndexes");
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let Some(pod) = pod else {
        let state = if is_live { "Waiting" } else { "Over" };
        let reason = over.and_then(|over| text(&over["message"]));
        return Queued { job: format!("{name}-{index}"), state: state.into(), reason, node: None, is_live };
    };
    let container = &pod["status"]["containerStatuses"][0]["state"];
    let unscheduled =
        condition(pod, "PodScheduled", "False").and_then(|condition| text(&condition["message"]));
    let disrupted =
        condition(pod, "DisruptionTarget", "True").and_then(|condition| text(&condition["message"]));
    let ended = container["terminated"]["exitCode"].as_i64().filter(|&code| code != 0);
    let reason = unscheduled
        .or(disrupted)
        .or_else(|| text(&container["waiting"]["reason"]))
        .or_else(|| text(&pod["status"]["message"]))
        .or_else(|| ended.map(|code| format!("exit code {code}")));
    Queued {
        job: text(&pod["metadata"]["name"]).unwrap_or_default(),
        state: text(&pod["status"]["phase"]).unwrap_or_default(),
        reason,
        node: text(&pod["spec"]["nodeName"]),
        is_live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_of_indices_have_ranges() {
        let indices = Indices::read("1,3-5,7");
        let found: Vec<usize> = (0..9).filter(|&index| indices.has(index)).collect();
        assert_eq!(found, [1, 3, 4, 5, 7]);
        assert!(!Indices::read("").has(0));
    }

    /// The fields are those of batch/v1 and core/v1.
    #[test]
    fn pods_tell_why_a_trial_waits_and_jobs_whether_it_comes_again() {
        let dir = Path::new("/runs/demo");
        let trials: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned).into();
        let list = List::new(dir, 1, trials);
        let name = list.name(dir);
        let pod = |index: usize, created: &str, status: Value| {
            json!({"kind": "Pod", "status": status, "spec": {"nodeName": "node-1"}, "metadata": {
                "name": format!("{name}-{index}-{created}"), "creationTimestamp": created,
                "labels": {"batch.kubernetes.io/job-name": name},
                "annotations": {"batch.kubernetes.io/job-completion-index": index.to_string()}}})
        };
        let failed =
            json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 2}}}]});
        let waits = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}]});
        let answer = json!({"items": [
            {"kind": "Job", "metadata": {"name": name}, "status": {"completedIndexes": "0", "failedIndexes": "1"}},
            pod(1, "2026-01-01", failed.clone()),
            pod(2, "2026-01-01", failed),
            pod(2, "2026-01-02", waits),
        ]});
        let found = elements(dir, &[&list], &answer).into_iter().collect::<HashMap<_, _>>();
        assert!(!found["a"].is_live && !found["b"].is_live && found["c"].is_live && found["d"].is_live);
        assert_eq!(found["b"].reason.as_deref(), Some("exit code 2"));
        assert_eq!(found["c"].state, "Pending");
        assert!(found["c"].reason.as_deref().unwrap().contains("Insufficient nvidia.com/gpu"));
        assert_eq!(found["d"].state, "Waiting");
        // A Job that is over retries nothing.
        let over = json!({"items": [{"kind": "Job", "metadata": {"name": name}, "status": {"conditions": [
            {"type": "Failed", "status": "True", "message": "Job was active longer than specified deadline"}]}}]});
        assert!(elements(dir, &[&list], &over).iter().all(|(_, queued)| !queued.is_live));
    }
}
