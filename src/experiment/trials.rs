//! From variants to trials: settings applied, scaled, matched, checked and costed.

use super::concerns;
use super::costs::Costs;
use super::metric::Cost;
use super::planner::Planner;
use super::setting::{Settings, pairs, picks};
use super::source::Experiment;
use super::space::{Ordered, Search, Values, is_within, spreads};
use super::spec::{Spec, X};
use super::trial::Trial;
use super::variant::{self, Assignment, Variant};
use crate::Invalid;
use crate::models::Complexity;
use crate::names::did_you_mean;
use crate::train::RunConfig;
use crate::yaml;
use anyhow::Result;
use rayon::prelude::*;
use serde_yaml::Value;
use std::collections::HashSet;

/// No experiment has more variants.
const MAX_VARIANTS: usize = 100_000;

/// Makes the trials of an experiment.
pub(super) struct Trials<'a> {
    planner: Planner<'a>,
    base: Complexity,
    /// The cost that every variant shall have.
    target: Option<(Cost, u64)>,
    /// Those given so far.
    ids: HashSet<String>,
}

/// A run whose settings are all decided, and the knobs that were solved for it.
struct Decided {
    config: RunConfig,
    complexity: Complexity,
    solved: Settings,
}

impl<'a> Trials<'a> {
    /// # Errors
    /// A base that cannot run, or a `match` or `halving` that is impossible.
    pub fn new(experiment: &'a Experiment) -> Result<Self> {
        let planner = Planner { experiment, costs: Costs::default() };
        let spec = &experiment.spec;
        let check = |base: &RunConfig| base.validate().and_then(|()| planner.costs.check(base));
        let base = check(&spec.base).map_err(|error| {
            if spec.protocol.is_some() && Invalid::of(&error).keys == ["protocol"] {
                return experiment.document.locate(&[], &error);
            }
            let again = |value: &Value| check(&yaml::from_value::<Spec>(value)?.base).map(drop);
            experiment.document.blame(&["base"], &error, again)
        })?;
        if let Some(halving) = &spec.halving {
            let message = "takes `first` of 1 or more epochs, a multiple of `train.eval_every`, and `factor` of 2 or more";
            let evaluated = halving.first.is_multiple_of(spec.base.train.eval_every);
            let possible = halving.first > 0 && halving.factor > 1 && evaluated;
            planner.ensure(possible, &["halving"], message)?;
        }
        let target = spec.matching.as_ref().map(|matching| planner.target(matching, &base)).transpose()?;
        Ok(Self { planner, base, target, ids: HashSet::new() })
    }

    /// The cells of the experiment; of one with a search, the points of the grid.
    pub fn variants(&self) -> Result<Vec<Variant>> {
        let spec = &self.planner.experiment.spec;
        for (section, axes) in [("axes", &spec.axes), ("zip", &spec.zip)] {
            for (path, values) in &axes.0 {
                self.planner.ensure(
                    !values.0.is_empty(),
                    &[section, path],
                    "an axis without values; write a list such as [1, 2]",
                )?;
            }
        }
        let own = spec.variants.0.iter().map(|(name, named)| (vec!["variants", name, "axes"], &named.axes));
        for (section, axes) in own.chain([(vec!["axes"], &spec.axes)]) {
            for (path, Values(values)) in &axes.0 {
                let is_again = |&i: &usize| values[..i].iter().any(|value| is_same(value, &values[i]));
                let Some(i) = (1..values.len()).find(is_again) else { continue };
                let message = format!("`{}` is there twice; remove one", yaml::flow(&values[i]));
                let index = i.to_string();
                let place = [section.as_slice(), &[path.as_str(), &index]].concat();
                self.planner.ensure(false, &place, &message)?;
            }
        }
        if let Some((first, values)) = spec.zip.0.first() {
            for (path, others) in &spec.zip.0 {
                let message = format!("{} values, and `{first}` has {}", others.0.len(), values.0.len());
                self.planner.ensure(others.0.len() == values.0.len(), &["zip", path], &message)?;
            }
        }
        let size = |axes: &Ordered<Values>| -> f64 {
            axes.0.iter().map(|(_, values)| values.0.len() as f64).product()
        };
        let named: f64 = spec.variants.0.iter().map(|(_, named)| size(&named.axes)).sum();
        let zipped = spec.zip.0.first().map_or(1.0, |(_, values)| values.0.len() as f64);
        let sampled = spec.sample.as_ref().map_or(1.0, |sample| sample.count as f64);
        let total = named.max(1.0) * size(&spec.axes) * zipped * sampled;
        self.planner.ensure(
            total <= MAX_VARIANTS as f64,
            &["axes"],
            &format!("{total} variants; more than {MAX_VARIANTS} are too many"),
        )?;
        if let Some(search) = &spec.search {
            return self.grid(search);
        }
        let mut all = variant::of(spec);
        if let Some(sample) = &spec.sample {
            all = variant::times(&all, &self.planner.samples(sample, &self.base)?);
        }
        if let Some(scale) = spec.scale.as_ref().filter(|scale| !scale.phi.is_empty()) {
            all = variant::times(&all, &variant::ladder(&scale.phi));
        }
        for cell in &all {
            if let Some(Assignment { place, .. }) = cell.repeated() {
                return Err(self.planner.experiment.document.error(place, "the same key in two places"));
            }
        }
        Ok(all)
    }

    /// The axis of the report is one of the columns or solved knobs, and the paper's figures belong to variants.
    pub fn check_report(&self, trials: &[Trial]) -> Result<()> {
        for (wanted, _) in &self.planner.experiment.spec.report.paper.0 {
            let known = trials.iter().any(|trial| picks(&trial.variant, &pairs(wanted)));
            self.planner.ensure(known, &["report", "paper", wanted], "no variant has these settings")?;
        }
        let X::Axis(path) = &self.planner.experiment.spec.report.x else { return Ok(()) };
        let mut known: Vec<&str> = vec!["macs", "params", "activations", "latency"];
        for trial in trials {
            for key in trial.variant.keys().chain(trial.solved.keys()) {
                if !known.contains(&key.as_str()) {
                    known.push(key);
                }
            }
        }
        let meant = did_you_mean(path, known.iter().copied(), &format!("there are {}", known.join(", ")));
        let message = format!("`{path}` is neither an axis nor a cost; {meant}");
        self.planner.ensure(known.contains(&path.as_str()), &["report", "x"], &message)
    }

    /// What is to be said of the plan.
    pub fn concerns(&self, trials: &[Trial]) -> Result<Vec<String>> {
        let signatures = trials.iter().map(|trial| self.planner.signature(&trial.config));
        let signatures: Vec<String> = signatures.collect::<Result<_>>()?;
        Ok(concerns::of_plan(&self.planner.experiment.spec, trials, &signatures, self.target))
    }

    /// One trial for each seed of every variant; the variants are decided side by side.
    pub fn of(&mut self, variants: &[Variant]) -> Result<Vec<Trial>> {
        let decided: Vec<Result<Decided>> =
            variants.par_iter().map(|variant| self.decided(variant)).collect();
        let mut trials = Vec::new();
        for (variant, decided) in variants.iter().zip(decided) {
            trials.extend(self.seeds(variant, decided?)?);
        }
        Ok(trials)
    }

    /// One trial for each seed of a variant.
    fn seeds(&mut self, variant: &Variant, decided: Decided) -> Result<Vec<Trial>> {
        let spec = &self.planner.experiment.spec;
        let Decided { config, complexity, solved } = decided;
        let json = |(path, value): &(String, Value)| Ok((path.clone(), serde_json::to_value(value)?));
        let columns: Settings = variant.columns.iter().map(json).collect::<Result<_>>()?;
        let stem = variant.id();
        let mut trials = Vec::new();
        for seed in spec.seeds.from(spec.base.seed) {
            let mut id = format!("{stem}seed={seed}");
            for n in 2.. {
                if self.ids.insert(id.clone()) {
                    break;
                }
                id = format!("{stem}{n}_seed={seed}");
            }
            trials.push(Trial {
                id,
                variant: columns.clone(),
                solved: solved.clone(),
                seed,
                model: config.model.name.clone(),
                params: complexity.params,
                macs: complexity.macs,
                activations: complexity.activations,
                after: None,
                classes: self.planner.costs.shape(&config)?.1,
                config: RunConfig { seed, ..config.clone() },
            });
        }
        Ok(trials)
    }

    /// Assigns, scales, matches and checks.
    fn decided(&self, variant: &Variant) -> Result<Decided> {
        let spec = &self.planner.experiment.spec;
        let mut value = self.planner.assigned(variant)?;
        let mut solved = self.planner.scaled(variant, &mut value)?;
        if let (Some(matching), Some((cost, target))) = (&spec.matching, self.target) {
            solved.extend(self.planner.matched(variant, &mut value, matching, cost, target)?);
        }
        let checked = yaml::from_value::<RunConfig>(&value).and_then(|config| {
            config.validate()?;
            Ok((self.planner.costs.check(&config)?, config))
        });
        let (complexity, config) = checked.map_err(|e| self.planner.blame(variant, &e))?;
        Ok(Decided { config, complexity, solved })
    }

    /// The points of the grid that keep the constraint.
    fn grid(&self, search: &Search) -> Result<Vec<Variant>> {
        let spec = &self.planner.experiment.spec;
        let alone = spec.axes.0.is_empty() && spec.zip.0.is_empty() && spec.variants.0.is_empty();
        let message = "a search goes without axes, zip, variants, sample, match and halving";
        let alone = alone && spec.sample.is_none() && spec.matching.is_none() && spec.halving.is_none();
        self.planner.ensure(alone, &["search"], message)?;
        let given = spec.scale.as_ref().and_then(|s| s.alpha.or(s.beta).or(s.gamma));
        self.planner.ensure(
            given.is_none(),
            &["scale"],
            "alpha, beta and gamma are what the search finds",
        )?;
        let mut kept = Vec::new();
        let mut nearest: Option<(f64, f64, Variant)> = None;
        for (point, cell) in variant::grid(search) {
            let names = ["alpha", "beta", "gamma"];
            let value = |name: &str| names.iter().zip(point).find(|(n, _)| **n == name).map(|(_, x)| x);
            let reached = search.constraint.evaluate(&value);
            let reached =
                reached.map_err(|e| self.planner.experiment.document.error(&["search", "constraint"], e))?;
            let off = (reached - search.target).abs();
            if off <= search.tolerance + 1e-9 {
                kept.push(cell.clone());
            }
            if nearest.as_ref().is_none_or(|(least, ..)| off < *least) {
                nearest = Some((off, reached, cell));
            }
        }
        if !kept.is_empty() {
            return self.affordable(search, kept);
        }
        let message = nearest.map_or("a grid without points".to_owned(), |(_, reached, cell)| {
            let id = cell.id().trim_end_matches('_').replace('_', ", ");
            format!("no point of the grid comes so near: the nearest is {id} with {reached:.4}")
        });
        Err(self.planner.experiment.document.error(&["search", "tolerance"], message))
    }

    /// The points whose measured costs are within the bounds: channels and sizes are whole numbers, so that a point costs
    /// something else than the constraint says.
    fn affordable(&self, search: &Search, points: Vec<Variant>) -> Result<Vec<Variant>> {
        let bounds = search.within.bounds(&self.base);
        if bounds.is_empty() {
            return Ok(points);
        }
        let costs: Vec<Result<Complexity>> =
            points.par_iter().map(|point| Ok(self.decided(point)?.complexity)).collect();
        let costs = costs.into_iter().collect::<Result<Vec<_>>>()?;
        let kept = points.iter().zip(&costs).filter(|(_, costs)| is_within(&bounds, costs));
        let kept: Vec<Variant> = kept.map(|(point, _)| point.clone()).collect();
        let reached = spreads(&bounds, &costs).join("; ");
        let message = format!("no point of the grid costs so: they have {reached}");
        self.planner.ensure(!kept.is_empty(), &["search", "within"], &message)?;
        Ok(kept)
    }
}

/// Whether two values of an axis are one: numbers by what they are, however they are spelled.
fn is_same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().is_some_and(|a| b.as_f64() == Some(a))
}
