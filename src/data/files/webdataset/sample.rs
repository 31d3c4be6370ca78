//! A sample of a shard: files of one name. What follows the first dot of a file's name, in lower case, is its field.

use super::super::archive::Archive;
use super::super::index::Entry;
use super::super::listing::{BYTE_ORDER_MARK, EXTENSIONS, base};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fmt;

/// Upper bound on the size of a label file.
const MAX_LABEL_BYTES: u64 = 16 << 20;

/// Where the label of a sample is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LabelAt {
    /// `cls`, else `label` or `cls` of `json`.
    Usual,
    /// The text of a field.
    Field(String),
    /// A value in a field of JSON: its keys from the outside in, as one text with dots.
    Json { field: String, path: String },
}

impl LabelAt {
    /// `index`, `json:annotation.class`.
    pub fn of(text: &str) -> Self {
        match text.split_once(':') {
            Some((field, path)) => Self::Json {
                field: field.trim_start_matches('.').to_ascii_lowercase(),
                path: path.to_owned(),
            },
            None => Self::Field(text.trim_start_matches('.').to_ascii_lowercase()),
        }
    }
}

impl fmt::Display for LabelAt {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Usual => Ok(()),
            Self::Field(field) => f.write_str(field),
            Self::Json { field, path } => write!(f, "{field}:{path}"),
        }
    }
}

/// The label of a sample as a text, or why it has none.
pub(super) type Labelled = Result<String, String>;

/// The fields of a sample, in lower case.
pub(super) struct Sample<'a>(Vec<(String, &'a Entry)>);

impl<'a> Sample<'a> {
    pub fn of(entries: &'a [Entry]) -> Result<Self> {
        let mut fields: Vec<(String, &Entry)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let field = parts(&entry.path).map_or(String::new(), |(_, field)| field.to_ascii_lowercase());
            ensure!(fields.iter().all(|(known, _)| *known != field), "the field `{field}` is there twice");
            fields.push((field, entry));
        }
        Ok(Self(fields))
    }

    fn get(&self, field: &str) -> Option<&'a Entry> {
        self.0.iter().find(|(name, _)| name == field).map(|(_, entry)| *entry)
    }

    /// The picture and its field: `wanted`; else `jpg`, `jpeg`, `png` and so on, the first of them that is there; in a sample
    /// without them the only one such as `rgb.png`.
    pub fn picture(&self, wanted: Option<&str>) -> Result<(&str, &'a Entry)> {
        if let Some(wanted) = wanted {
            let found = self.0.iter().find(|(name, _)| name == wanted);
            let (field, entry) = found.with_context(|| format!("it has no .{wanted}; {}", self.fields()))?;
            return Ok((field, entry));
        }
        if let Some((field, entry)) = EXTENSIONS.iter().find_map(|field| Some((*field, self.get(field)?))) {
            return Ok((field, entry));
        }
        let is_picture = |field: &str| EXTENSIONS.iter().any(|known| field.ends_with(&format!(".{known}")));
        let mut pictures = self.0.iter().filter(|(field, _)| is_picture(field));
        match (pictures.next(), pictures.next()) {
            (Some((field, entry)), None) => Ok((field, entry)),
            (None, _) => bail!("it has no image; {}", self.fields()),
            _ => bail!(
                "which of its images is the picture is not clear; name that `KEY.jpg`, or set `data.field`; {}",
                self.fields()
            ),
        }
    }

    /// What follows the first dots of the names, for messages.
    fn fields(&self) -> String {
        let names: Vec<String> = self.0.iter().take(8).map(|(field, _)| format!(".{field}")).collect();
        let more = if self.0.len() > 8 { " and others" } else { "" };
        format!("what follows the first dot of its files' names: {}{more}", names.join(", "))
    }

    /// The label; a null, a negative number and an empty text are none.
    ///
    /// # Errors
    /// What is no label at all, such as a list, or a field that cannot be read.
    pub fn label(&self, archive: &Archive, at: &LabelAt) -> Result<Labelled> {
        let read = |field: &str| -> Result<Option<Vec<u8>>> {
            let Some(entry) = self.get(field) else { return Ok(None) };
            ensure!(entry.size <= MAX_LABEL_BYTES, "`{}`: {} bytes are too many", entry.path, entry.size);
            archive.bytes(entry.start, entry.size).map(Some)
        };
        match at {
            LabelAt::Usual => {
                if let Some(bytes) = read("cls")? {
                    return plain(&bytes);
                }
                let Some(bytes) = read("json")? else {
                    return Ok(Err(format!(
                        "it has neither a .cls nor a .json with a label; {}",
                        self.fields()
                    )));
                };
                let json = json(&bytes, "json")?;
                match json.get("label").or_else(|| json.get("cls")) {
                    Some(value) => of_json(value),
                    None => Ok(Err("its .json has neither `label` nor `cls`".to_owned())),
                }
            }
            LabelAt::Field(field) => match read(field)? {
                Some(bytes) => plain(&bytes),
                None => Ok(Err(format!("it has no .{field}; {}", self.fields()))),
            },
            LabelAt::Json { field, path } => match read(field)? {
                Some(bytes) => match find(&json(&bytes, field)?, path) {
                    Some(value) => of_json(value),
                    None => Ok(Err(format!("its .{field} has no `{path}`"))),
                },
                None => Ok(Err(format!("it has no .{field}; {}", self.fields()))),
            },
        }
    }
}

fn plain(bytes: &[u8]) -> Result<Labelled> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches(BYTE_ORDER_MARK).trim();
    ensure!(!text.contains(['\n', '\r']), "its label {text:.50?} has several lines");
    Ok(match text.parse::<i64>() {
        _ if text.is_empty() => Err("its label is empty".to_owned()),
        Ok(-1) => Err("its label is -1".to_owned()),
        _ => Ok(text.to_owned()),
    })
}

fn json(bytes: &[u8], field: &str) -> Result<Value> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(bytes);
    serde_json::from_slice(bytes).with_context(|| format!("its .{field} is not valid JSON"))
}

/// The value under a key, which may have dots itself, or under keys within each other.
fn find<'a>(json: &'a Value, path: &str) -> Option<&'a Value> {
    let step = |value: &'a Value, key: &str| match value {
        Value::Array(list) => list.get(key.parse::<usize>().ok()?),
        value => value.get(key),
    };
    json.get(path).or_else(|| path.split('.').try_fold(json, step))
}

fn of_json(value: &Value) -> Result<Labelled> {
    match value {
        Value::Null => Ok(Err("its label is null".to_owned())),
        Value::String(text) => plain(text.as_bytes()),
        Value::Number(number) => plain(number.to_string().as_bytes()),
        other => bail!("its label {:.50} is neither the number nor the name of a class", other.to_string()),
    }
}

/// Splits a path at the first dot of its last component: the sample's key and the field. `None` if either is empty.
pub(super) fn parts(path: &str) -> Option<(&str, &str)> {
    let name = path.len() - base(path).len();
    let dot = name + path[name..].find('.')?;
    (dot > name && dot + 1 < path.len()).then_some((&path[..dot], &path[dot + 1..]))
}
