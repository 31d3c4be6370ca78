//! What decides the numbers of a run, and what may change when it goes on.

use super::config::RunConfig;
use crate::yaml;
use anyhow::Result;
use serde::Serialize;
use serde_yaml::Value;
use std::collections::BTreeMap;

/// Settings that say how and where a run is carried out. All others are its identity: they decide its numbers.
const CIRCUMSTANCES: [&str; 14] = [
    "recipe",
    "threads",
    "device",
    "data.root",
    "data.workers",
    "train.eval_batch_size",
    "train.log_every",
    "train.save_every",
    "train.histograms",
    "train.checkpoint",
    "train.keep",
    "train.keep_best",
    "train.keep_optimizer",
    "train.allow_memory",
];

/// Settings that say how long a run is: it can be extended by them.
pub const EXTENDABLE: [&str; 4] = ["train.epochs", "train.steps", "train.minutes", "train.patience"];

/// A setting of which two configurations have different values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The path of keys: `train.epochs`.
    pub key: String,
    /// Null where it is not set.
    pub old: Value,
    pub new: Value,
}

impl Change {
    /// Whether the setting decides a run's numbers.
    pub fn is_of_identity(&self) -> bool {
        let within = |key: &str| {
            self.key.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        !CIRCUMSTANCES.iter().any(|key| within(key)) && !self.is_another_path() && !self.is_unknown()
    }

    /// Whether the data is of the same kind in another folder; what is in it is compared when a run goes on.
    fn is_another_path(&self) -> bool {
        let kind = |value: &Value| Some(value.as_str()?.split_once(':')?.0.to_owned());
        self.key == "data.dataset" && kind(&self.old).is_some() && kind(&self.old) == kind(&self.new)
    }

    /// Whether the weights that a run starts from have not been looked at on one side: a checkpoint knows them.
    fn is_unknown(&self) -> bool {
        let weights = ["init.sha256", "train.distillation.teacher.sha256"];
        weights.contains(&self.key.as_str()) && (self.old.is_null() || self.new.is_null())
    }

    /// For people: `train.epochs is 3 there, 5 here`.
    pub fn text(&self) -> String {
        let spelled = |value: &Value| match value {
            Value::Null => "not set".to_owned(),
            value => yaml::flow(value),
        };
        format!("{} is {} there, {} here", self.key, spelled(&self.old), spelled(&self.new))
    }
}

/// The settings in which two configurations differ, by their keys.
///
/// # Errors
/// A configuration that YAML cannot spell.
pub fn changes(old: &RunConfig, new: &RunConfig) -> Result<Vec<Change>> {
    let [mut old, new] = [settings(old)?, settings(new)?];
    let mut changes = Vec::new();
    for (key, new) in new {
        let old = old.remove(&key).unwrap_or_default();
        if old != new {
            changes.push(Change { key, old, new });
        }
    }
    changes.extend(old.into_iter().map(|(key, old)| Change { key, old, new: Value::Null }));
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(changes)
}

/// The leaves of a configuration by their keys; a list is one.
fn settings(config: &RunConfig) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    // Through its text, as it is read again.
    collect("", yaml::parse(&yaml::to_string(config)?, "the configuration")?, &mut all);
    Ok(all)
}

fn collect(path: &str, value: Value, all: &mut BTreeMap<String, Value>) {
    match value {
        Value::Mapping(map) => {
            for (key, value) in map {
                let key = key.as_str().unwrap_or_default();
                let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                collect(&path, value, all);
            }
        }
        Value::Null => {}
        value => {
            all.insert(path.to_owned(), value);
        }
    }
}
