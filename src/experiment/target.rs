//! A cost that variants shall have, as a file spells it.

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use std::fmt;

/// A cost: a number, or a multiple of the base's: `base`, `2 * base`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    Base(f64),
    Number(u64),
}

impl Target {
    /// The cost that it means, where the base has this one.
    pub(super) fn of(self, base: u64) -> u64 {
        match self {
            Self::Base(times) => (times * base as f64).round() as u64,
            Self::Number(cost) => cost,
        }
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Target;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("`base`, a multiple such as `2 * base`, or a positive number")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Target, E> {
                let times = text.split_once('*').map_or((text == "base").then_some(1.0), |(times, base)| {
                    times.trim().parse().ok().filter(|&times: &f64| base.trim() == "base" && times > 0.0)
                });
                let times = times.filter(|times| times.is_finite()).map(Target::Base);
                times.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Target, E> {
                match n {
                    0 => Err(E::invalid_value(de::Unexpected::Unsigned(0), &self)),
                    _ => Ok(Target::Number(n)),
                }
            }
            fn visit_f64<E: de::Error>(self, x: f64) -> Result<Target, E> {
                if x >= 1.0 && x < 2f64.powi(63) {
                    Ok(Target::Number(x.round() as u64))
                } else {
                    Err(E::invalid_value(de::Unexpected::Float(x), &self))
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}
