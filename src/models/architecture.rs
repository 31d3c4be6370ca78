//! A registered model, and the same with other values of its fields, whatever the type of its [`Config`].

use super::complexity::complexity;
use super::guarded::Guarded;
use super::{Complexity, Config, Model};
use crate::names::did_you_mean;
use crate::nn::Store;
use crate::{Invalid, yaml};
use anyhow::{Context, Result, anyhow, bail};
use serde_yaml::{Mapping, Value};
use std::fmt;

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
    /// An unknown field (those that are close are named), or a value of the wrong type: an [`Invalid`].
    pub fn with(&'static self, set: &Mapping) -> Result<Architecture> {
        let config = self.config.with(&self.name, set)?;
        Ok(Architecture { name: &self.name, family: self.family, config })
    }
}

/// A model with all its fields decided.
pub struct Architecture {
    pub name: &'static str,
    pub family: &'static str,
    config: Box<dyn ErasedConfig>,
}

impl fmt::Debug for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Architecture")
            .field("name", &self.name)
            .field("fields", &self.config.fields())
            .finish()
    }
}

impl Architecture {
    /// The network with its tensors in `store`.
    ///
    /// # Errors
    /// Fields that do not make a network.
    pub fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        let net = self.config.build(store).context(self.name)?;
        Ok(Box::new(Guarded::new(net, store)))
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
        self.config.complexity(input).context(self.name)
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
    /// These fields in place of those of the model called `name`.
    fn with(&self, name: &str, set: &Mapping) -> Result<Box<dyn ErasedConfig>>;
    fn fields(&self) -> Result<Mapping>;
    /// What the field of this old name is called now, if this model has it.
    fn renamed(&self, field: &str) -> Option<&'static str>;
    fn input(&self) -> [i64; 3];
    fn build(&self, store: &Store) -> Result<Box<dyn Model>>;
    fn complexity(&self, input: [i64; 3]) -> Result<Complexity>;
}

impl<C: Config> ErasedConfig for C {
    fn with(&self, name: &str, set: &Mapping) -> Result<Box<dyn ErasedConfig>> {
        let mut fields = ErasedConfig::fields(self)?;
        let note = self.renamed_note().map_or(String::new(), |note| format!("; {note}"));
        for field in set.keys() {
            let field =
                field.as_str().ok_or_else(|| anyhow!("a field's name must be text, not {field:?}"))?;
            if !fields.contains_key(field) {
                let message = if let Some(now) = ErasedConfig::renamed(self, field) {
                    format!("`{field}` of {name} is now `{now}`{note}")
                } else {
                    let known: Vec<&str> = fields.keys().filter_map(Value::as_str).collect();
                    let all = format!("`tchvision models show {name}` lists its fields");
                    let meant = yaml::unknown_field(field, &known);
                    let meant = meant.unwrap_or_else(|| did_you_mean(field, known.iter().copied(), &all));
                    format!("unknown field `{field}` of {name}; {meant}")
                };
                bail!(Invalid { keys: vec!["model".to_owned(), field.to_owned()], unknown: true, message });
            }
        }
        fields.extend(set.clone());
        match yaml::from_value::<C>(&fields.into()) {
            Ok(config) => Ok(Box::new(config)),
            Err(error) => {
                let mut invalid = Invalid::of(&error);
                // It may be the old name of another field, whose values do not fit.
                let was = invalid.keys.first().and_then(|field| ErasedConfig::renamed(self, field));
                if let Some(now) = was {
                    invalid.message += &format!("; what had this name is now `{now}`{note}");
                }
                Err(invalid.below("model").into())
            }
        }
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
