//! A part of a data set: so many images, or a fraction of them.

use crate::Invalid;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use std::fmt;

/// `5000` images, or `0.1` of all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Portion {
    Count(usize),
    Share(f64),
}

impl Portion {
    /// How many of `all` images it is.
    ///
    /// # Errors
    /// No image, or all of them.
    pub(super) fn of(self, all: usize) -> Result<usize, Invalid> {
        let count = match self {
            Self::Count(count) => count,
            Self::Share(share) => (share * all as f64).round() as usize,
        };
        if (1..all).contains(&count) {
            return Ok(count);
        }
        let message = format!("{self} of {all} training images leaves none on one of the two sides");
        Err(Invalid::value("data.validation", message))
    }
}

impl fmt::Display for Portion {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Share(share) => write!(f, "{share}"),
        }
    }
}

impl Serialize for Portion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => count.serialize(serializer),
            Self::Share(share) => share.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Portion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Portion;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(
                    "a number of images such as 5000, or a fraction of them between 0 and 1 such as 0.1",
                )
            }
            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Portion, E> {
                match usize::try_from(count) {
                    Ok(count) if count > 0 => Ok(Portion::Count(count)),
                    _ => Err(E::invalid_value(de::Unexpected::Unsigned(count), &self)),
                }
            }
            fn visit_f64<E: de::Error>(self, share: f64) -> Result<Portion, E> {
                if share > 0.0 && share < 1.0 {
                    Ok(Portion::Share(share))
                } else {
                    Err(E::invalid_value(de::Unexpected::Float(share), &self))
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}
