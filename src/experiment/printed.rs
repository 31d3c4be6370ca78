//! A paper's own figures, as it prints them.

use super::metric::Cost;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// One row of a paper's table: what a variant costs and reaches there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Figures {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<Printed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub macs: Option<Printed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activations: Option<Printed>,
    /// Percent right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top1: Option<Printed>,
    /// Percent wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Printed>,
    /// Percent wrong in five guesses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top5_error: Option<Printed>,
}

impl Figures {
    pub fn cost(&self, cost: Cost) -> Option<&Printed> {
        match cost {
            Cost::Params => self.params.as_ref(),
            Cost::Macs => self.macs.as_ref(),
            Cost::Activations => self.activations.as_ref(),
        }
    }
}

/// A number with as many digits as the paper gives it: `25.6 M`, `0.39 G`, `4867 M`, `22.2`, `11689512`; `~4.1 G` where it
/// prints one such figure for several rows of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Printed {
    pub text: String,
    pub value: f64,
    /// No value of the same figure is farther away.
    pub within: f64,
}

/// How far apart, at most, the values are for which a paper prints one figure.
const ABOUT: f64 = 0.05;

impl Printed {
    fn parse(text: &str) -> Option<Self> {
        let (about, number) = text.strip_prefix('~').map_or((false, text), |number| (true, number));
        let digits = number.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &number[digits.len()..] {
            "" => 1.0,
            "k" => 1e3,
            "M" => 1e6,
            "G" => 1e9,
            _ => return None,
        };
        let digits = digits.trim();
        let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        if !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return None;
        }
        let value = unit * digits.parse::<f64>().ok()?;
        // Papers round and cut off.
        let digit = (unit * 10f64.powi(-i32::try_from(decimals).ok()?)).max(0.5);
        let within = if about { digit.max(ABOUT * value) } else { digit };
        Some(Self { text: text.to_owned(), value, within })
    }

    /// Whether `x` may have been printed so.
    pub fn agrees(&self, x: f64) -> bool {
        (x - self.value).abs() < self.within
    }
}

impl Serialize for Printed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Printed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Printed;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number as printed, such as 25.6 M, ~4.1 G or 22.2")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Printed, E> {
                Printed::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Printed, E> {
                self.visit_str(&n.to_string())
            }
            fn visit_f64<E: de::Error>(self, x: f64) -> Result<Printed, E> {
                self.visit_str(&x.to_string())
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_agree_within_their_last_digit() {
        let printed = |text| Printed::parse(text).unwrap();
        assert!(printed("1.8 G").agrees(1_814_073_344.0) && printed("35.7M").agrees(35_748_314.0));
        assert!(!printed("48 M").agrees(42_679_816.0) && !printed("3.6 G").agrees(3.71e9));
        assert!(printed("11689512").agrees(11_689_512.0) && !printed("11689512").agrees(11_689_513.0));
        assert!(printed("~4.1 G").agrees(4.267e9) && !printed("~4.1 G").agrees(4.4e9));
        for wrong in ["", "~", "M", "1.2.3", "5 T", "about 3", "1e6", "-3"] {
            assert_eq!(Printed::parse(wrong), None, "{wrong}");
        }
    }
}
