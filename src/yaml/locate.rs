//! The position of a node in a YAML text.
//!
//! serde_yaml tells positions only in errors, so a visitor walks down to the node and fails there.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;

/// What is looked for at the end of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Value,
    /// The last key itself.
    Key,
    /// The last key where it stands for the second time.
    Repeated,
}

/// Line and column, from 1, of what a path of keys and indices leads to; `None` if it is not there.
///
/// A segment is one whole key, dots included, or an index in decimal.
pub(super) fn walk(text: &str, path: &[impl AsRef<str>], at: At) -> Option<(usize, usize)> {
    let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
    let found = Cell::new(false);
    let node = Node { path: &path, at, found: &found };
    let error = node.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    let at = error.location().filter(|_| found.get())?;
    Some((at.line(), at.column()))
}

#[derive(Clone, Copy)]
struct Node<'a> {
    path: &'a [&'a str],
    at: At,
    found: &'a Cell<bool>,
}

impl Node<'_> {
    /// Fails where the path ends.
    fn stop<E: Error>(self) -> Result<(), E> {
        self.found.set(self.path.is_empty());
        Err(E::custom("here"))
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((&first, rest)) = self.path.split_first() else { return self.stop() };
        let at_key = self.at != At::Value && rest.is_empty();
        let mut before = usize::from(at_key && self.at == At::Repeated);
        loop {
            let key = Key { wanted: first, stop_here: at_key && before == 0, found: self.found };
            let Some(matches) = map.next_key_seed(key)? else { break };
            if matches && before > 0 {
                before -= 1;
            } else if matches {
                return map.next_value_seed(Node { path: rest, ..self });
            }
            map.next_value::<IgnoredAny>()?;
        }
        self.stop()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.path.split_first() else { return self.stop() };
        let Ok(index) = first.parse::<usize>() else { return self.stop() };
        for _ in 0..index {
            if items.next_element::<IgnoredAny>()?.is_none() {
                return self.stop();
            }
        }
        items.next_element_seed(Node { path: rest, ..self })?;
        self.stop()
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.stop()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.stop()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.stop()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.stop()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.stop()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.stop()
    }
}

/// Reads a key: is it the wanted one?
#[derive(Clone, Copy)]
struct Key<'a> {
    wanted: &'a str,
    stop_here: bool,
    found: &'a Cell<bool>,
}

impl Key<'_> {
    fn compare<E: Error>(self, key: &str) -> Result<bool, E> {
        let same = key == self.wanted;
        if same && self.stop_here {
            self.found.set(true);
            return Err(E::custom("here"));
        }
        Ok(same)
    }
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        self.compare(key)
    }
}
