//! A model as a file or a flag names it: a registered name and overridden fields.

use super::{Architecture, registry};
use crate::{Invalid, Usage, brief, yaml};
use anyhow::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_yaml::{Mapping, Value};

/// `{name: paper/resnext29, cardinality: 4}`: a registered name, and fields of its `Config` in place of the registered
/// values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Mapping", into = "Mapping")]
pub struct ModelSpec {
    pub name: String,
    pub set: Mapping,
}

impl ModelSpec {
    /// A registered model as it is.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), set: Mapping::new() }
    }

    /// Overrides one field; `value` is read as YAML.
    ///
    /// # Errors
    /// A value that is not YAML.
    pub fn set(&mut self, field: &str, value: &str) -> Result<()> {
        let value = yaml::value(value).map_err(|invalid| invalid.below(&format!("model.{field}")))?;
        self.set.insert(field.into(), value);
        Ok(())
    }

    /// Checks that the fields make a network; allocates nothing.
    ///
    /// # Errors
    /// As [`Self::resolve`] and [`Architecture::build`], as an [`Invalid`].
    pub fn check(&self) -> Result<()> {
        let check = |spec: &Self| spec.resolve()?.count_parameters().map(drop);
        check(self).map_err(|error| self.blame(&error, |spec| check(spec).is_ok()))
    }

    /// An error of this model, at the field whose registered value makes it work; at the last where there are several.
    pub(crate) fn blame(&self, error: &Error, works: impl Fn(&Self) -> bool) -> Error {
        let invalid = Invalid::of(error);
        if !invalid.keys.is_empty() {
            return invalid.into();
        }
        let works_without = |field: &&str| {
            let mut spec = self.clone();
            spec.set.shift_remove(field);
            works(&spec)
        };
        let field = self.set.keys().filter_map(Value::as_str).filter(works_without).last();
        let keys = ["model"].into_iter().chain(field).map(str::to_owned).collect();
        Invalid { keys, ..invalid }.into()
    }

    /// An error of a model that stands by itself, not in a run's file: without the keys of a file.
    pub fn usage(error: &Error) -> Usage {
        Usage(match error.downcast_ref::<Invalid>() {
            Some(Invalid { keys, message, unknown })
                if !unknown && keys.len() > 1 && error.chain().len() == 1 =>
            {
                match keys[1].as_str() {
                    "name" => message.clone(),
                    field => format!("`{field}`: {message}"),
                }
            }
            _ => brief(error),
        })
    }

    /// Finds the model and applies the overrides.
    ///
    /// # Errors
    /// An unknown name or field (those that are close are named), or a value of the wrong type.
    pub fn resolve(&self) -> Result<Architecture> {
        let keys = || ["model", "name"].map(str::to_owned).into();
        let unknown_name = |error| Invalid { keys: keys(), ..Invalid::of(&error) };
        registry::find(&self.name).map_err(unknown_name)?.with(&self.set)
    }
}

impl TryFrom<Mapping> for ModelSpec {
    type Error = String;

    fn try_from(mut set: Mapping) -> Result<Self, String> {
        match set.shift_remove("name") {
            Some(Value::String(name)) => Ok(Self { name, set }),
            Some(_) => Err("`name` must be text; write `model.name: resnet50`".into()),
            None => Err("`name` is missing; write `model.name: resnet50`".into()),
        }
    }
}

impl From<ModelSpec> for Mapping {
    fn from(spec: ModelSpec) -> Self {
        let mut mapping = Mapping::new();
        mapping.insert("name".into(), spec.name.into());
        mapping.extend(spec.set);
        mapping
    }
}
