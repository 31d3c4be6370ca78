//! Variants of equal cost: one knob of the model is solved for it.

use super::metric::Cost;
use super::planner::{Planner, renamed};
use super::setting::{Settings, text};
use super::spec::{Knobs, Match};
use super::variant::{self, Variant};
use crate::models::Complexity;
use crate::names::did_you_mean;
use crate::train::RunConfig;
use crate::yaml::{self, set_path};
use anyhow::{Context, Result, ensure};
use serde_yaml::Value;

/// The setting of a knob that comes nearest to the target.
#[derive(Clone, Debug, PartialEq)]
struct Solution {
    value: Value,
    cost: u64,
}

impl Solution {
    /// The relative difference from `target`.
    fn distance(&self, target: u64) -> f64 {
        (self.cost as f64 - target as f64).abs() / target as f64
    }
}

/// The knob of compound scaling.
const PHI: &str = "scale.phi";
/// The largest value that a knob is tried at.
const MAX_KNOB: f64 = (1u64 << 24) as f64;
/// How close a fractional knob is solved before it is rounded.
const RESOLUTION: f64 = 1e-7;

/// Finds the knob at which `cost` is nearest to `target`, from a start of the knob's own type (an integer stays one).
///
/// The cost is taken to rise or fall with the knob throughout; `None` from `cost` is a setting that makes no model,
/// and its neighbours are tried. `None` is returned when no setting makes a model, or `start` is no number.
fn solve(start: &Value, target: u64, mut cost: impl FnMut(&Value) -> Option<u64>) -> Option<Solution> {
    let integer = start.is_i64() || start.is_u64();
    let start = start.as_f64()?.clamp(if integer { 1.0 } else { RESOLUTION }, MAX_KNOB);
    let value = |x: f64| if integer { Value::from(x as i64) } else { Value::from(x) };
    let mut best: Option<Solution> = None;
    let mut at = |x: f64| {
        let value = value(x);
        let cost = cost(&value)?;
        let solution = Solution { value, cost };
        if best.as_ref().is_none_or(|best| solution.distance(target) < best.distance(target)) {
            best = Some(solution);
        }
        Some(cost)
    };
    // The nearest setting upwards that makes a model.
    let step = |x: f64| if integer { x + 1.0 } else { x * 1.01 };
    let mut near = |x: f64| {
        let candidates = std::iter::successors(Some(x), |&x| Some(step(x))).take(64);
        candidates.take_while(|&x| x <= MAX_KNOB).find_map(|x| Some((x, at(x)?)))
    };
    let first = near(start)?;
    let up = near(step(first.0));
    let rises = up.is_none_or(|(_, cost)| cost >= first.1);
    let over = |cost: u64| (cost > target) == rises;
    // A setting on each side of the target, where there is one.
    let (mut low, mut high) = (first.0, first.0);
    while let Some((x, cost)) = near(high) {
        high = x;
        if over(cost) || cost == target {
            break;
        }
        high *= 2.0;
    }
    let smallest = if integer { 1.0 } else { RESOLUTION };
    while low > smallest {
        match near(low) {
            Some((_, cost)) if !over(cost) => break,
            _ => low = if integer { (low / 2.0).floor() } else { low / 2.0 }.max(smallest),
        }
    }
    let close = |low: f64, high: f64| {
        if integer { high - low <= 1.0 } else { high - low <= RESOLUTION * high }
    };
    high = high.min(MAX_KNOB);
    while !close(low, high) {
        let middle = (low + high) / 2.0;
        let middle = if integer { middle.floor() } else { middle };
        match near(middle) {
            Some((x, cost)) if !over(cost) && x < high => low = x,
            _ => high = middle,
        }
    }
    let _ = (near(low), near(high));
    let best = best?;
    if integer {
        return Some(best);
    }
    // The shortest number that costs as little more as makes no difference.
    let x = best.value.as_f64()?;
    let rounded = (2..7).find_map(|digits| {
        let scale = 10f64.powi(digits - 1 - x.log10().floor() as i32);
        let value = Value::from((x * scale).round() / scale);
        let solution = Solution { cost: cost(&value)?, value };
        (solution.distance(target) <= best.distance(target) + 1e-3).then_some(solution)
    });
    Some(rounded.unwrap_or(best))
}

impl Planner<'_> {
    /// The cost that variants shall have.
    pub(super) fn target(&self, matching: &Match, base: &Complexity) -> Result<(Cost, u64)> {
        let Match { by, tolerance, .. } = matching;
        let message = "must lie between 0 and 1";
        self.ensure(*tolerance > 0.0 && *tolerance < 1.0, &["match", "tolerance"], message)?;
        let variants = variant::of(&self.experiment.spec);
        match by {
            Knobs::One(path) => self.check_knob(path, &variants, &["match", "by"])?,
            Knobs::Named(knobs) => {
                for (name, path) in &knobs.0 {
                    let of_name = |variant: &&Variant| variant.name() == Some(name);
                    let named: Vec<Variant> = variants.iter().filter(of_name).cloned().collect();
                    if named.is_empty() {
                        let all: Vec<&str> =
                            self.experiment.spec.variants.0.iter().map(|(n, _)| n.as_str()).collect();
                        let otherwise = match all.as_slice() {
                            [] => "`variants` names none".to_owned(),
                            all => format!("`variants` has {}", all.join(", ")),
                        };
                        let meant = did_you_mean(name, all.iter().copied(), &otherwise);
                        let message = format!("no variant is called `{name}`; {meant}");
                        return Err(self.experiment.document.key_error(&["match", "by", name], message));
                    }
                    self.check_knob(path, &named, &["match", "by", name])?;
                }
            }
        }
        let given = matching.target();
        let message = "`match` takes exactly one of `macs`, `params` and `activations`";
        self.ensure(given.is_some(), &["match", "by"], message)?;
        let (cost, target) = given.context("match")?;
        Ok((cost, target.of(cost.of(base))))
    }

    /// Whether `path` is a number that can be solved for `variants`, none of which sets it.
    fn check_knob(&self, path: &str, variants: &[Variant], place: &[&str]) -> Result<()> {
        let spec = &self.experiment.spec;
        // A variant may have another model than the base.
        let model = match variants.first() {
            Some(variant) => yaml::from_value::<RunConfig>(&self.assigned(variant)?)?.model.resolve()?,
            None => spec.base.model.resolve()?,
        };
        let fields = model.fields()?;
        let numbers = fields.iter().filter(|(_, v)| v.is_number()).filter_map(|(k, _)| k.as_str());
        let others = ["data.image_size", PHI].into_iter().take(if spec.scale.is_some() { 2 } else { 1 });
        let known: Vec<String> =
            numbers.map(|key| format!("model.{key}")).chain(others.map(str::to_owned)).collect();
        let meant = did_you_mean(path, known.iter().map(String::as_str), "such as `model.base_width`");
        let number = format!("`{path}` is no knob (the key path of a number of the model); {meant}");
        let message = renamed(&model, path).unwrap_or(number);
        self.ensure(known.iter().any(|known| known == path), place, &message)?;
        let ladder = path == PHI && spec.scale.as_ref().is_some_and(|scale| !scale.phi.is_empty());
        let sets = |variant: &Variant| variant.assignments.iter().any(|a| a.path == path);
        let free = !ladder && !variants.iter().any(sets);
        self.ensure(free, place, "the knob is an axis too; one of the two must go")
    }

    /// Solves the variant's knob in `value` and returns what was set.
    pub(super) fn matched(
        &self,
        variant: &Variant,
        value: &mut Value,
        matching: &Match,
        cost: Cost,
        target: u64,
    ) -> Result<Settings> {
        let by = match &matching.by {
            Knobs::One(path) => path,
            Knobs::Named(knobs) => {
                let named = knobs.0.iter().find(|(name, _)| Some(name.as_str()) == variant.name());
                let Some((_, path)) = named else { return Ok(Settings::new()) };
                path
            }
        };
        // Sets the knob in a trial's value and returns all that was set: φ turns three others.
        let set = |value: &mut Value, setting: &Value| -> Result<Settings> {
            let mut settings = if by == PHI {
                self.scaled(&variant.clone().set(PHI, setting.clone(), &["match", "by"]), value)?
            } else {
                set_path(value, &by.split('.').collect::<Vec<_>>(), setting.clone())?;
                Settings::new()
            };
            settings.insert(by.clone(), serde_json::to_value(setting)?);
            Ok(settings)
        };
        let start = if by == PHI { 1.0.into() } else { self.knob(&yaml::from_value(value)?, by)? };
        let solved = solve(&start, target, |setting| {
            let mut trial = value.clone();
            set(&mut trial, setting).ok()?;
            let config = yaml::from_value::<RunConfig>(&trial).ok()?;
            Some(cost.of(&self.costs.of(&config).ok()?))
        });
        let solved = solved
            .with_context(|| format!("no setting of `{by}` makes a model"))
            .map_err(|e| self.blame(variant, &e))?;
        let distance = solved.distance(target);
        let near = || -> Result<()> {
            let setting = text(&serde_json::to_value(&solved.value)?);
            ensure!(
                distance <= matching.tolerance,
                "{} cannot be matched to {target} by `{by}`: the nearest is {} at {setting}, {:.1} % away, and the \
                 tolerance is {:.1} %",
                cost.name(),
                solved.cost,
                100.0 * distance,
                100.0 * matching.tolerance
            );
            Ok(())
        };
        near().map_err(|e| self.blame(variant, &e))?;
        set(value, &solved.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(start: i64, target: u64, cost: impl Fn(i64) -> Option<u64>) -> Option<(i64, u64)> {
        let solved = solve(&start.into(), target, |value| cost(value.as_i64()?))?;
        Some((solved.value.as_i64()?, solved.cost))
    }

    #[test]
    fn integers_are_solved_from_any_start() {
        for start in [1, 2, 7, 31, 100, 5000] {
            for target in [1, 2, 90, 1000, 123_456] {
                let (x, cost) = integer(start, target, |x| Some((x * x) as u64)).unwrap();
                let off = |x: i64| (x * x).abs_diff(target as i64);
                assert!(off(x) <= off(x + 1) && (x == 1 || off(x) <= off(x - 1)), "{start} {target}: {x}");
                assert_eq!(cost, (x * x) as u64);
            }
        }
    }

    #[test]
    fn falling_costs_and_gaps_are_solved() {
        let (x, _) = integer(1, 250, |x| Some(10_000 / x as u64)).unwrap();
        assert_eq!(x, 40);
        // Only multiples of 8 make a model.
        let (x, cost) = integer(8, 1000, |x| (x % 8 == 0).then_some(10 * x as u64)).unwrap();
        assert_eq!((x, cost), (104, 1040));
        assert_eq!(integer(3, 10, |_| None), None);
        assert_eq!(integer(3, 1_000_000, |_| Some(5)), Some((3, 5)));
    }

    #[test]
    fn fractions_are_solved_and_short() {
        let solved = solve(&1.0.into(), 20_000, |v| Some((v.as_f64()?.powi(2) * 10_000.0) as u64)).unwrap();
        assert_eq!(solved.value, Value::from(1.414));
        assert!(solve(&"text".into(), 1, |_| Some(1)).is_none());
    }
}
