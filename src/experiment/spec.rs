//! An experiment as its YAML file spells it.

use super::halving::Halving;
use super::metric::{Cost, Metric};
use super::printed::Figures;
use super::space::{Named, Ordered, Sample, Scale, Search, Values};
use super::target::Target;
use crate::evaluate::Protocol;
use crate::train::RunConfig;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A question, the run that all trials start from, and what varies.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    pub question: String,
    /// Where the question was asked first.
    #[serde(default)]
    pub paper: Option<String>,
    /// One run, with every key of a `train` file.
    pub base: RunConfig,
    /// How all trials are tested at their ends, but for those that set another `protocol`. Default: that of the base.
    #[serde(default)]
    pub protocol: Option<Protocol>,
    /// Key paths with lists or ranges of values; their product is run.
    #[serde(default)]
    pub axes: Ordered<Values>,
    /// Key paths with lists of one length, gone through together; times the product.
    #[serde(default)]
    pub zip: Ordered<Values>,
    /// Named settings of key paths, with axes of their own where they have any; times the others.
    #[serde(default)]
    pub variants: Ordered<Named>,
    /// Settings drawn at random; times the others.
    #[serde(default)]
    pub sample: Option<Sample>,
    /// Compound scaling; its φ times the others. `scale.alpha` and its like may be axes too.
    #[serde(default)]
    pub scale: Option<Scale>,
    /// Finds α, β and γ for `scale`.
    #[serde(default)]
    pub search: Option<Search>,
    #[serde(default, rename = "match")]
    pub matching: Option<Match>,
    #[serde(default)]
    pub seeds: Seeds,
    /// Drops the worse variants on the way.
    #[serde(default)]
    pub halving: Option<Halving>,
    #[serde(default)]
    pub report: ReportSpec,
}

/// `{macs: base, by: model.base_width, tolerance: 0.03}`: a knob is solved so that variants cost the same.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    #[serde(default)]
    pub macs: Option<Target>,
    #[serde(default)]
    pub params: Option<Target>,
    #[serde(default)]
    pub activations: Option<Target>,
    pub by: Knobs,
    /// Largest relative difference from the target.
    #[serde(default = "three_percent")]
    pub tolerance: f64,
}

fn three_percent() -> f64 {
    0.03
}

impl Match {
    /// Which cost is matched, and to what; `None` unless exactly one is given.
    pub fn target(&self) -> Option<(Cost, Target)> {
        let given =
            [(Cost::Macs, self.macs), (Cost::Params, self.params), (Cost::Activations, self.activations)];
        let mut given = given.into_iter().filter_map(|(cost, target)| Some((cost, target?)));
        given.next().filter(|_| given.next().is_none())
    }
}

/// What `match` solves: a key path of a number of the model, `data.image_size` or `scale.phi`.
#[derive(Clone, Debug, PartialEq)]
pub enum Knobs {
    /// The same for every variant.
    One(String),
    /// By the names of `variants`; a variant without a knob stays as it is.
    Named(Ordered<String>),
}

impl<'de> Deserialize<'de> for Knobs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Knobs;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a key path, or a mapping of variants' names to key paths")
            }
            fn visit_str<E: de::Error>(self, path: &str) -> Result<Knobs, E> {
                Ok(Knobs::One(path.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Knobs, A::Error> {
                Ordered::deserialize(MapAccessDeserializer::new(map)).map(Knobs::Named)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// `3`: the base's seed and the two after it; `[1, 5]`: these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seeds {
    Count(u64),
    List(Vec<u64>),
}

impl Default for Seeds {
    fn default() -> Self {
        Self::Count(1)
    }
}

impl Seeds {
    /// The seeds of a run whose own is `first`.
    pub fn from(&self, first: u64) -> Vec<u64> {
        match self {
            Seeds::Count(n) => (0..*n).map(|i| first.wrapping_add(i)).collect(),
            Seeds::List(list) => list.clone(),
        }
    }
}

impl<'de> Deserialize<'de> for Seeds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Seeds;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number of seeds from 1 to 1000, or a list of different seeds")
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Seeds, E> {
                match n {
                    1..=1000 => Ok(Seeds::Count(n)),
                    _ => Err(E::invalid_value(de::Unexpected::Unsigned(n), &self)),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Seeds, A::Error> {
                let mut list = Vec::new();
                while let Some(seed) = items.next_element()? {
                    if list.contains(&seed) {
                        return Err(de::Error::custom(format!("seed {seed} twice")));
                    }
                    list.push(seed);
                }
                if list.is_empty() {
                    return Err(de::Error::invalid_length(0, &self));
                }
                Ok(Seeds::List(list))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// What the report plots, `{x: macs, y: top1}`, and what it compares with.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportSpec {
    pub x: X,
    pub y: Metric,
    /// The paper's figures, by the variants that they belong to: a name, or `KEY=VALUE` pairs with commas between.
    pub paper: Ordered<Figures>,
}

impl Default for ReportSpec {
    fn default() -> Self {
        Self { x: X::Cost(Cost::Macs), y: Metric::Top1, paper: Ordered::default() }
    }
}

/// What stands on the horizontal axis: a cost, `latency` (of one image, measured), or the key path of an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum X {
    Cost(Cost),
    Latency,
    Axis(String),
}

impl<'de> Deserialize<'de> for X {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let cost = Cost::ALL.into_iter().find(|cost| cost.name() == text);
        Ok(match cost {
            Some(cost) => X::Cost(cost),
            None if text == "latency" => X::Latency,
            None => X::Axis(text),
        })
    }
}
