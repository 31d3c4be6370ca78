//! A model as a file or a flag names it: a registered name and overridden fields.

use super::registry::{self, Entry};
use super::{Complexity, Config, Model, complexity};
use crate::nearest;
use crate::nn::Store;
use anyhow::{Context, Result, anyhow, bail};
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
        let value: Value = serde_yaml::from_str(value).with_context(|| format!("{field}={value}"))?;
        self.set.insert(field.into(), value);
        Ok(())
    }

    /// Finds the model and applies the overrides.
    ///
    /// # Errors
    /// An unknown name or field (the nearest is named), or a value of the wrong type.
    pub fn resolve(&self) -> Result<Architecture> {
        let entry = registry::find(&self.name)?;
        let config = entry.config.with(&self.set).with_context(|| format!("`model` {}", entry.name))?;
        Ok(Architecture { name: &entry.name, family: entry.family, config })
    }
}

impl TryFrom<Mapping> for ModelSpec {
    type Error = String;

    fn try_from(mut set: Mapping) -> Result<Self, String> {
        match set.shift_remove("name") {
            Some(Value::String(name)) => Ok(Self { name, set }),
            Some(_) => Err("`name` must be a model's name, such as `paper/resnet20`".into()),
            None => Err("missing `name`: the model's name, such as `paper/resnet20`".into()),
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

    /// What a field of this name is called now, if it had that name once.
    pub fn renamed(&self, field: &str) -> Option<&'static str> {
        self.config.renamed(field)
    }
}

/// A [`Config`] whose type the registry does not know.
pub(super) trait ErasedConfig: Send + Sync {
    fn with(&self, set: &Mapping) -> Result<Box<dyn ErasedConfig>>;
    fn fields(&self) -> Result<Mapping>;
    /// What the field of this old name is called now, where this model has it.
    fn renamed(&self, field: &str) -> Option<&'static str>;
    fn input(&self) -> [i64; 3];
    fn build(&self, store: &Store) -> Result<Box<dyn Model>>;
    fn complexity(&self, input: [i64; 3]) -> Result<Complexity>;
}

impl<C: Config> ErasedConfig for C {
    fn with(&self, set: &Mapping) -> Result<Box<dyn ErasedConfig>> {
        let registered = ErasedConfig::fields(self)?;
        for field in set.keys() {
            let name = field.as_str().ok_or_else(|| anyhow!("a field's name must be text, not {field:?}"))?;
            if !registered.contains_key(name) {
                if let Some(now) = ErasedConfig::renamed(self, name) {
                    bail!("unknown field: `{name}` is now `{now}`");
                }
                let known: Vec<&str> = registered.keys().filter_map(Value::as_str).collect();
                let like = nearest(name, known.iter().copied()).unwrap_or_default();
                bail!("unknown field `{name}`; did you mean `{like}`? The fields are {}", known.join(", "));
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
            let _: C = serde_yaml::from_value(one.into()).with_context(|| {
                // The name of something else once, whose values may not fit.
                let was = ErasedConfig::renamed(self, name).map(|now| format!(" (what it was is now `{now}`)"));
                format!("field `{name}`{}", was.unwrap_or_default())
            })?;
        }
        Err(error.into())
    }

    fn fields(&self) -> Result<Mapping> {
        match serde_yaml::to_value(self)? {
            Value::Mapping(fields) => Ok(fields),
            _ => bail!("a model's configuration has no named fields"),
        }
    }

    fn renamed(&self, field: &str) -> Option<&'static str> {
        let (_, now) = C::renamed().iter().find(|(old, _)| *old == field)?;
        ErasedConfig::fields(self).ok()?.contains_key(*now).then_some(*now)
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

impl Entry {
    /// A registered configuration.
    pub(super) fn new(name: String, family: &'static str, config: impl Config) -> Self {
        Self { name, family, config: Box::new(config) }
    }

    /// The model with the registered values of all fields.
    pub fn architecture(&self) -> Result<Architecture> {
        ModelSpec::new(&self.name).resolve()
    }
}
