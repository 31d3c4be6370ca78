//! From the cells of an experiment to trials: settings applied, scaled, matched, checked and costed.

use super::plan::{Experiment, Trial, last, pairs, picks};
use super::space::Search;
use super::spec::{Cost, X};
use super::variant::{self, Assignment, Variant};
use crate::models::Complexity;
use crate::train::RunConfig;
use crate::yaml::{self, set_path};
use crate::{brief, locked, nearest};
use anyhow::{Error, Result};
use rayon::prelude::*;
use serde_json::{Map, Value as Json};
use serde_yaml::Value;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Mutex;

/// No experiment has more variants.
const MOST: usize = 100_000;
/// What decides the shape of a data set's images: its name, its folder, the size that they are brought to.
type Images = (String, Option<PathBuf>, Option<i64>);
/// The shape of what a model sees, and its number of classes.
type Shape = ([i64; 3], i64);

/// What is worked out once for many trials.
pub(super) struct Planner<'a> {
    pub(super) experiment: &'a Experiment,
    shapes: Mutex<HashMap<Images, Shape>>,
    /// By the model's spelling and the data's shape.
    costs: Mutex<HashMap<String, Result<Complexity, String>>>,
    /// The cost that every variant shall have.
    target: Option<(Cost, u64)>,
    ids: HashSet<String>,
}

/// A run whose settings are all decided, and the knobs that were solved for it.
struct Decided {
    config: RunConfig,
    complexity: Complexity,
    solved: Map<String, Json>,
}

impl<'a> Planner<'a> {
    /// # Errors
    /// A base that cannot run, or a `match` that is none.
    pub fn new(experiment: &'a Experiment) -> Result<Self> {
        let spec = &experiment.spec;
        let mut planner = Self {
            experiment,
            shapes: Mutex::default(),
            costs: Mutex::default(),
            target: None,
            ids: HashSet::new(),
        };
        let blame = |error: &Error| experiment.document.blame(&["base"], error);
        spec.base.validate().map_err(|e| blame(&e))?;
        let base = planner.cost(&spec.base).map_err(|e| blame(&e))?;
        if let Some(halving) = &spec.halving {
            let message = "takes `first` of 1 or more epochs, a multiple of `train.eval_every`, and `factor` of 2 or more";
            let evaluated = halving.first.is_multiple_of(spec.base.train.eval_every);
            let possible = halving.first > 0 && halving.factor > 1 && evaluated;
            planner.ensure(possible, &["halving"], message)?;
        }
        planner.target =
            spec.matching.as_ref().map(|matching| planner.target(matching, &base)).transpose()?;
        Ok(planner)
    }

    /// The cells of the experiment; of one with a search, the points of the grid.
    pub fn variants(&self) -> Result<Vec<Variant>> {
        let spec = &self.experiment.spec;
        for (section, axes) in [("axes", &spec.axes), ("zip", &spec.zip)] {
            for (path, values) in &axes.0 {
                self.ensure(!values.0.is_empty(), &[section, path], "an axis without values")?;
            }
        }
        if let Some((first, values)) = spec.zip.0.first() {
            for (path, others) in &spec.zip.0 {
                let message = format!("{} values, and `{first}` has {}", others.0.len(), values.0.len());
                self.ensure(others.0.len() == values.0.len(), &["zip", path], &message)?;
            }
        }
        let size = |axes: &super::Ordered<super::Values>| -> f64 {
            axes.0.iter().map(|(_, values)| values.0.len() as f64).product()
        };
        let named: f64 = spec.variants.0.iter().map(|(_, named)| size(&named.axes)).sum();
        let zipped = spec.zip.0.first().map_or(1.0, |(_, values)| values.0.len() as f64);
        let sampled = spec.sample.as_ref().map_or(1.0, |sample| sample.count as f64);
        let total = named.max(1.0) * size(&spec.axes) * zipped * sampled;
        self.ensure(
            total <= MOST as f64,
            &["axes"],
            &format!("{total} variants; more than {MOST} are too many"),
        )?;
        if let Some(search) = &spec.search {
            return self.grid(search);
        }
        let mut all = variant::of(spec);
        if let Some(sample) = &spec.sample {
            all = variant::times(&all, &self.samples(sample)?);
        }
        if let Some(scale) = spec.scale.as_ref().filter(|scale| !scale.phi.is_empty()) {
            all = variant::times(&all, &variant::ladder(&scale.phi));
        }
        for cell in &all {
            if let Some(Assignment { place, .. }) = cell.repeated() {
                return Err(self.experiment.document.error(place, "the same key in two places"));
            }
        }
        Ok(all)
    }

    /// The axis of the report is one of the columns or solved knobs, and the paper's figures belong to variants.
    pub fn check_report(&self, trials: &[Trial]) -> Result<()> {
        for (wanted, _) in &self.experiment.spec.report.paper.0 {
            let known = trials.iter().any(|trial| picks(&trial.variant, &pairs(wanted)));
            self.ensure(known, &["report", "paper", wanted], "no variant has these settings")?;
        }
        let X::Axis(path) = &self.experiment.spec.report.x else { return Ok(()) };
        let mut known: Vec<&str> = vec!["macs", "params", "activations"];
        for trial in trials {
            for key in trial.variant.keys().chain(trial.solved.keys()) {
                if !known.contains(&key.as_str()) {
                    known.push(key);
                }
            }
        }
        let like = nearest(path, known.iter().copied()).unwrap_or_default();
        let message = format!("`{path}` is neither an axis nor a cost; did you mean `{like}`?");
        self.ensure(known.contains(&path.as_str()), &["report", "x"], &message)
    }

    /// One trial for each seed of every variant; the variants are decided side by side.
    pub fn trials(&mut self, variants: &[Variant]) -> Result<Vec<Trial>> {
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
        let spec = &self.experiment.spec;
        let Decided { config, complexity, solved } = decided;
        let json = |(path, value): &(String, Value)| Ok((path.clone(), serde_json::to_value(value)?));
        let columns: Map<String, Json> = variant.columns.iter().map(json).collect::<Result<_>>()?;
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
                config: RunConfig { seed, ..config.clone() },
            });
        }
        Ok(trials)
    }

    /// Assigns, scales, matches and checks.
    fn decided(&self, variant: &Variant) -> Result<Decided> {
        let spec = &self.experiment.spec;
        let mut value = self.assigned(variant)?;
        let mut solved = self.scaled(variant, &mut value)?;
        if let (Some(matching), Some((cost, target))) = (&spec.matching, self.target) {
            solved.extend(self.matched(variant, &mut value, matching, cost, target)?);
        }
        let checked = yaml::from_value::<RunConfig>(value).and_then(|config| {
            config.validate()?;
            Ok((self.cost(&config)?, config))
        });
        let (complexity, config) = checked.map_err(|e| self.blame(variant, &e))?;
        Ok(Decided { config, complexity, solved })
    }

    /// The base with the variant's settings.
    pub(super) fn assigned(&self, variant: &Variant) -> Result<Value> {
        let base = self.experiment.document.value().get("base").cloned().unwrap_or_default();
        let settings = variant.assignments.iter().filter(|a| !a.path.starts_with("scale."));
        let set = |value: &mut Value, a: &Assignment| {
            set_path(value, &a.path.split('.').collect::<Vec<_>>(), a.value.clone())
        };
        let check = |value: &Value| -> Result<()> {
            yaml::from_value::<RunConfig>(value.clone())?.model.resolve()?;
            Ok(())
        };
        let mut value = base.clone();
        if settings.clone().try_for_each(|a| set(&mut value, a)).and_then(|()| check(&value)).is_ok() {
            return Ok(value);
        }
        // Once more, one by one, for the place of what is wrong.
        value = base;
        for a in settings {
            set(&mut value, a).and_then(|()| check(&value)).map_err(|e| self.misplaced(&a.place, &e))?;
        }
        Ok(value)
    }

    /// An error of one assignment: at its key when that is unknown, else at its value.
    fn misplaced(&self, place: &[String], error: &Error) -> Error {
        let (message, document) = (brief(error), &self.experiment.document);
        let key = place.iter().position(|key| key.contains('.')).map_or(place.len(), |i| i + 1);
        match message.contains("unknown field") {
            true => document.key_error(&place[..key], message),
            false => document.error(place, message),
        }
    }

    /// An error of a whole variant, at the assignment that it names, else at the last.
    pub(super) fn blame(&self, variant: &Variant, error: &Error) -> Error {
        let message = match variant.id().trim_end_matches('_') {
            "" => brief(error),
            id => format!("variant {id}: {}", brief(error)),
        };
        let names = |a: &&Assignment| message.contains(&format!("`{}`", last(&a.path)));
        let place = variant.assignments.iter().rev().find(names).or(variant.assignments.last());
        let base = ["base".to_owned()];
        self.experiment.document.error(place.map_or(&base[..], |a| &a.place), message)
    }

    pub(super) fn ensure(&self, holds: bool, place: &[&str], message: &str) -> Result<()> {
        if holds { Ok(()) } else { Err(self.experiment.document.error(place, message)) }
    }

    /// The points of the grid that keep the constraint.
    fn grid(&self, search: &Search) -> Result<Vec<Variant>> {
        let spec = &self.experiment.spec;
        let alone = spec.axes.0.is_empty() && spec.zip.0.is_empty() && spec.variants.0.is_empty();
        let message = "a search goes without axes, zip, variants, sample, match and halving";
        let alone = alone && spec.sample.is_none() && spec.matching.is_none() && spec.halving.is_none();
        self.ensure(alone, &["search"], message)?;
        let given = spec.scale.as_ref().and_then(|s| s.alpha.or(s.beta).or(s.gamma));
        self.ensure(given.is_none(), &["scale"], "alpha, beta and gamma are what the search finds")?;
        let mut kept = Vec::new();
        let mut nearest: Option<(f64, f64, Variant)> = None;
        for (point, cell) in variant::grid(search) {
            let names = ["alpha", "beta", "gamma"];
            let value = |name: &str| names.iter().zip(point).find(|(n, _)| **n == name).map(|(_, x)| x);
            let reached = search.constraint.evaluate(&value);
            let reached =
                reached.map_err(|e| self.experiment.document.error(&["search", "constraint"], e))?;
            let off = (reached - search.target).abs();
            if off <= search.tolerance + 1e-9 {
                kept.push(cell.clone());
            }
            if nearest.as_ref().is_none_or(|(least, ..)| off < *least) {
                nearest = Some((off, reached, cell));
            }
        }
        let message = nearest.map_or("a grid without points".to_owned(), |(_, reached, cell)| {
            let id = cell.id().trim_end_matches('_').replace('_', ", ");
            format!("no point of the grid comes so near: the nearest is {id} with {reached:.4}")
        });
        self.ensure(!kept.is_empty(), &["search", "tolerance"], &message)?;
        Ok(kept)
    }

    /// What the model of a run sees of its data.
    pub(super) fn shape(&self, config: &RunConfig) -> Result<Shape> {
        let data = &config.data;
        let key = (data.dataset.clone(), data.root.clone(), data.image_size);
        if let Some(shape) = locked(&self.shapes).get(&key) {
            return Ok(*shape);
        }
        let shape = data.shape()?;
        locked(&self.shapes).insert(key, shape);
        Ok(shape)
    }

    /// What a run's model costs on its data.
    pub(super) fn cost(&self, config: &RunConfig) -> Result<Complexity> {
        let (input, classes) = self.shape(config)?;
        let key = format!("{}{input:?}{classes}", yaml::to_string(&config.model)?);
        let known = locked(&self.costs).get(&key).cloned();
        let counted = known.unwrap_or_else(|| {
            let counted = config.complexity(input, classes).map_err(|error| brief(&error));
            locked(&self.costs).insert(key, counted.clone());
            counted
        });
        counted.map_err(Error::msg)
    }
}
