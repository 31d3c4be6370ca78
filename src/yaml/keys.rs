//! The keys that a type reads, found by asking it: `deserialize` names the fields of a struct before it reads them.

use super::fault::Fault;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_yaml::Value;
use std::cell::Cell;

/// Nothing is as deep: what refers to itself ends here.
const DEEPEST: usize = 8;

/// A key, with those that lead to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub path: Vec<&'static str>,
    /// Places in the path of what is one choice among several, such as `sgd`.
    choices: Vec<usize>,
    /// Whether any key may stand below it: a mapping whose keys the type does not tell.
    pub open: bool,
}

/// All keys that a `T` reads, those of a struct in its order, each before those below it.
pub(super) fn nodes<T: DeserializeOwned>() -> Vec<Node> {
    let mut nodes = Vec::new();
    collect::<T>(&Node { path: Vec::new(), choices: Vec::new(), open: false }, &mut nodes);
    nodes
}

fn collect<T: DeserializeOwned>(parent: &Node, nodes: &mut Vec<Node>) {
    let below = below::<T>(&parent.path);
    for &key in below.names().iter().filter(|_| parent.path.len() < DEEPEST) {
        let mut node = parent.clone();
        if matches!(below, Below::Choices(_)) {
            node.choices.push(node.path.len());
        }
        node.path.push(key);
        match self::below::<T>(&node.path) {
            // A choice without fields is a value, not a key.
            Below::Name => continue,
            below => node.open = matches!(below, Below::Open),
        }
        nodes.push(node.clone());
        collect::<T>(&node, nodes);
    }
}

impl Node {
    /// Whether what `value` chooses leads to this key; where it chooses nothing, the first choice is the default.
    pub fn in_use(&self, value: &Value, nodes: &[Self]) -> bool {
        self.choices.iter().all(|&place| {
            let (parent, name) = (&self.path[..place], self.path[place]);
            match at(value, parent) {
                Some(Value::String(chosen)) => chosen == name,
                Some(Value::Mapping(chosen)) => chosen.keys().next().and_then(Value::as_str) == Some(name),
                _ => {
                    let first =
                        nodes.iter().find(|node| node.path.len() > place && node.path[..place] == *parent);
                    first.is_none_or(|first| first.path[place] == name)
                }
            }
        })
    }
}

/// What the keys lead to in a value; an index leads into a list.
pub(super) fn at<'a>(value: &'a Value, keys: &[impl AsRef<str>]) -> Option<&'a Value> {
    keys.iter().try_fold(value, |value, key| match value {
        Value::Sequence(items) => items.get(key.as_ref().parse::<usize>().ok()?),
        _ => value.as_mapping()?.get(key.as_ref()),
    })
}

/// What is below a key.
#[derive(Clone, Copy)]
enum Below {
    /// Nothing: it is a value, or a list.
    Value,
    /// Any key.
    Open,
    /// Nothing: it is the name of a choice without fields.
    Name,
    Fields(&'static [&'static str]),
    Choices(&'static [&'static str]),
}

impl Below {
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Value | Self::Open | Self::Name => &[],
            Self::Fields(names) | Self::Choices(names) => names,
        }
    }
}

/// What a `T` reads below these keys.
fn below<T: DeserializeOwned>(path: &[&'static str]) -> Below {
    let found = Cell::new(Below::Value);
    // It never succeeds: it stops where the path ends.
    let _stopped = T::deserialize(Probe { path, found: &found });
    found.get()
}

/// Offers a type the keys of one path, and notes what it asks for at the end.
#[derive(Clone, Copy)]
struct Probe<'a> {
    path: &'a [&'static str],
    found: &'a Cell<Below>,
}

impl<'a> Probe<'a> {
    /// The next key and what follows; notes what is below where the path ends.
    fn step(self, below: Below) -> Result<(&'static str, Self), Fault> {
        match self.path.split_first() {
            Some((key, path)) => Ok((key, Self { path, ..self })),
            None => {
                self.found.set(below);
                Err(stop())
            }
        }
    }
}

fn stop() -> Fault {
    Fault::custom("here")
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fault> {
        Err(stop())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_map<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fault> {
        self.step(Below::Open).and_then(|_| Err(stop()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let (key, rest) = self.step(Below::Fields(fields))?;
        visitor.visit_map(Entry { key: Some(key), rest })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        choices: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let (key, rest) = self.step(Below::Choices(choices))?;
        visitor.visit_enum(Entry { key: Some(key), rest })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct identifier ignored_any
    }
}

/// One key and the probe of what it leads to.
struct Entry<'a> {
    key: Option<&'static str>,
    rest: Probe<'a>,
}

impl<'de> MapAccess<'de> for Entry<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let key: Option<StrDeserializer<Fault>> = self.key.take().map(IntoDeserializer::into_deserializer);
        key.map(|key| seed.deserialize(key)).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        seed.deserialize(self.rest)
    }
}

impl<'de, 'a> EnumAccess<'de> for Entry<'a> {
    type Error = Fault;
    type Variant = Probe<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Probe<'a>), Fault> {
        let name: StrDeserializer<Fault> = self.key.unwrap_or_default().into_deserializer();
        Ok((seed.deserialize(name)?, self.rest))
    }
}

impl<'de> VariantAccess<'de> for Probe<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        self.found.set(Below::Name);
        Err(stop())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(stop())
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Run {
        seed: u64,
        train: Option<Train>,
        steps: Vec<Train>,
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Train {
        epochs: u64,
        optimizer: Optimizer,
        precision: Precision,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    #[allow(dead_code)]
    enum Optimizer {
        Sgd { lr: f64 },
        AdamW(AdamW),
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct AdamW {
        lr: f64,
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    enum Precision {
        Float32,
    }

    #[test]
    fn a_type_tells_its_keys() {
        let nodes = nodes::<Run>();
        let paths: Vec<String> = nodes.iter().map(|node| node.path.join(".")).collect();
        let optimizer = "train.optimizer";
        let expected = [
            "seed".to_owned(),
            "train".to_owned(),
            "train.epochs".to_owned(),
            optimizer.to_owned(),
            format!("{optimizer}.sgd"),
            format!("{optimizer}.sgd.lr"),
            format!("{optimizer}.adamw"),
            format!("{optimizer}.adamw.lr"),
            "train.precision".to_owned(),
            "steps".to_owned(),
        ];
        assert_eq!(paths, expected);
        let used = |text: &str| -> Vec<String> {
            let value = serde_yaml::from_str(text).unwrap();
            let used = nodes.iter().filter(|node| node.path.len() == 4 && node.in_use(&value, &nodes));
            used.map(|node| node.path.join(".")).collect()
        };
        assert_eq!(used("seed: 1"), ["train.optimizer.sgd.lr"]);
        assert_eq!(used("train: {optimizer: adamw}"), ["train.optimizer.adamw.lr"]);
        assert_eq!(used("train: {optimizer: {adamw: {lr: 1}}}"), ["train.optimizer.adamw.lr"]);
    }
}
