//! A paper's own figures, as it prints them.

use super::spec::Cost;
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

/// A number with as many digits as the paper gives it: `25.6 M`, `0.39 G`, `4867 M`, `22.2`, `11689512`.
#[derive(Clone, Debug, PartialEq)]
pub struct Printed {
    pub text: String,
    pub value: f64,
    /// What one of the last digit is worth.
    pub digit: f64,
}

impl Printed {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &text[digits.len()..] {
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
        let value: f64 = digits.parse().ok()?;
        let digit = unit * 10f64.powi(-i32::try_from(decimals).ok()?);
        Some(Self { text: text.to_owned(), value: value * unit, digit })
    }

    /// Whether `x` may have been printed so; papers round and cut off.
    pub fn agrees(&self, x: f64) -> bool {
        (x - self.value).abs() < self.digit.max(0.5)
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
                f.write_str("a number as printed, such as 25.6 M or 22.2")
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
        for wrong in ["", "M", "1.2.3", "5 T", "about 3", "1e6", "-3"] {
            assert_eq!(Printed::parse(wrong), None, "{wrong}");
        }
    }
}
