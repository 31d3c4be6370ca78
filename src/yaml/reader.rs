//! Reads a YAML value into a type, with a [`Fault`] that knows the keys that lead to what is wrong.
//!
//! A choice between types with fields of their own is a mapping with one key, `optimizer: {sgd: {lr: 0.1}}`, or the bare
//! name, `optimizer: sgd`, with the default of every field. Nothing, as in `train:`, is an empty mapping or list.

use super::fault::{Fault, Found, Kind};
use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_yaml::{Mapping, Value};
use std::{iter, slice};

/// A value to read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub &'a Value);

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (_, Some(value)) => visitor.visit_i64(value),
                _ => match number.as_f64().filter(|value| value.is_finite()) {
                    Some(value) => visitor.visit_f64(value),
                    None => Err(Fault::custom(format!("`{number}` is not a finite number; write one"))),
                },
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Sequence(items) => self::items(items, visitor),
            Value::Mapping(mapping) => entries(mapping, visitor),
            Value::Tagged(tagged) => {
                Err(Fault::custom(format!("tags such as `{}` are not read", tagged.tag)))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.0.is_null() { items(&[], visitor) } else { self.deserialize_any(visitor) }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.0.is_null() {
            return visitor.visit_map(MapDeserializer::new(iter::empty::<(&str, &str)>()));
        }
        self.deserialize_any(visitor)
    }

    /// Fields have names: a list does not spell a struct.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if self.0.is_sequence() {
            return Err(Fault::invalid_type(Unexpected::Seq, &visitor));
        }
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        choices: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let several = |found: Vec<String>| Err(Fault::new(Kind::Choices { found, choices }));
        match self.0 {
            Value::String(name) => visitor.visit_enum(Choice { name, value: None }),
            Value::Mapping(mapping) => {
                let mut entries = mapping.iter();
                match (entries.next(), entries.next()) {
                    (Some((name, value)), None) => {
                        visitor.visit_enum(Choice { name: &text(name)?, value: Some(value) })
                    }
                    _ => several(mapping.keys().map(text).collect::<Result<_, _>>()?),
                }
            }
            Value::Null => several(Vec::new()),
            Value::Bool(_) | Value::Number(_) => Err(Fault::unknown_variant(&text(self.0)?, choices)),
            Value::Sequence(_) | Value::Tagged(_) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        tuple tuple_struct identifier
    }
}

/// A key, or another scalar, as it reads in a message and where text is wanted.
fn text(key: &Value) -> Result<String, Fault> {
    match key {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null => Ok("null".to_owned()),
        _ => Err(Fault::custom("a key must be text")),
    }
}

/// Hands the items of a list to `visitor`.
fn items<'de, V: Visitor<'de>>(list: &'de [Value], visitor: V) -> Result<V::Value, Fault> {
    let mut items = Items { rest: list.iter(), index: 0 };
    let read = visitor.visit_seq(&mut items)?;
    match items.rest.len() {
        0 => Ok(read),
        _ => Err(Fault::new(Kind::Value { found: Found::Items(list.len()), expected: fewer(items.index) })),
    }
}

/// A list of so many values, as serde calls it.
fn fewer(length: usize) -> String {
    format!("an array of length {length}")
}

struct Items<'a> {
    rest: slice::Iter<'a, Value>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(item) = self.rest.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(Reader(item)).map(Some).map_err(|fault| fault.under(index.to_string()))
    }
}

/// Hands the entries of a mapping to `visitor`.
fn entries<'de, V: Visitor<'de>>(mapping: &'de Mapping, visitor: V) -> Result<V::Value, Fault> {
    visitor.visit_map(Entries { rest: mapping.iter(), last: None })
}

struct Entries<'a> {
    rest: serde_yaml::mapping::Iter<'a>,
    /// The key that was handed out last, and its value.
    last: Option<(String, &'a Value)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        let key = text(key)?;
        let read = seed.deserialize(key.as_str().into_deserializer());
        self.last = Some((key, value));
        read.map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((key, value)) = self.last.take() else { return Err(Fault::custom("a value without a key")) };
        seed.deserialize(Reader(value)).map_err(|fault| fault.under(key))
    }
}

static NOTHING: Value = Value::Null;

/// A choice by its name, with its value where the name is a key.
struct Choice<'a, 'de> {
    name: &'a str,
    value: Option<&'de Value>,
}

impl<'a, 'de> EnumAccess<'de> for Choice<'a, 'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let name: StrDeserializer<Fault> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> Choice<'_, 'de> {
    fn value(&self) -> Reader<'de> {
        Reader(self.value.unwrap_or(&NOTHING))
    }
}

impl<'de> VariantAccess<'de> for Choice<'_, 'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.value {
            Some(value) if !is_empty(value) => {
                let message = format!("`{}` takes no value; write the name alone", self.name);
                Err(Fault::custom(message))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self.value()).map_err(|fault| fault.under(self.name))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.value().deserialize_seq(visitor).map_err(|fault| fault.under(self.name))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.value().deserialize_struct("", fields, visitor).map_err(|fault| fault.under(self.name))
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_mapping().is_some_and(Mapping::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Run {
        #[serde(default)]
        train: Train,
        steps: Vec<Step>,
        pair: Option<[f64; 2]>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Train {
        epochs: u64,
        on: bool,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Step {
        Flip,
        PadCrop(u32),
        Train(Train),
    }

    fn read(text: &str) -> Result<Run, Fault> {
        Run::deserialize(Reader(&serde_yaml::from_str(text).unwrap()))
    }

    #[test]
    fn choices_are_names_or_mappings_of_one_key() {
        let run =
            read("{steps: [flip, flip: , pad_crop: 4, train, train: {epochs: 2}], train: , pair: [1, 2.5]}");
        let train = |epochs| Step::Train(Train { epochs, on: false });
        let steps = vec![Step::Flip, Step::Flip, Step::PadCrop(4), train(0), train(2)];
        assert_eq!(run.unwrap(), Run { train: Train::default(), steps, pair: Some([1.0, 2.5]) });
    }

    #[test]
    fn a_fault_has_the_keys_that_lead_to_it() {
        for (text, keys) in [
            ("{steps: [], train: {epochs: x}}", "train.epochs"),
            ("{steps: [], train: {epoch: 1}}", "train.epoch"),
            ("{steps: [], train: 3}", "train"),
            ("{steps: [], train: [1, true]}", "train"),
            ("{steps: [flip, pad_crop: x]}", "steps.1.pad_crop"),
            ("{steps: [flip, pad_crop]}", "steps.1.pad_crop"),
            ("{steps: [flip: 3]}", "steps.0"),
            ("{steps: [pad: 3]}", "steps.0"),
            ("{steps: [{flip: , pad_crop: 3}]}", "steps.0"),
            ("{steps: [7]}", "steps.0"),
            ("{steps: [train: {on: 1}]}", "steps.0.train.on"),
            ("{steps: [], pair: [1]}", "pair"),
            ("{steps: [], pair: [1, 2, 3]}", "pair"),
            ("{train: }", ""),
            ("{steps: !x 3}", "steps"),
        ] {
            assert_eq!(read(text).unwrap_err().keys().join("."), keys, "{text}");
        }
    }
}
