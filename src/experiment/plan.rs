//! The trials of an experiment, every one checked and costed before anything runs.

use super::halving::Halving;
use super::metric::Metric;
use super::order;
use super::owner;
use super::setting::{Settings, keys, pairs, picks};
use super::source::Experiment;
use super::trial::Trial;
use super::trials::Trials;
use super::variant;
use crate::names::close;
use crate::statistics::mean;
use crate::{Remedy, Usage};
use anyhow::{Error, Result};
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// What an experiment runs; its JSON form is `plan.json`.
#[derive(Serialize)]
pub struct Plan {
    pub experiment: String,
    /// In the order of the file, the seeds of a variant side by side.
    pub trials: Vec<Trial>,
    /// What stands in the way of an answer, in sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub concerns: Vec<String>,
    /// What comes after these trials, and depends on their results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The asynchronous halving of runs of so many epochs, by this metric.
    #[serde(skip)]
    pub(super) race: Option<(Halving, u64, Metric)>,
}

impl Experiment {
    /// All trials; no data is read but for sets whose name does not tell their shape, and no weight is allocated. Of an
    /// experiment with a search it is the first step.
    ///
    /// # Errors
    /// A [`ConfigError`](crate::yaml::ConfigError) for an invalid setting, a model that does not fit the data, or a cost
    /// that cannot be matched (with the nearest that can).
    pub fn plan(&self) -> Result<Plan> {
        self.plan_after(|_| Ok(None))
    }

    /// All trials as far as the results in the run directory `dir` tell them: after a search whose trials are done,
    /// those of its second step as well.
    ///
    /// # Errors
    /// As [`Experiment::plan`], records that cannot be read, and the directory of another experiment ([`Usage`]).
    pub fn plan_in(&self, dir: &Path) -> Result<Plan> {
        owner::check(self, dir)?;
        let plan = self.plan_after(|trials| best_variant(trials, dir, self.spec.report.y))?;
        owner::check_trials(&plan.trials, dir)?;
        Ok(plan)
    }

    /// Plans, and the ladder too where `choose` names the best of the search.
    fn plan_after(&self, choose: impl Fn(&[Trial]) -> Result<Option<Settings>>) -> Result<Plan> {
        let mut planned = Trials::new(self)?;
        let mut trials = planned.of(&planned.variants()?)?;
        let phi = self.spec.scale.as_ref().map_or(&[][..], |scale| &scale.phi);
        let mut next = None;
        if self.spec.search.is_some() && !phi.is_empty() {
            match choose(&trials)? {
                Some(best) => {
                    let at = |name: &str| best.get(&format!("scale.{name}")).and_then(Value::as_f64);
                    let point = ["alpha", "beta", "gamma"].map(|name| at(name).unwrap_or(1.0));
                    let rungs = phi.iter().filter(|&&phi| phi != 1.0);
                    let rungs: Vec<_> = rungs.map(|&phi| variant::at_point(phi, point)).collect();
                    trials.extend(planned.of(&rungs)?);
                }
                None => {
                    let rungs: Vec<String> = phi.iter().map(ToString::to_string).collect();
                    next = Some(format!("scale.phi {} with the best of these", rungs.join(", ")));
                }
            }
        }
        order::link(self, &mut trials)?;
        planned.check_report(&trials)?;
        let concerns = planned.concerns(&trials)?;
        let halving = self.spec.halving.clone().filter(|halving| halving.asynchronous);
        let race = halving.map(|halving| (halving, self.spec.base.train.epochs, self.spec.report.y));
        Ok(Plan { experiment: self.name.clone(), trials, concerns, next, race })
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
                let ids: Vec<&str> = self.trials.iter().map(|trial| trial.id.as_str()).collect();
                let like = close(wanted, ids.iter().copied()).first().or(ids.first()).copied();
                let like = like.unwrap_or_default().to_owned();
                let text = format!("{wanted}: no such trial");
                return Err(Error::new(Remedy::Trial(like)).context(Usage(text)));
            }
        }
        let kept = |trial: &&Trial| wanted.is_empty() || wanted.iter().any(|wanted| picks(trial, wanted));
        Ok(self.trials.iter().filter(kept).collect())
    }
}

/// The variant whose mean is best over its seeds; `None` until all trials are done.
fn best_variant(trials: &[Trial], dir: &Path, metric: Metric) -> Result<Option<Settings>> {
    let mut best: Option<(f64, &Trial)> = None;
    for seeds in trials.chunk_by(|a, b| a.variant == b.variant) {
        let mut values = Vec::new();
        for trial in seeds {
            let Some(result) = trial.result(dir)? else { return Ok(None) };
            values.extend(result.evaluation().map(|seen| metric.rank(seen)));
        }
        let mean = mean(&values).unwrap_or(f64::NEG_INFINITY);
        if best.is_none_or(|(so_far, _)| mean > so_far) {
            best = Some((mean, &seeds[0]));
        }
    }
    Ok(best.map(|(_, trial)| trial.variant.clone()))
}
