//! The cells of an experiment: which settings go together.

use super::setting::{last, words};
use super::space::{Named, Ordered, Search, Values, number};
use super::spec::Spec;
use serde_yaml::Value;

/// One setting of one key path, and where the file gives it.
#[derive(Clone, Debug)]
pub(super) struct Assignment {
    pub path: String,
    pub value: Value,
    pub place: Vec<String>,
}

/// Settings that a trial has beyond the base.
#[derive(Clone, Debug, Default)]
pub(super) struct Variant {
    pub columns: Vec<(String, Value)>,
    pub assignments: Vec<Assignment>,
}

impl Variant {
    /// With another setting that is a column of its own.
    pub fn set(mut self, path: &str, value: Value, place: &[&str]) -> Self {
        self.columns.push((path.to_owned(), value.clone()));
        let place = place.iter().copied().map(str::to_owned).collect();
        self.assignments.push(Assignment { path: path.to_owned(), value, place });
        self
    }

    fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.columns.extend(other.columns.iter().cloned());
        both.assignments.extend(other.assignments.iter().cloned());
        both
    }

    /// Its name in `variants`.
    pub fn name(&self) -> Option<&str> {
        self.columns.iter().find(|(path, _)| path == "variant")?.1.as_str()
    }

    /// A column that is there twice.
    pub fn repeated(&self) -> Option<&Assignment> {
        let same = |path: &str| self.columns.iter().filter(|(other, _)| other == path).count() > 1;
        self.assignments.iter().rev().find(|assignment| same(&assignment.path))
    }

    /// `cardinality=4_base_width=12_`, fit for a file name.
    pub fn id(&self) -> String {
        let short = |path: &str| {
            let same = self.columns.iter().filter(|(other, _)| last(other) == last(path)).count();
            if same > 1 { path.to_owned() } else { last(path).to_owned() }
        };
        let parts = self.columns.iter().map(|(path, value)| {
            let value = words(&serde_json::to_value(value).unwrap_or_default());
            if path == "variant" { value } else { format!("{}={value}", short(path)) }
        });
        let plain = |c: char| if c.is_ascii_alphanumeric() || ".+-=_".contains(c) { c } else { '-' };
        parts.map(|part| part.chars().map(plain).take(60).collect::<String>() + "_").collect()
    }
}

/// Every one of `all` with every one of `choices`.
pub(super) fn times(all: &[Variant], choices: &[Variant]) -> Vec<Variant> {
    all.iter().flat_map(|done| choices.iter().map(|choice| done.and(choice))).collect()
}

/// The product of axes, which stand in the file at `place`.
fn product(axes: &Ordered<Values>, place: &[&str]) -> Vec<Variant> {
    axes.0.iter().fold(vec![Variant::default()], |all, (path, Values(values))| {
        let choice = |(i, value): (usize, &Value)| {
            let index = i.to_string();
            let place: Vec<&str> = place.iter().copied().chain([path.as_str(), &index]).collect();
            Variant::default().set(path, value.clone(), &place)
        };
        times(&all, &values.iter().enumerate().map(choice).collect::<Vec<_>>())
    })
}

/// Named settings, each with the product of its own axes.
pub(super) fn named((name, Named { settings, axes }): &(String, Named)) -> Vec<Variant> {
    let assignment = |(path, value): &(String, Value)| Assignment {
        path: path.clone(),
        value: value.clone(),
        place: ["variants", name, path].map(str::to_owned).into(),
    };
    let variant = Variant {
        columns: vec![("variant".into(), name.as_str().into())],
        assignments: settings.0.iter().map(assignment).collect(),
    };
    times(&[variant], &product(axes, &["variants", name, "axes"]))
}

/// The values at each index of lists that go together.
fn zipped(zip: &Ordered<Values>) -> Vec<Variant> {
    let length = zip.0.first().map_or(0, |(_, Values(values))| values.len());
    let at = |i: usize| {
        zip.0.iter().fold(Variant::default(), |variant, (path, Values(values))| {
            variant.set(path, values[i].clone(), &["zip", path, &i.to_string()])
        })
    };
    (0..length).map(at).collect()
}

/// The product of named variants, axes and zipped axes.
pub(super) fn of(spec: &Spec) -> Vec<Variant> {
    let mut all = vec![Variant::default()];
    if !spec.variants.0.is_empty() {
        all = times(&all, &spec.variants.0.iter().flat_map(named).collect::<Vec<_>>());
    }
    all = times(&all, &product(&spec.axes, &["axes"]));
    if !spec.zip.0.is_empty() {
        all = times(&all, &zipped(&spec.zip));
    }
    all
}

/// The rungs of `scale.phi`.
pub(super) fn ladder(phi: &[f64]) -> Vec<Variant> {
    let rung = |(i, &phi): (usize, &f64)| {
        Variant::default().set("scale.phi", short(phi), &["scale", "phi", &i.to_string()])
    };
    phi.iter().enumerate().map(rung).collect()
}

/// Every point of the grid at φ = 1, with α, β and γ.
pub(super) fn grid(search: &Search) -> Vec<([f64; 3], Variant)> {
    let mut all = Vec::new();
    for &alpha in &search.alpha {
        for &beta in &search.beta {
            for &gamma in &search.gamma {
                all.push(([alpha, beta, gamma], at_point(1.0, [alpha, beta, gamma])));
            }
        }
    }
    all
}

/// φ with the α, β and γ of a point of the search.
pub(super) fn at_point(phi: f64, [alpha, beta, gamma]: [f64; 3]) -> Variant {
    let coefficients = [("alpha", alpha), ("beta", beta), ("gamma", gamma)];
    let start = Variant::default().set("scale.phi", short(phi), &["scale", "phi"]);
    coefficients.into_iter().fold(start, |variant, (name, value)| {
        variant.set(&format!("scale.{name}"), short(value), &["search", name])
    })
}

/// A number as people write it: 1, not 1.0.
fn short(x: f64) -> Value {
    number(x, x.fract() == 0.0)
}
