//! What varies in an experiment, as its YAML file spells it: axes, named variants, samples, scaling.

use super::formula::Formula;
use super::metric::Cost;
use super::target::Target;
use crate::data::Stream;
use crate::models::Complexity;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_yaml::Value;
use std::fmt;
use std::marker::PhantomData;

/// No range has more values.
const MAX_VALUES: usize = 10_000;

/// A mapping in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Ordered<T>(pub Vec<(String, T)>);

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: DeserializeOwned> Visitor<'de> for Reader<T> {
            type Value = Ordered<T>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a mapping")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = map.next_entry()? {
                    items.push(item);
                }
                Ok(Ordered(items))
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

/// Reads a list of anything, or a mapping that spells an `M`.
fn list_or<'de, D, M>(deserializer: D, expected: &'static str) -> Result<Result<Vec<Value>, M>, D::Error>
where
    D: Deserializer<'de>,
    M: Deserialize<'de>,
{
    struct Reader<M>(&'static str, PhantomData<M>);
    impl<'de, M: Deserialize<'de>> Visitor<'de> for Reader<M> {
        type Value = Result<Vec<Value>, M>;
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                list.push(item);
            }
            Ok(Ok(list))
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            M::deserialize(MapAccessDeserializer::new(map)).map(Err)
        }
    }
    deserializer.deserialize_any(Reader(expected, PhantomData))
}

/// The values of an axis: a list, or a range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values(pub Vec<Value>);

/// `{from: 8, to: 32, step: 8}` or `{from: 8, to: 64, times: 2}`, both ends included.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    from: f64,
    to: f64,
    step: Option<f64>,
    times: Option<f64>,
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a list of values, or a range such as {from: 8, to: 32, step: 8}";
        match list_or::<D, Range>(deserializer, expected)? {
            Ok(list) => Ok(Self(list)),
            Err(range) => range.values().map(Self).map_err(de::Error::custom),
        }
    }
}

impl Range {
    fn values(&self) -> Result<Vec<Value>, String> {
        let Self { from, to, step, times } = *self;
        // A little beyond the end, so that no rounding loses the last value.
        let next: Box<dyn Fn(i32) -> f64> = match (step, times) {
            (Some(step), None) if step > 0.0 => Box::new(move |i| from + f64::from(i) * step),
            (None, Some(times)) if times > 1.0 && from > 0.0 => Box::new(move |i| from * times.powi(i)),
            _ => return Err("a range takes `step` above 0, or `times` above 1 and `from` above 0".into()),
        };
        let end = to + 1e-9 * (to - from).abs();
        let values: Vec<f64> = (0..).map(next).take(MAX_VALUES + 1).take_while(|&x| x <= end).collect();
        match values.len() {
            0 => Err(format!("`to` {to} is below `from` {from}")),
            n if n > MAX_VALUES => Err(format!("a range of more than {MAX_VALUES} values")),
            _ => {
                let whole = [Some(from), step, times].into_iter().flatten().all(|x| x.fract() == 0.0);
                Ok(values.into_iter().map(|x| number(x, whole)).collect())
            }
        }
    }
}

/// A number as YAML has it; a fraction without the last digits, where nothing but rounding shows.
pub(super) fn number(x: f64, whole: bool) -> Value {
    if whole { Value::from(x.round() as i64) } else { Value::from(format!("{x:.9e}").parse().unwrap_or(x)) }
}

/// Settings under a name, and axes that this name alone has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Named {
    pub settings: Ordered<Value>,
    pub axes: Ordered<Values>,
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Named;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a mapping of key paths to values, and `axes`")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
                let mut named = Named::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "axes" => named.axes = map.next_value()?,
                        _ => named.settings.0.push((key, map.next_value()?)),
                    }
                }
                Ok(named)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// Variants at random, as pycls samples a design space (2003.13678).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// How many different variants.
    pub count: usize,
    /// Decides which.
    #[serde(default)]
    pub seed: u64,
    /// What is drawn, by key path.
    pub of: Ordered<Draw>,
    /// Costs between which a variant must lie.
    #[serde(default)]
    pub within: Within,
}

/// Bounds of costs, both included.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Within {
    pub params: Option<[Target; 2]>,
    pub macs: Option<[Target; 2]>,
    pub activations: Option<[Target; 2]>,
}

impl Within {
    /// The costs that are bounded, with their least and their greatest values.
    pub(super) fn bounds(&self, base: &Complexity) -> Vec<(Cost, [u64; 2])> {
        let all =
            [(Cost::Params, self.params), (Cost::Macs, self.macs), (Cost::Activations, self.activations)];
        let bounds = |(cost, bounds): (Cost, Option<[Target; 2]>)| {
            Some((cost, bounds?.map(|bound| bound.of(cost.of(base)))))
        };
        all.into_iter().filter_map(bounds).collect()
    }
}

/// How far costs that are bounded spread: `macs from 1 to 9`.
pub(super) fn spreads(bounds: &[(Cost, [u64; 2])], seen: &[Complexity]) -> Vec<String> {
    let spread = |(cost, _): &(Cost, [u64; 2])| {
        let values = || seen.iter().map(|complexity| cost.of(complexity));
        Some(format!("{} from {} to {}", cost.name(), values().min()?, values().max()?))
    };
    bounds.iter().filter_map(spread).collect()
}

/// Whether the costs lie within the bounds.
pub(super) fn is_within(bounds: &[(Cost, [u64; 2])], costs: &Complexity) -> bool {
    bounds.iter().all(|(cost, [low, high])| (*low..=*high).contains(&cost.of(costs)))
}

/// How one value is drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Draw {
    OneOf(Vec<Value>),
    Between(Between),
}

/// `{from: 8, to: 256, log: true, multiple: 8}`: a whole number where both ends are, else a fraction.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Between {
    pub from: Value,
    pub to: Value,
    /// Every factor as likely as every other, instead of every difference.
    #[serde(default)]
    pub log: bool,
    /// Rounded to a multiple of this.
    #[serde(default)]
    pub multiple: Option<f64>,
}

impl<'de> Deserialize<'de> for Draw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a list of values, or bounds such as {from: 8, to: 256, log: true}";
        match list_or::<D, Between>(deserializer, expected)? {
            Ok(list) if list.is_empty() => Err(de::Error::custom("an empty list to draw from")),
            Ok(list) => Ok(Self::OneOf(list)),
            Err(between) => between.check().map(Self::Between).map_err(de::Error::custom),
        }
    }
}

impl Between {
    fn check(self) -> Result<Self, String> {
        let (Some(from), Some(to)) = (self.from.as_f64(), self.to.as_f64()) else {
            return Err("`from` and `to` must be numbers".into());
        };
        let bounded = from.is_finite() && to.is_finite() && from < to;
        match (bounded && (!self.log || from > 0.0), self.multiple.is_none_or(|m| m > 0.0)) {
            (false, _) => Err("`from` must be below `to`, and above 0 with `log`".into()),
            (_, false) => Err("`multiple` must be above 0".into()),
            _ => Ok(self),
        }
    }
}

impl Draw {
    /// A value by the numbers of `stream`.
    pub(super) fn draw(&self, stream: &mut Stream) -> Value {
        match self {
            Self::OneOf(list) => list[stream.below(list.len() as u64) as usize].clone(),
            Self::Between(Between { from, to, log, multiple }) => {
                let whole = |value: &Value| value.is_i64() || value.is_u64();
                let whole = whole(from) && whole(to) && multiple.is_none_or(|m| m.fract() == 0.0);
                let [from, to] = [from, to].map(|end| end.as_f64().unwrap_or_default());
                // A whole number stands for all that round to it, so that the ends are as likely as the rest.
                let half = if whole && multiple.is_none() { 0.5 } else { 0.0 };
                let (low, high) = ((from - half).max(from * 0.5), to + half);
                let unit = (stream.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
                let x = if *log { low * (high / low).powf(unit) } else { low + (high - low) * unit };
                let x = multiple.map_or(x, |m| (x / m).round() * m).clamp(from, to);
                number(if whole { x.round() } else { x }, whole)
            }
        }
    }
}

/// Compound scaling (1905.11946, equation 3): for each φ, depth grows by α^φ, width by β^φ, resolution by γ^φ.
///
/// The three knobs are key paths of numbers, or of lists of numbers, that the base has: a multiplier such as
/// EfficientNet's `model.depth`, a count of layers, channels, `data.image_size`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scale {
    pub phi: Vec<f64>,
    /// 1 when absent, as are the next two: the knob stays as it is.
    pub alpha: Option<f64>,
    pub beta: Option<f64>,
    pub gamma: Option<f64>,
    pub depth: String,
    pub width: String,
    pub resolution: String,
}

impl Default for Scale {
    fn default() -> Self {
        Self {
            phi: Vec::new(),
            alpha: None,
            beta: None,
            gamma: None,
            depth: "model.depth".into(),
            width: "model.width".into(),
            resolution: "data.image_size".into(),
        }
    }
}

/// What one factor of [`Scale`] turns, which decides how whole numbers are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Dimension {
    /// Up, as EfficientNet's blocks.
    Depth,
    /// To the nearest multiple of 8 where the base has one, as channels.
    Width,
    /// To the nearest.
    Resolution,
}

impl Dimension {
    /// A number of the base times `factor`.
    pub(super) fn times(self, value: &Value, factor: f64) -> Option<Value> {
        if let Value::Sequence(list) = value {
            let scaled: Option<Vec<Value>> = list.iter().map(|item| self.times(item, factor)).collect();
            return scaled.map(Value::Sequence);
        }
        let x = value.as_f64()? * factor;
        if !(value.is_i64() || value.is_u64()) {
            return Some(number(x, false));
        }
        let by_eight = value.as_i64().is_some_and(|n| n % 8 == 0);
        Some(Value::from(match self {
            Self::Depth => (x - 1e-9).ceil() as i64,
            Self::Width if by_eight => ((x / 8.0).round() as i64).max(1) * 8,
            Self::Width | Self::Resolution => x.round() as i64,
        }))
    }
}

/// The first of EfficientNet's two steps: a grid of α, β, γ at φ = 1, under a constraint; the best of it goes on to
/// the ladder of `scale.phi`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    pub alpha: Vec<f64>,
    pub beta: Vec<f64>,
    pub gamma: Vec<f64>,
    /// Such as `alpha * beta^2 * gamma^2`; kept are the points where it is within `tolerance` of `target`.
    pub constraint: Formula,
    pub target: f64,
    pub tolerance: f64,
    /// Costs between which a point must lie, as they are after rounding; others are left out.
    #[serde(default)]
    pub within: Within,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<Value> {
        serde_yaml::from_str::<Values>(text).unwrap().0
    }

    #[test]
    fn ranges_include_both_ends() {
        assert_eq!(values("{from: 8, to: 32, step: 8}"), [8, 16, 24, 32].map(Value::from));
        assert_eq!(values("{from: 1, to: 1.3, step: 0.1}"), [1.0, 1.1, 1.2, 1.3].map(Value::from));
        assert_eq!(values("{from: 1, to: 9, times: 2}"), [1, 2, 4, 8].map(Value::from));
        for wrong in ["{from: 2, to: 1, step: 1}", "{from: 1, to: 2}", "{from: 0, to: 1e9, step: 1}", "7"] {
            assert!(serde_yaml::from_str::<Values>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn draws_are_even_and_within_their_bounds() {
        let draws = |text: &str| -> Vec<Value> {
            let draw: Draw = serde_yaml::from_str(text).unwrap();
            let mut stream = Stream::new(1, "test", 0, 0);
            (0..4000).map(|_| draw.draw(&mut stream)).collect()
        };
        let share = |values: &[Value], keep: &dyn Fn(f64) -> bool| {
            values.iter().filter(|value| keep(value.as_f64().unwrap())).count() as f64 / values.len() as f64
        };
        let close = |a: f64, b: f64| (a - b).abs() < 0.03;
        let whole = draws("{from: 1, to: 4}");
        assert!((1..=4).all(|n| close(share(&whole, &|x| x == f64::from(n)), 0.25)));
        assert!(whole.iter().all(Value::is_i64));
        let log = draws("{from: 1.0, to: 100.0, log: true}");
        assert!(close(share(&log, &|x| x < 10.0), 0.5) && log.iter().all(Value::is_f64));
        let eights = draws("{from: 8, to: 64, multiple: 8}");
        assert!(close(share(&eights, &|x| x % 8.0 == 0.0 && (8.0..=64.0).contains(&x)), 1.0));
        assert!(close(share(&draws("[1, 2]"), &|x| x == 1.0), 0.5));
    }

    #[test]
    fn knobs_scale_by_their_kind() {
        let times = |dimension: Dimension, text: &str, factor: f64| {
            let scaled = dimension.times(&serde_yaml::from_str(text).unwrap(), factor).unwrap();
            serde_yaml::to_string(&scaled).unwrap().trim().to_owned()
        };
        assert_eq!(times(Dimension::Depth, "1.0", 1.2f64.powi(3)), "1.728");
        assert_eq!(times(Dimension::Depth, "[1, 2, 5]", 1.2), "- 2\n- 3\n- 6");
        assert_eq!(times(Dimension::Width, "64", 1.1), "72");
        assert_eq!(times(Dimension::Width, "6", 1.1), "7");
        assert_eq!(times(Dimension::Resolution, "224", 1.15), "258");
        assert_eq!(Dimension::Width.times(&Value::from("wide"), 2.0), None);
    }
}
