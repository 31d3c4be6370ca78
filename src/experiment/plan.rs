//! The trials of an experiment, every one checked and costed before anything runs.

use super::collect::mean;
use super::planner::Planner;
use super::spec::{Metric, Spec};
use super::status::finished;
use super::variant;
use crate::train::RunConfig;
use crate::yaml::{Document, Override};
use crate::{Remedy, Usage, nearest};
use anyhow::{Error, Result};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use std::path::Path;

/// An experiment read from its file.
pub struct Experiment {
    /// The file's name without extension.
    pub name: String,
    pub spec: Spec,
    pub(super) document: Document,
}

/// What an experiment runs; its JSON form is `plan.json`.
#[derive(Serialize)]
pub struct Plan {
    pub experiment: String,
    /// In the order of the file, the seeds of a variant side by side.
    pub trials: Vec<Trial>,
    /// What comes after these trials, and depends on their results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One run of the experiment.
#[derive(Clone, Serialize)]
pub struct Trial {
    /// Names the trial's directory.
    pub id: String,
    /// The values of the axes by their key paths, and `variant` for a named one.
    pub variant: Map<String, Json>,
    /// The knobs that were solved: for equal cost, and by compound scaling.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub solved: Map<String, Json>,
    pub seed: u64,
    pub model: String,
    pub params: u64,
    pub macs: u64,
    pub activations: u64,
    #[serde(skip)]
    pub config: RunConfig,
}

impl Trial {
    /// The settings of the variant, for people: `cardinality 4, depth 20`.
    pub fn label(&self) -> String {
        label(&self.variant)
    }

    /// The knobs that were solved, for people: `base_width 12`.
    pub fn solved(&self) -> String {
        label(&self.solved)
    }
}

/// Whether a variant has all settings of `wanted`: `KEY=VALUE`, the key in full or its last part, or the name of a named
/// variant.
pub(crate) fn picks(variant: &Map<String, Json>, wanted: &[&str]) -> bool {
    wanted.iter().all(|wanted| {
        let (key, value) = wanted.split_once('=').unwrap_or(("variant", wanted));
        variant.iter().any(|(path, has)| (path == key || last(path) == key) && text(has) == value)
    })
}

/// The parts of a selection between its commas; those within brackets belong to a value.
pub(crate) fn pairs(text: &str) -> Vec<&str> {
    let mut depth = 0;
    let parts = text.split(|c| {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        c == ',' && depth <= 0
    });
    parts.map(str::trim).collect()
}

/// The keys of all mappings, each once, in the order in which they come.
fn keys<'a>(mappings: impl Iterator<Item = &'a Map<String, Json>>) -> Vec<&'a str> {
    let mut keys: Vec<&str> = Vec::new();
    for key in mappings.flat_map(Map::keys) {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    keys
}

/// The variant whose mean is best over its seeds; `None` until all trials are done.
fn best_variant(trials: &[Trial], dir: &Path, metric: Metric) -> Result<Option<Map<String, Json>>> {
    let mut best: Option<(f64, &Trial)> = None;
    for seeds in trials.chunk_by(|a, b| a.variant == b.variant) {
        let mut values = Vec::new();
        for trial in seeds {
            let Some(result) = finished(trial, dir)? else { return Ok(None) };
            values.push(metric.of(&result));
        }
        let mean = mean(&values).unwrap_or(f64::NAN);
        if best.is_none_or(|(so_far, _)| metric.better(mean, so_far)) {
            best = Some((mean, &seeds[0]));
        }
    }
    Ok(best.map(|(_, trial)| trial.variant.clone()))
}

/// Settings by their key paths, for people.
pub(crate) fn label<'a>(settings: impl IntoIterator<Item = (&'a String, &'a Json)>) -> String {
    let words = settings.into_iter().map(|(key, value)| match key.as_str() {
        "variant" => text(value),
        path => format!("{} {}", last(path), shown(value)),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The last key of a path.
pub(crate) fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or_default()
}

/// A value for people: as in a name, but of a fraction no more than four digits.
pub(crate) fn shown(value: &Json) -> String {
    match value.as_f64().filter(|x| x.fract() != 0.0).map(|x| format!("{x:.3e}").parse::<f64>()) {
        Some(Ok(rounded)) => rounded.to_string(),
        _ => text(value),
    }
}

/// A value in a name or a file: text bare, anything else as JSON.
pub(crate) fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `key.path=value` over an experiment: keys of the experiment as they are, keys of a run within its `base`, and key
/// paths after `axes.` and its like as one key.
///
/// # Errors
/// As [`Override::new`].
pub fn override_of(text: &str) -> Result<Override> {
    Override::with(text, |key| {
        let (first, rest) = key.split_once('.').unwrap_or((key, ""));
        Ok(match first {
            "axes" | "zip" if !rest.is_empty() => vec![first.to_owned(), rest.to_owned()],
            "sample" if rest.starts_with("of.") => {
                vec![first.to_owned(), "of".to_owned(), rest["of.".len()..].to_owned()]
            }
            "model" | "data" | "train" | "seed" | "device" | "threads" => {
                std::iter::once("base").chain(key.split('.')).map(str::to_owned).collect()
            }
            _ => key.split('.').map(str::to_owned).collect(),
        })
    })
}

impl Experiment {
    /// Reads a file, or the `experiment.yaml` of a run directory.
    ///
    /// # Errors
    /// [`Usage`]: what is wrong with the file, with line, column and the nearest valid key.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let overrides = overrides.iter().map(|text| override_of(text)).collect::<Result<_>>()?;
        let file = if path.is_dir() { path.join("experiment.yaml") } else { path.to_owned() };
        let named = if path.is_dir() { path.canonicalize().ok() } else { Some(path.with_extension("")) };
        let name = named.as_deref().and_then(Path::file_name).unwrap_or_default();
        let document = Document::read(&file, overrides)?;
        Ok(Self { name: name.to_string_lossy().into_owned(), spec: document.parse()?, document })
    }

    /// The text of the file, for the run directory.
    ///
    /// # Errors
    /// Overrides that YAML cannot spell.
    pub fn text(&self) -> Result<String> {
        self.document.text()
    }

    /// All trials; no data is read but for sets whose name does not tell their shape, and no weight is allocated. Of an
    /// experiment with a search it is the first step.
    ///
    /// # Errors
    /// [`Usage`], at its place in the file: a setting that cannot be, a model that does not fit the data, a cost that
    /// cannot be matched (with the nearest that can).
    pub fn plan(&self) -> Result<Plan> {
        self.plan_after(|_| Ok(None))
    }

    /// All trials as far as the results in the run directory `dir` tell them: after a search whose trials are done,
    /// those of its second step as well.
    ///
    /// # Errors
    /// As [`Experiment::plan`], and records that cannot be read.
    pub fn plan_in(&self, dir: &Path) -> Result<Plan> {
        self.plan_after(|trials| best_variant(trials, dir, self.spec.report.y))
    }

    /// Plans, and the ladder too where `choose` names the best of the search.
    fn plan_after(&self, choose: impl Fn(&[Trial]) -> Result<Option<Map<String, Json>>>) -> Result<Plan> {
        let mut planner = Planner::new(self)?;
        let variants = planner.variants()?;
        let mut trials = planner.trials(&variants)?;
        let phi = self.spec.scale.as_ref().map_or(&[][..], |scale| &scale.phi);
        let mut next = None;
        if self.spec.search.is_some() && !phi.is_empty() {
            match choose(&trials)? {
                Some(best) => {
                    let at = |name: &str| best.get(&format!("scale.{name}")).and_then(Json::as_f64);
                    let point = ["alpha", "beta", "gamma"].map(|name| at(name).unwrap_or(1.0));
                    let rungs = phi.iter().filter(|&&phi| phi != 1.0);
                    let rungs: Vec<_> = rungs.map(|&phi| variant::at_point(phi, point)).collect();
                    trials.extend(planner.trials(&rungs)?);
                }
                None => {
                    let rungs: Vec<String> = phi.iter().map(ToString::to_string).collect();
                    next = Some(format!("scale.phi {} with the best of these", rungs.join(", ")));
                }
            }
        }
        planner.check_report(&trials)?;
        Ok(Plan { experiment: self.name.clone(), trials, next })
    }
}

impl Plan {
    /// The columns that tell the variants apart, in the order of the file.
    pub fn columns(&self) -> Vec<&str> {
        keys(self.trials.iter().map(|trial| &trial.variant))
    }

    /// The columns of the solved knobs.
    pub fn solved_columns(&self) -> Vec<&str> {
        keys(self.trials.iter().map(|trial| &trial.solved))
    }

    /// The trials that any of `wanted` picks: an ID, or `key=value` pairs with commas between, where the key is an axis
    /// (in full or its last part), `variant` or `seed`. All of them when nothing is wanted.
    ///
    /// # Errors
    /// [`Usage`] where one picks nothing.
    pub fn only(&self, wanted: &[String]) -> Result<Vec<&Trial>> {
        let picks = |trial: &Trial, wanted: &str| {
            let seed = |pair: &&str| pair.strip_prefix("seed=") == Some(&trial.seed.to_string());
            let rest: Vec<&str> = pairs(wanted).into_iter().filter(|pair| !seed(pair)).collect();
            trial.id == wanted || picks(&trial.variant, &rest)
        };
        for wanted in wanted {
            if !self.trials.iter().any(|trial| picks(trial, wanted)) {
                let ids = self.trials.iter().map(|trial| trial.id.as_str());
                let like = nearest(wanted, ids).unwrap_or_default().to_owned();
                let text = format!("{wanted}: no such trial");
                return Err(Error::new(Remedy::Trial(like)).context(Usage(text)));
            }
        }
        let kept = |trial: &&Trial| wanted.is_empty() || wanted.iter().any(|wanted| picks(trial, wanted));
        Ok(self.trials.iter().filter(kept).collect())
    }
}
