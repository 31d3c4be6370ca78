//! Which columns of a file of Parquet have the pictures and the labels.

use crate::data::files::fields::Fields;
use ::parquet::basic::Type;
use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::schema::types::ColumnDescriptor;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};
use std::fmt;

/// What the column of pictures may be called where nothing says which it is.
const PICTURES: &[&str] = &["image", "img", "picture", "jpg", "png"];
/// What the column of labels may be called, the first of them that is there.
const LABELS: &[&str] = &["label", "fine_label", "labels", "class", "cls", "category", "target"];
/// Where `datasets` keeps what its columns are.
const METADATA: &str = "huggingface";

/// The columns that are read of a file.
pub(super) struct Columns {
    pub picture: Column,
    pub label: Column,
    /// The names of the classes, where the file has them.
    pub names: Option<Vec<String>>,
}

/// A column without lists.
#[derive(Clone, Copy)]
pub(super) struct Column {
    /// Its place among the leaves of the schema.
    pub at: usize,
    /// The definition level of values that are there.
    pub depth: i16,
}

/// What a row says of its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Number(i64),
    Name(Box<str>),
}

impl Label {
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Number(_) => None,
            Self::Name(name) => Some(name),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "`{name:.80}`"),
        }
    }
}

impl Columns {
    /// Those that `fields` names, else the usual ones.
    pub fn of(metadata: &ParquetMetaData, fields: &Fields) -> Result<Self> {
        let file = metadata.file_metadata();
        let features = features(file.key_value_metadata().and_then(|pairs| {
            pairs.iter().find(|pair| pair.key == METADATA).and_then(|pair| pair.value.as_deref())
        }));
        let leaves: Vec<(String, &ColumnDescriptor)> =
            file.schema_descr().columns().iter().map(|leaf| (leaf.path().string(), &**leaf)).collect();
        let find = |name: &str| leaves.iter().position(|(path, _)| path == name);
        let of_type = |kind: &str| {
            let is = |feature: &Value| feature["_type"] == kind;
            features
                .iter()
                .filter(move |(_, feature)| is(feature))
                .map(|(name, _)| name.as_str())
                .collect::<Vec<_>>()
        };
        let all = || leaves.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>().join(", ");

        let pictures = match (&fields.picture, of_type("Image")) {
            (Some(name), _) => vec![name.as_str()],
            (None, known) if known.is_empty() => PICTURES.to_vec(),
            (None, known) => known,
        };
        let is_bytes = |at: &usize| leaves[*at].1.physical_type() == Type::BYTE_ARRAY;
        let picture = pictures
            .iter()
            .find_map(|name| find(&format!("{name}.bytes")).or_else(|| find(name)))
            .filter(is_bytes)
            .with_context(|| {
                let name = fields.picture.as_deref().unwrap_or("image");
                format!("no column of pictures, such as `{name}.bytes`; there are {:.300}", all())
            })?;

        let classes = of_type("ClassLabel");
        let named = LABELS.iter().find(|name| find(name).is_some()).copied();
        let label = match (fields.label.as_deref().or(named), &classes[..]) {
            (Some(name), _) | (None, &[name]) => name,
            (None, []) => {
                bail!("no column of labels: one of {}; there are {:.300}", LABELS.join(", "), all())
            }
            (None, several) => bail!("which of {} is the label is not clear", several.join(", ")),
        };
        let label_at = find(label).with_context(|| {
            format!("there is no column `{label}` of plain values; there are {:.300}", all())
        })?;
        let column = |at: usize| -> Result<Column> {
            let (path, leaf) = &leaves[at];
            ensure!(leaf.max_rep_level() == 0, "`{path}` has lists in its rows, and one value a row is read");
            Ok(Column { at, depth: leaf.max_def_level() })
        };
        Ok(Self { picture: column(picture)?, label: column(label_at)?, names: names(&features, label) })
    }
}

/// What `datasets` says of its columns.
fn features(text: Option<&str>) -> Map<String, Value> {
    let parsed = text.and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
    parsed["info"]["features"].as_object().cloned().unwrap_or_default()
}

/// The names of the classes of a label.
fn names(features: &Map<String, Value>, label: &str) -> Option<Vec<String>> {
    let names = features.get(label)?["names"].as_array()?;
    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}
