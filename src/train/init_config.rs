//! Weights that a run starts from, as written in YAML.

use crate::Invalid;
use crate::weights::{HUB, catalogue};
use anyhow::Result;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Weights that a run starts from: a bare text in YAML is its `from`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct InitConfig {
    /// Public weights (`resnet50.a1_in1k`), a file, a folder with one, the directory of a run, or `hf:OWNER/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Another trial of the same experiment, which runs first; its weights are those at its end. In the file of an
    /// experiment the name of a variant, or `KEY=VALUE` pairs with commas between: its trial of the same seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<String>,
    /// The state_dict under this key, where the file has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// A file that pairs the weights' names with the model's, as of `tchvision weights map`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<PathBuf>,
    /// The averaged weights of a run, or the raw ones. Default: averaged, where there are such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<bool>,
    /// Default: kept where the weights have as many classes as the data, else new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// Single layers by their key in the model, and their key in the weights: `features.5: features.3`. Default: all of
    /// the model.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub layers: BTreeMap<String, String>,
    /// Of the file. A run writes it into its `config.yaml`, and goes on with these weights alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// The classifier of a run that starts from weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Head {
    /// Initialised, also where the weights have as many classes.
    New,
    /// That of the weights, which must have as many classes.
    Keep,
}

/// What ends the name of a file of weights.
const ENDINGS: [&str; 8] = ["safetensors", "pth", "pt", "bin", "npz", "npy", "ckpt", "tar"];

impl InitConfig {
    /// Checks what can be known without the weights; `at` is where this stands in a run's configuration.
    pub(super) fn validate(&self, at: &str) -> Result<(), Invalid> {
        let invalid = |key: &str, message: String| Invalid::value(&format!("{at}.{key}"), message);
        let from = match (&self.from, &self.trial) {
            (Some(from), None) => from,
            (None, Some(_)) => return self.check_layers(at),
            _ => {
                let message = "takes either `from: WEIGHTS` or, in an experiment, `trial: VARIANT`";
                return Err(Invalid::value(at, message));
            }
        };
        if self.is_public() {
            catalogue::find(from).map_err(|error| invalid("from", crate::brief(&error)))?;
        }
        if let Some(repository) = from.strip_prefix(HUB) {
            let parts: Vec<&str> = repository.split('/').collect();
            let plain = |part: &&str| {
                let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
                !part.is_empty() && !part.starts_with('.') && part.chars().all(known)
            };
            if parts.len() != 2 || !parts.iter().all(plain) {
                let message = format!("`{from}` is no repository of the hub; write `hf:OWNER/NAME`");
                return Err(invalid("from", message));
            }
        }
        self.check_layers(at)
    }

    fn check_layers(&self, at: &str) -> Result<(), Invalid> {
        let others = [("head", self.head.is_some()), ("map", self.map.is_some())];
        match others.into_iter().find(|(_, given)| *given && !self.layers.is_empty()) {
            Some((key, _)) => {
                let message = "is for all of the model, and `layers` takes over some; remove one";
                Err(Invalid::value(&format!("{at}.{key}"), message))
            }
            None => Ok(()),
        }
    }

    /// Whether `from` names public weights, and no place on this machine or the hub.
    pub(super) fn is_public(&self) -> bool {
        self.from.as_deref().is_some_and(|from| {
            let path = Path::new(from);
            let has_ending = path.extension().is_some_and(|end| ENDINGS.iter().any(|known| end == *known));
            let library = ["torchvision/", "timm/", "paper/"].iter().any(|library| from.starts_with(library));
            !from.starts_with(HUB) && !path.exists() && !has_ending && (library || !from.contains('/'))
        })
    }
}

impl<'de> Deserialize<'de> for InitConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Spelling;
        impl<'de> Visitor<'de> for Spelling {
            type Value = InitConfig;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(
                    "the name or place of weights, or a mapping such as {from: resnet50.a1_in1k, head: new}",
                )
            }
            fn visit_str<E>(self, from: &str) -> Result<InitConfig, E> {
                Ok(InitConfig { from: Some(from.to_owned()), ..InitConfig::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<InitConfig, A::Error> {
                let fields = Fields::deserialize(MapAccessDeserializer::new(map))?;
                let Fields { from, trial, key, map, ema, head, layers, sha256 } = fields;
                Ok(InitConfig { from, trial, key, map, ema, head, layers, sha256 })
            }
        }
        deserializer.deserialize_any(Spelling)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Fields {
    from: Option<String>,
    trial: Option<String>,
    key: Option<String>,
    map: Option<PathBuf>,
    ema: Option<bool>,
    head: Option<Head>,
    layers: BTreeMap<String, String>,
    sha256: Option<String>,
}

/// In the lines before a run: `4 layers of FILE`.
impl fmt::Display for InitConfig {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.layers.len() {
            0 => {}
            n => write!(f, "{n} layers of ")?,
        }
        match (&self.from, &self.trial) {
            (Some(from), _) => f.write_str(from),
            (None, trial) => write!(f, "trial {}", trial.as_deref().unwrap_or_default()),
        }
    }
}
