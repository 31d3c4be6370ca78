//! A registered model, and the same with other values of its fields, whatever the type of its [`Config`].

use super::complexity::complexity;
use super::{Complexity, Config, Model};
use crate::nn::Store;
use crate::{Invalid, nearest};
use anyhow::{Context, Error, Result, anyhow, bail};
use serde_yaml::{Mapping, Value};

/// One registered model.
pub struct Entry {
    /// `source/name`.
    pub name: String,
    pub family: &'static str,
    config: Box<dyn ErasedConfig>,
}

impl Entry {
    /// A registered configuration.
    pub(super) fn new(name: String, family: &'static str, config: impl Config) -> Self {
        Self { name, family, config: Box::new(config) }
    }

    /// `torchvision`, `timm` or `paper`.
    pub fn source(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// The model with the registered values of all fields.
    pub fn architecture(&'static self) -> Result<Architecture> {
        self.with(&Mapping::new())
    }

    /// The model with these fields in place of the registered values.
    ///
    /// # Errors
    /// An unknown field (the nearest is named), or a value of the wrong type.
    pub fn with(&'static self, set: &Mapping) -> Result<Architecture> {
        let config = self.config.with(set).with_context(|| format!("`model` {}", self.name))?;
        Ok(Architecture { name: &self.name, family: self.family, config })
    }
}

/// A model with all its fields decided.
pub struct Architecture {
    pub name: &'static str,
    pub family: &'static str,
    config: Box<dyn ErasedConfig>,
}

impl Architecture {
    /// The network with its tensors in `store`.
    ///
    /// # Errors
    /// Fields that do not make a network.
    pub fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        self.config.build(store).with_context(|| format!("`model` {}", self.name))
    }

    /// Channels, height and width of the input at which the model's cost is stated.
    pub fn input(&self) -> [i64; 3] {
        self.config.input()
    }

    /// Parameters, MACs and activations for one image of shape `input`; allocates nothing.
    ///
    /// # Errors
    /// Fields that do not make a network, or an input that it cannot take.
    pub fn complexity(&self, input: [i64; 3]) -> Result<Complexity> {
        self.config.complexity(input).with_context(|| format!("`model` {}", self.name))
    }

    /// The number of trained values; allocates nothing.
    ///
    /// # Errors
    /// As [`Architecture::build`].
    pub fn count_parameters(&self) -> Result<u64> {
        let store = Store::meta();
        self.build(&store)?;
        Ok(store.count_parameters())
    }

    /// Every field of the `Config` with its value.
    pub fn fields(&self) -> Result<Mapping> {
        self.config.fields()
    }

    /// What a field is called now that once had this name.
    pub fn renamed(&self, field: &str) -> Option<&'static str> {
        self.config.renamed(field)
    }
}

/// A [`Config`] whose type the registry does not know.
trait ErasedConfig: Send + Sync {
    fn with(&self, set: &Mapping) -> Result<Box<dyn ErasedConfig>>;
    fn fields(&self) -> Result<Mapping>;
    /// What the field of this old name is called now, if this model has it.
    fn renamed(&self, field: &str) -> Option<&'static str>;
    fn input(&self) -> [i64; 3];
    fn build(&self, store: &Store) -> Result<Box<dyn Model>>;
    fn complexity(&self, input: [i64; 3]) -> Result<Complexity>;
}

impl<C: Config> ErasedConfig for C {
    fn with(&self, set: &Mapping) -> Result<Box<dyn ErasedConfig>> {
        let registered = ErasedConfig::fields(self)?;
        let note = self.renamed_note().map_or(String::new(), |note| format!("; {note}"));
        for field in set.keys() {
            let name = field.as_str().ok_or_else(|| anyhow!("a field's name must be text, not {field:?}"))?;
            if !registered.contains_key(name) {
                let message = if let Some(now) = ErasedConfig::renamed(self, name) {
                    format!("`{name}` is now `{now}`{note}")
                } else {
                    let known: Vec<&str> = registered.keys().filter_map(Value::as_str).collect();
                    let like = nearest(name, known.iter().copied()).unwrap_or_default();
                    let fields = known.join(", ");
                    format!("unknown field `{name}`; did you mean `{like}`? The fields are {fields}")
                };
                bail!(Invalid { keys: field_keys(name), unknown: true, message });
            }
        }
        let mut fields = registered.clone();
        fields.extend(set.clone());
        let error = match serde_yaml::from_value::<C>(fields.into()) {
            Ok(config) => return Ok(Box::new(config)),
            Err(error) => error,
        };
        // Once more, one by one, for the field that is wrong.
        for (field, value) in set {
            let mut one = registered.clone();
            one.insert(field.clone(), value.clone());
            let name = field.as_str().unwrap_or_default();
            if let Err(error) = serde_yaml::from_value::<C>(one.into()) {
                // It may be the old name of another field, whose values do not fit.
                let was = ErasedConfig::renamed(self, name)
                    .map_or(String::new(), |now| format!(" (what had this name is now `{now}`{note})"));
                let message = format!("field `{name}`{was}: {error}");
                bail!(Invalid { keys: field_keys(name), unknown: false, message });
            }
        }
        Err(Error::new(error))
    }

    fn fields(&self) -> Result<Mapping> {
        match serde_yaml::to_value(self)? {
            Value::Mapping(fields) => Ok(fields),
            _ => bail!("a model's configuration has no named fields"),
        }
    }

    fn renamed(&self, field: &str) -> Option<&'static str> {
        let (_, now) = <C as Config>::renamed().iter().find(|(old, _)| *old == field)?;
        let name = now.split(':').next()?;
        ErasedConfig::fields(self).ok()?.contains_key(name).then_some(*now)
    }

    fn input(&self) -> [i64; 3] {
        Config::input(self)
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        Config::build(self, store)
    }

    fn complexity(&self, input: [i64; 3]) -> Result<Complexity> {
        complexity(self, input)
    }
}

/// The keys that lead to a field of the model from the root of a run's configuration.
fn field_keys(field: &str) -> Vec<String> {
    vec!["model".to_owned(), field.to_owned()]
}
