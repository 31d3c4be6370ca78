//! Where the weights of a run start that are not initialised, as written in YAML.

use crate::Invalid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Weights taken over from another net, such as those of a shallower VGG (1409.1556, section 3.1): those of a file or of
/// another trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitConfig {
    /// A file of weights, or the directory of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Another trial of the same experiment, which runs first; its weights are those at its end. In the file of an
    /// experiment the name of a variant, or `KEY=VALUE` pairs with commas between: its trial of the same seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<String>,
    /// Each layer by its key in the model, and its key in the weights: `features.5: features.3`. Default: all of the model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layers: BTreeMap<String, String>,
}

impl InitConfig {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        match (&self.from, &self.trial) {
            (Some(_), None) | (None, Some(_)) => Ok(()),
            _ => Err(Invalid::value(
                "init",
                "takes either `from: FILE` or, in an experiment, `trial: VARIANT`",
            )),
        }
    }
}

/// In the lines before a run: `4 layers of FILE`.
impl fmt::Display for InitConfig {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.layers.len() {
            0 => f.write_str("all of ")?,
            n => write!(f, "{n} layers of ")?,
        }
        match (&self.from, &self.trial) {
            (Some(from), _) => write!(f, "{}", from.display()),
            (None, trial) => write!(f, "trial {}", trial.as_deref().unwrap_or_default()),
        }
    }
}
