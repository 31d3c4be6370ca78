//! The trials of an experiment, every one checked and costed before anything runs.

use super::matching::solve;
use super::spec::{Cost, Match, Ordered, Spec, Target, X};
use crate::models::Complexity;
use crate::train::RunConfig;
use crate::yaml::{self, Document, Override, set_path};
use crate::{Usage, brief, data, nearest};
use anyhow::{Context, Error, Result, ensure};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use serde_yaml::Value;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// An experiment read from its file.
pub struct Experiment {
    /// The file's name without extension.
    pub name: String,
    pub spec: Spec,
    document: Document,
}

/// What an experiment runs; its JSON form is `plan.json`.
#[derive(Serialize)]
pub struct Plan {
    pub experiment: String,
    /// In the order of the file, the seeds of a variant side by side.
    pub trials: Vec<Trial>,
}

/// One run of the experiment.
#[derive(Clone, Serialize)]
pub struct Trial {
    /// Names the trial's directory.
    pub id: String,
    /// The values of the axes by their key paths, and `variant` for a named one.
    pub variant: Map<String, Json>,
    /// The knob that was solved for equal cost.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub matched: Map<String, Json>,
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

    /// The knob that was solved, for people: `base_width 12`.
    pub fn solved(&self) -> String {
        label(&self.matched)
    }
}

/// Settings by their key paths, for people.
pub(crate) fn label<'a>(settings: impl IntoIterator<Item = (&'a String, &'a Json)>) -> String {
    let words = settings.into_iter().map(|(key, value)| match key.as_str() {
        "variant" => text(value),
        path => format!("{} {}", last(path), text(value)),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The last key of a path.
pub(crate) fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or_default()
}

/// A value in a table or a name: text bare, anything else as JSON.
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
            "model" | "data" | "train" | "seed" | "device" | "threads" => {
                std::iter::once("base").chain(key.split('.')).map(str::to_owned).collect()
            }
            _ => key.split('.').map(str::to_owned).collect(),
        })
    })
}

/// One setting of one key path, and where the file gives it.
#[derive(Clone)]
struct Assignment {
    path: String,
    value: Value,
    place: Vec<String>,
}

/// One cell of the product.
#[derive(Clone, Default)]
struct Variant {
    columns: Vec<(String, Value)>,
    assignments: Vec<Assignment>,
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

    /// All trials; no data is read but for sets whose name does not tell their shape, and no weight is allocated.
    ///
    /// # Errors
    /// [`Usage`], at its place in the file: a setting that cannot be, a model that does not fit the data, a cost that
    /// cannot be matched (with the nearest that can).
    pub fn plan(&self) -> Result<Plan> {
        let mut planner = Planner { experiment: self, shapes: HashMap::new(), costs: HashMap::new() };
        planner.plan()
    }

    /// The product of named variants, axes and zipped axes.
    fn variants(&self) -> Result<Vec<Variant>> {
        let Spec { axes, zip, variants: named, .. } = &self.spec;
        let mut all = vec![Variant::default()];
        let mut times = |choices: Vec<Variant>| {
            all = all.iter().flat_map(|done| choices.iter().map(|choice| done.and(choice))).collect();
        };
        if !named.0.is_empty() {
            times(named.0.iter().map(|(name, settings)| named_variant(name, settings)).collect());
        }
        for (path, values) in &axes.0 {
            let place = ["axes", path];
            self.ensure(!values.is_empty(), &place, "an axis without values")?;
            times((0..values.len()).map(|i| Variant::of("axes", [(path, values)], i)).collect());
        }
        if let Some((first, values)) = zip.0.first() {
            for (path, others) in &zip.0 {
                self.ensure(!others.is_empty(), &["zip", path], "an axis without values")?;
                let message = format!("{} values, and `{first}` has {}", others.len(), values.len());
                self.ensure(others.len() == values.len(), &["zip", path], &message)?;
            }
            let lists = || zip.0.iter().map(|(path, values)| (path, values));
            times((0..values.len()).map(|i| Variant::of("zip", lists(), i)).collect());
        }
        let mut seen = HashSet::new();
        for column in all.first().iter().flat_map(|variant| &variant.columns) {
            self.ensure(seen.insert(&column.0), &["zip", &column.0], "the same key in two places")?;
        }
        Ok(all)
    }

    fn ensure(&self, holds: bool, place: &[&str], message: &str) -> Result<()> {
        if holds { Ok(()) } else { Err(self.document.error(place, message)) }
    }

    fn check_report(&self) -> Result<()> {
        let X::Axis(path) = &self.spec.report.x else { return Ok(()) };
        let axes = self.spec.axes.0.iter().chain(&self.spec.zip.0).map(|(path, _)| path.as_str());
        let known: Vec<&str> = axes.chain(["macs", "params", "activations"]).collect();
        let like = nearest(path, known.iter().copied()).unwrap_or_default();
        let message = format!("`{path}` is neither an axis nor a cost; did you mean `{like}`?");
        self.ensure(known.contains(&path.as_str()), &["report", "x"], &message)
    }
}

fn named_variant(name: &str, settings: &Ordered<Value>) -> Variant {
    let assignments = settings.0.iter().map(|(path, value)| Assignment {
        path: path.clone(),
        value: value.clone(),
        place: ["variants", name, path].map(str::to_owned).into(),
    });
    Variant { columns: vec![("variant".into(), name.into())], assignments: assignments.collect() }
}

impl Variant {
    /// The values at `index` of lists that go together.
    fn of<'a>(
        section: &str,
        lists: impl IntoIterator<Item = (&'a String, &'a Vec<Value>)>,
        index: usize,
    ) -> Self {
        let mut variant = Self::default();
        for (path, values) in lists {
            let value = values[index].clone();
            variant.columns.push((path.clone(), value.clone()));
            let place = vec![section.to_owned(), path.clone(), index.to_string()];
            variant.assignments.push(Assignment { path: path.clone(), value, place });
        }
        variant
    }

    fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.columns.extend(other.columns.iter().cloned());
        both.assignments.extend(other.assignments.iter().cloned());
        both
    }

    /// `cardinality=4_base_width=12`, fit for a file name.
    fn id(&self) -> String {
        let short = |path: &str| {
            let same = self.columns.iter().filter(|(other, _)| last(other) == last(path)).count();
            if same > 1 { path.to_owned() } else { last(path).to_owned() }
        };
        let parts = self.columns.iter().map(|(path, value)| {
            let value = text(&serde_json::to_value(value).unwrap_or_default());
            if path == "variant" { value } else { format!("{}={value}", short(path)) }
        });
        let plain = |c: char| if c.is_ascii_alphanumeric() || ".+-=_".contains(c) { c } else { '-' };
        parts.map(|part| part.chars().map(plain).take(60).collect::<String>() + "_").collect()
    }
}

/// The shape of a data set's images, and its number of classes.
type Shape = ([i64; 3], i64);

/// What is worked out once for many trials.
struct Planner<'a> {
    experiment: &'a Experiment,
    shapes: HashMap<(String, Option<PathBuf>), Shape>,
    /// By the model's spelling and the data's shape.
    costs: HashMap<String, Result<Complexity, String>>,
}

impl Planner<'_> {
    fn plan(&mut self) -> Result<Plan> {
        let Experiment { name, spec, document } = self.experiment;
        self.experiment.check_report()?;
        let blame = |error: &Error| document.blame(&["base"], error);
        spec.base.validate().map_err(|e| blame(&e))?;
        let base = self.cost(&spec.base).map_err(|e| blame(&e))?;
        let target = spec.matching.as_ref().map(|matching| self.target(matching, &base)).transpose()?;
        let mut trials = Vec::new();
        let mut ids = HashSet::new();
        for variant in self.experiment.variants()? {
            let mut value = self.assigned(&variant)?;
            let mut matched = Map::new();
            if let (Some(matching), Some((cost, target))) = (&spec.matching, target) {
                let solved = self.matched(&variant, &mut value, matching, cost, target)?;
                matched.insert(matching.by.clone(), solved);
            }
            let checked = yaml::from_value::<RunConfig>(value).and_then(|config| {
                config.validate()?;
                Ok((self.cost(&config)?, config))
            });
            let (complexity, config) = checked.map_err(|e| self.blame(&variant, &e))?;
            let json = |(path, value): &(String, Value)| Ok((path.clone(), serde_json::to_value(value)?));
            let columns: Map<String, Json> = variant.columns.iter().map(json).collect::<Result<_>>()?;
            let stem = variant.id();
            for seed in spec.seeds.from(spec.base.seed) {
                let mut id = format!("{stem}seed={seed}");
                for n in 2.. {
                    if ids.insert(id.clone()) {
                        break;
                    }
                    id = format!("{stem}{n}_seed={seed}");
                }
                trials.push(Trial {
                    id,
                    variant: columns.clone(),
                    matched: matched.clone(),
                    seed,
                    model: config.model.name.clone(),
                    params: complexity.params,
                    macs: complexity.macs,
                    activations: complexity.activations,
                    config: RunConfig { seed, ..config.clone() },
                });
            }
        }
        Ok(Plan { experiment: name.clone(), trials })
    }

    /// The base with the variant's settings, each checked as it is made.
    fn assigned(&self, variant: &Variant) -> Result<Value> {
        let document = &self.experiment.document;
        let mut value = document.value().get("base").cloned().unwrap_or_default();
        for Assignment { path, value: new, place } in &variant.assignments {
            let keys: Vec<&str> = path.split('.').collect();
            let set = set_path(&mut value, &keys, new.clone());
            let checked = set.and_then(|()| yaml::from_value::<RunConfig>(value.clone()));
            let config = checked.map_err(|error| self.misplaced(place, &error))?;
            config.model.resolve().map_err(|error| self.misplaced(place, &error))?;
        }
        Ok(value)
    }

    /// An error of one assignment: at its key when that is unknown, else at its value.
    fn misplaced(&self, place: &[String], error: &Error) -> Error {
        let message = brief(error);
        match message.contains("unknown field") {
            true => self.experiment.document.key_error(&place[..2], message),
            false => self.experiment.document.error(place, message),
        }
    }

    /// An error of a whole variant, at the assignment that it names, else at the last.
    fn blame(&self, variant: &Variant, error: &Error) -> Error {
        let message = match variant.id().trim_end_matches('_') {
            "" => brief(error),
            id => format!("variant {id}: {}", brief(error)),
        };
        let names = |a: &&Assignment| message.contains(&format!("`{}`", last(&a.path)));
        let place = variant.assignments.iter().rev().find(names).or(variant.assignments.last());
        let base = ["base".to_owned()];
        self.experiment.document.error(place.map_or(&base[..], |a| &a.place), message)
    }

    /// The cost that every variant shall have.
    fn target(&self, matching: &Match, base: &Complexity) -> Result<(Cost, u64)> {
        let Match { by, tolerance, .. } = matching;
        let ensure = |holds, key, message: &str| self.experiment.ensure(holds, &["match", key], message);
        ensure(*tolerance > 0.0 && *tolerance < 1.0, "tolerance", "must lie between 0 and 1")?;
        let model = by.strip_prefix("model.").unwrap_or_default();
        let number = "a knob is the key path of a number of the model, such as `model.base_width`";
        ensure(!model.is_empty(), "by", number)?;
        let fields = self.experiment.spec.base.model.resolve()?.fields()?;
        let known: Vec<&str> =
            fields.iter().filter(|(_, v)| v.is_number()).filter_map(|(k, _)| k.as_str()).collect();
        let like = nearest(model, known.iter().copied()).unwrap_or_default();
        ensure(known.contains(&model), "by", &format!("{number}; did you mean `model.{like}`?"))?;
        let varies = |variant: &Variant| variant.assignments.iter().any(|a| a.path == *by);
        let free = !self.experiment.variants()?.iter().any(varies);
        ensure(free, "by", "the knob is an axis too; one of the two must go")?;
        let given = matching.target();
        ensure(given.is_some(), "by", "`match` takes exactly one of `macs`, `params` and `activations`")?;
        let (cost, target) = given.context("match")?;
        Ok((cost, if let Target::Number(n) = target { n } else { cost.of(base) }))
    }

    /// Solves the knob in `value` and returns its setting.
    fn matched(
        &mut self,
        variant: &Variant,
        value: &mut Value,
        matching: &Match,
        cost: Cost,
        target: u64,
    ) -> Result<Json> {
        let keys: Vec<&str> = matching.by.split('.').collect();
        let fields = yaml::from_value::<RunConfig>(value.clone())?.model.resolve()?.fields()?;
        let start = fields.get(last(&matching.by)).cloned().unwrap_or_default();
        let mut trial = value.clone();
        let solved = solve(&start, target, |setting| {
            set_path(&mut trial, &keys, setting.clone()).ok()?;
            let config = yaml::from_value::<RunConfig>(trial.clone()).ok()?;
            Some(cost.of(&self.cost(&config).ok()?))
        });
        let at = |message: String| {
            let error = anyhow::anyhow!(message);
            self.blame(variant, &error)
        };
        let by = &matching.by;
        let Some(solved) = solved else {
            return Err(at(format!("no setting of `{by}` makes a model")));
        };
        let distance = solved.distance(target);
        if distance > matching.tolerance {
            let setting = text(&serde_json::to_value(&solved.value)?);
            return Err(at(format!(
                "{} cannot be matched to {target} by `{by}`: the nearest is {} at {setting}, {:.1} % away, and the \
                 tolerance is {:.1} %",
                cost.name(),
                solved.cost,
                100.0 * distance,
                100.0 * matching.tolerance
            )));
        }
        set_path(value, &keys, solved.value.clone())?;
        Ok(serde_json::to_value(&solved.value)?)
    }

    /// What a run's model costs on its data.
    fn cost(&mut self, config: &RunConfig) -> Result<Complexity> {
        let data = (config.data.dataset.clone(), config.data.root.clone());
        let shape = match self.shapes.get(&data) {
            Some(shape) => *shape,
            None => {
                let root = config.data.root.clone().unwrap_or_else(data::root);
                let shape = data::shape(&config.data.dataset, &root)?;
                self.shapes.insert(data, shape);
                shape
            }
        };
        let key = format!("{}{shape:?}", yaml::to_string(&config.model)?);
        let counted = self.costs.entry(key).or_insert_with(|| {
            let (input, classes) = shape;
            config.complexity(input, classes).map_err(|error| brief(&error))
        });
        counted.clone().map_err(Error::msg)
    }
}

impl Plan {
    /// The columns that tell the variants apart, in the order of the file.
    pub fn columns(&self) -> Vec<&str> {
        self.trials.first().map_or(Vec::new(), |trial| trial.variant.keys().map(String::as_str).collect())
    }

    /// The trials that any of `wanted` picks: an ID, or `key=value` pairs with commas between, where the key is an axis
    /// (in full or its last part), `variant` or `seed`. All of them when nothing is wanted.
    ///
    /// # Errors
    /// [`Usage`] where one picks nothing.
    pub fn only(&self, wanted: &[String]) -> Result<Vec<&Trial>> {
        let has = |trial: &Trial, pair: &str| {
            let Some((key, value)) = pair.split_once('=') else { return false };
            let named =
                |(path, has): (&String, &Json)| (path == key || last(path) == key) && text(has) == value;
            trial.variant.iter().any(named) || (key == "seed" && trial.seed.to_string() == value)
        };
        let picks = |trial: &Trial, wanted: &str| {
            trial.id == wanted || wanted.split(',').all(|pair| has(trial, pair.trim()))
        };
        for wanted in wanted {
            let ids: Vec<&str> = self.trials.iter().map(|trial| trial.id.as_str()).collect();
            let like = nearest(wanted, ids.iter().copied()).unwrap_or_default();
            ensure!(
                self.trials.iter().any(|trial| picks(trial, wanted)),
                Usage(format!("--only {wanted}: no such trial; write an ID such as `{like}`, or KEY=VALUE"))
            );
        }
        let kept = |trial: &&Trial| wanted.is_empty() || wanted.iter().any(|wanted| picks(trial, wanted));
        Ok(self.trials.iter().filter(kept).collect())
    }
}
