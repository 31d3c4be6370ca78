//! `tf.train.Example`: features by name, as lists of bytes, floats or integers.

use super::super::fields::Fields;
use anyhow::{Context, Result, bail, ensure};
use std::fmt;
use std::ops::Range;

/// What the picture and the label are called, the first of them that is there.
const PICTURES: &[&str] = &["image", "image/encoded", "jpg", "png"];
const LABELS: &[&str] = &["label", "labels", "class"];
/// A label that counts from 1, and 0 is no class: not taken unless it is asked for.
const SLIM: &str = "image/class/label";

/// What is read of each record.
pub(super) struct Wanted {
    picture: Vec<String>,
    label: Vec<String>,
}

impl Wanted {
    pub fn of(fields: &Fields) -> Self {
        let or = |given: &Option<String>, usual: &[&str]| match given {
            Some(name) => vec![name.clone()],
            None => usual.iter().map(|name| (*name).to_owned()).collect(),
        };
        Self { picture: or(&fields.picture, PICTURES), label: or(&fields.label, LABELS) }
    }

    /// Where the picture is in a record, and its label as a text; empty without one.
    pub fn find(&self, record: &[u8]) -> Result<(Range<usize>, String)> {
        let features = features(record)?;
        let find = |names: &[String]| {
            names.iter().find_map(|name| features.iter().find(|(known, _)| known == name.as_bytes()))
        };
        let all = || {
            let names = features.iter().map(|(name, _)| String::from_utf8_lossy(name));
            names.collect::<Vec<_>>().join(", ")
        };
        let (_, picture) = find(&self.picture).with_context(|| {
            format!("no picture `{}`; there are {:.200}", self.picture.join("` or `"), all())
        })?;
        let Feature::Bytes(picture) = picture else { bail!("its picture is a list of numbers") };
        let label = match find(&self.label) {
            Some((_, Feature::Bytes(text))) => {
                let text =
                    std::str::from_utf8(&record[text.clone()]).context("its label is not UTF-8")?.trim();
                ensure!(!text.contains(['\n', '\r']), "its label {text:.50?} has several lines");
                text.to_owned()
            }
            Some((_, Feature::Integer(number))) if *number >= 0 => number.to_string(),
            Some((_, Feature::Integer(_) | Feature::None)) => String::new(),
            Some((_, Feature::Float)) => bail!("its label is a list of fractions"),
            None if features.iter().any(|(name, _)| name == SLIM.as_bytes()) => bail!(
                "its label `{SLIM}` counts from 1, so that it is one more than the class of others; `label: {SLIM}` with \
                 `classes`, a map of the numbers, says which is meant"
            ),
            None => bail!("no label `{}`; there are {:.200}", self.label.join("` or `"), all()),
        };
        Ok((picture.clone(), label))
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "picture {:?}, label {:?}", self.picture, self.label)
    }
}

/// The first value of a list.
enum Feature {
    /// Where it is in the record.
    Bytes(Range<usize>),
    Integer(i64),
    Float,
    /// An empty list.
    None,
}

/// The features of an Example, by name.
fn features(record: &[u8]) -> Result<Vec<(Vec<u8>, Feature)>> {
    let mut found = Vec::new();
    for (field, all) in Message::of(record, 0..record.len()).collect::<Result<Vec<_>>>()? {
        let (1, Value::Bytes(all)) = (field, all) else { continue };
        for entry in Message::of(record, all) {
            let (1, Value::Bytes(entry)) = entry? else { continue };
            let (mut name, mut feature) = (Vec::new(), Feature::None);
            for part in Message::of(record, entry) {
                match part? {
                    (1, Value::Bytes(bytes)) => name = record[bytes].to_vec(),
                    (2, Value::Bytes(bytes)) => feature = self::feature(record, bytes)?,
                    _ => {}
                }
            }
            found.push((name, feature));
        }
    }
    Ok(found)
}

fn feature(record: &[u8], bytes: Range<usize>) -> Result<Feature> {
    let Some(list) = Message::of(record, bytes).next() else { return Ok(Feature::None) };
    let (kind, Value::Bytes(list)) = list? else { bail!("a feature is not a list") };
    if list.is_empty() {
        return Ok(Feature::None);
    }
    match kind {
        1 => match Message::of(record, list).next().transpose()? {
            Some((1, Value::Bytes(first))) => Ok(Feature::Bytes(first)),
            _ => bail!("a list of bytes has something else"),
        },
        2 => Ok(Feature::Float),
        3 => match Message::of(record, list).next().transpose()? {
            // Packed or not.
            Some((1, Value::Bytes(packed))) if packed.is_empty() => Ok(Feature::None),
            Some((1, Value::Bytes(packed))) => {
                let (number, _) = varint(&record[packed])?;
                Ok(Feature::Integer(number as i64))
            }
            Some((1, Value::Number(number))) => Ok(Feature::Integer(number as i64)),
            _ => bail!("a list of integers has something else"),
        },
        _ => bail!("a feature is neither bytes, floats nor integers"),
    }
}

/// The fields of a protocol buffer.
struct Message<'a> {
    record: &'a [u8],
    left: Range<usize>,
}

enum Value {
    Number(u64),
    /// Where they are in the record.
    Bytes(Range<usize>),
    /// 4 or 8 bytes.
    Fixed,
}

impl<'a> Message<'a> {
    fn of(record: &'a [u8], left: Range<usize>) -> Self {
        Self { record, left }
    }

    fn number(&mut self) -> Result<u64> {
        let (number, length) = varint(&self.record[self.left.clone()])?;
        self.left.start += length;
        Ok(number)
    }

    fn take(&mut self, length: u64) -> Result<Range<usize>> {
        let end = usize::try_from(length).ok().and_then(|length| self.left.start.checked_add(length));
        let end = end.filter(|end| *end <= self.left.end).context("its bytes end within a field")?;
        let taken = self.left.start..end;
        self.left.start = end;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u64, Value)> {
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.number()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            kind => bail!("not an Example: a field of the unknown kind {kind}"),
        };
        Ok((tag >> 3, value))
    }
}

impl Iterator for Message<'_> {
    type Item = Result<(u64, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.left.start = self.left.end;
        }
        Some(field)
    }
}

/// A number of seven bits a byte, and how many bytes it takes.
fn varint(bytes: &[u8]) -> Result<(u64, usize)> {
    let mut number = 0u64;
    for (place, &byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Ok((number, place + 1));
        }
    }
    bail!("a number without its end")
}
