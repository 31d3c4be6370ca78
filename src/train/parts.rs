//! Which parameters a run trains, and how fast: `train.freeze`, `train.groups`, `train.layer_decay`.

use super::config::{RunConfig, TrainConfig};
use super::layers::{anchored, layers};
use super::parts_config::GroupConfig;
use crate::Invalid;
use crate::models::{Architecture, Model, ModelSpec};
use crate::names::did_you_mean;
use crate::nn::Store;
use crate::weights;
use anyhow::Result;
use serde::Serialize;
use std::collections::{BTreeSet, HashSet};

/// The pattern of everything but the classifier.
const ALL: &str = "all";
/// Layer 0 as timm counts, and what follows the last stage.
const STEM: &str = "stem";
const HEAD: &str = "head";

/// How a parameter is trained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Treatment {
    pub name: String,
    pub shape: Vec<i64>,
    /// Times the learning rate.
    pub lr_scale: f64,
    pub weight_decay: f64,
    pub trained: bool,
}

/// How the run of `config` trains each parameter. Reads the data only if its name does not tell its classes; allocates
/// nothing.
///
/// # Errors
/// Patterns that match nothing, and what makes no model.
pub fn groups(config: &RunConfig) -> Result<Vec<Treatment>> {
    config.validate()?;
    let (input, classes) = config.data.shape()?;
    treatments(&config.train, &config.architecture(input, classes)?)
}

impl RunConfig {
    /// Checks that what the run freezes and groups is there, for images of shape `input` (C, H, W).
    ///
    /// # Errors
    /// As [`groups`].
    pub(crate) fn check_parts(&self, input: [i64; 3], classes: i64) -> Result<()> {
        let TrainConfig { freeze, groups, .. } = &self.train;
        if freeze.is_empty() && groups.is_empty() {
            return Ok(());
        }
        treatments(&self.train, &self.architecture(input, classes)?).map(drop)
    }
}

/// How each parameter of the model is trained, in their order.
///
/// # Errors
/// Patterns that match nothing, at their keys.
pub(super) fn treatments(config: &TrainConfig, architecture: &Architecture) -> Result<Vec<Treatment>> {
    let store = Store::meta();
    let model = architecture.build(&store)?;
    let parameters = store.parameters();
    let keys: Vec<String> = parameters.iter().map(|(key, _)| key.clone()).collect();
    let stages = stages(model.as_ref(), &keys);
    let layers = layers(architecture.family, &keys, &stages);
    let parts = Parts { architecture, keys: &keys, stages: &stages, layers: &layers };

    let decay = config.optimizer.weight_decay();
    let last = layers.iter().copied().max().unwrap_or(0);
    let mut all: Vec<Treatment> = parameters
        .iter()
        .zip(&layers)
        .map(|((name, tensor), &layer)| Treatment {
            name: name.clone(),
            shape: tensor.size(),
            lr_scale: config.layer_decay.map_or(1.0, |decay| decay.powf((last - layer) as f64)),
            weight_decay: if config.decay_norm_and_bias || tensor.dim() > 1 { decay } else { 0.0 },
            trained: true,
        })
        .collect();
    for (i, GroupConfig { pattern, lr_scale, weight_decay }) in config.groups.iter().enumerate() {
        for member in parts.matching(pattern, &format!("train.groups.{i}.match"))? {
            all[member].lr_scale *= lr_scale.unwrap_or(1.0);
            all[member].weight_decay = weight_decay.unwrap_or(all[member].weight_decay);
        }
    }
    for (i, pattern) in config.freeze.iter().enumerate() {
        for member in parts.matching(pattern, &format!("train.freeze.{i}"))? {
            all[member].trained = false;
        }
    }
    if all.iter().all(|treatment| !treatment.trained) {
        let message = "nothing is left to train; `all` leaves the classifier";
        return Err(Invalid::value("train.freeze", message).into());
    }
    Ok(all)
}

/// A model's parameters by the words that choose among them.
struct Parts<'a> {
    architecture: &'a Architecture,
    keys: &'a [String],
    stages: &'a [(String, Vec<usize>)],
    layers: &'a [usize],
}

impl Parts<'_> {
    /// The parameters that a pattern chooses, which stands at `place`.
    fn matching(&self, pattern: &str, place: &str) -> Result<Vec<usize>> {
        let all = || 0..self.keys.len();
        let found: Vec<usize> = match pattern {
            ALL => {
                let classifier = self.classifier()?;
                all().filter(|&i| !classifier.contains(&self.keys[i])).collect()
            }
            STEM => all().filter(|&i| self.layers[i] == 0).collect(),
            HEAD => all().filter(|i| !self.stages.iter().any(|(_, members)| members.contains(i))).collect(),
            _ => match self.stages.iter().find(|(name, _)| name == pattern) {
                Some((_, members)) => members.clone(),
                None => {
                    let pattern = anchored(pattern, r"(?:\.|$)")
                        .map_err(|error| Invalid::value(place, format!("no pattern: {error}")))?;
                    all().filter(|&i| pattern.is_match(&self.keys[i])).collect()
                }
            },
        };
        if found.is_empty() {
            return Err(Invalid::value(place, self.unknown(pattern)).into());
        }
        Ok(found)
    }

    fn classifier(&self) -> Result<HashSet<String>> {
        let Architecture { name, .. } = *self.architecture;
        weights::classifier(&ModelSpec { name: name.to_owned(), set: self.architecture.fields()? })
    }

    fn unknown(&self, pattern: &str) -> String {
        let stages: Vec<&str> = self.stages.iter().map(|(name, _)| name.as_str()).collect();
        // Also what lies above a parameter: `layer1.0` of `layer1.0.conv1.weight`.
        let modules: BTreeSet<&str> = self
            .keys
            .iter()
            .flat_map(|key| key.match_indices('.').map(|(end, _)| &key[..end]).chain([key.as_str()]))
            .collect();
        let known = [ALL, STEM, HEAD].into_iter().chain(stages.iter().copied()).chain(modules);
        let otherwise = format!("it has the stages {}", stages.join(", "));
        format!(
            "`{pattern}` matches no parameter of {}; {}",
            self.architecture.name,
            did_you_mean(pattern, known, &otherwise)
        )
    }
}

/// The parameters of each stage: those below its name and what follows them up to the next stage. A stage of another name
/// than its parameters has those before the next.
fn stages(model: &dyn Model, keys: &[String]) -> Vec<(String, Vec<usize>)> {
    let names: Vec<String> = model.stages().into_iter().map(|(name, _)| name.to_owned()).collect();
    let below = |name: &str, key: &str| {
        key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let own = |i: usize| names.iter().position(|name| below(name, &keys[i]));
    let owners: Vec<Option<usize>> = (0..keys.len()).map(own).collect();
    let last = owners.iter().rposition(Option::is_some);
    let mut stages: Vec<(String, Vec<usize>)> = names.iter().map(|name| (name.clone(), Vec::new())).collect();
    for i in 0..last.map_or(0, |last| last + 1) {
        let before = owners[..i].iter().rev().find_map(|owner| *owner);
        let after = owners[i..].iter().find_map(|owner| *owner).unwrap_or(0);
        let nameless = |stage: &usize| !owners.contains(&Some(*stage));
        let between = before.map_or(0, |before| before + 1)..after;
        let stage = owners[i].or_else(|| between.into_iter().find(nameless)).or(before).unwrap_or(0);
        if let Some((_, members)) = stages.get_mut(stage) {
            members.push(i);
        }
    }
    stages
}
