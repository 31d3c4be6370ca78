//! Where the weights of a run start that are not initialised.

use super::run_dir::RunDir;
use super::run_weights::{self, RunWeights};
use crate::Invalid;
use crate::weights;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use tch::Tensor;

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

    /// The file of the weights, for the run in `dir`: trials of an experiment lie side by side.
    pub(super) fn path(&self, dir: &RunDir) -> Result<PathBuf> {
        match (&self.from, &self.trial) {
            (Some(from), _) => run_weights::file(from),
            (None, Some(trial)) => {
                let run = RunDir::new(dir.path().with_file_name(trial));
                if run.result()?.is_none() {
                    let at = run.path().display();
                    bail!("`init.trial`: {trial} is not done ({at}); it must run first");
                }
                run_weights::file(run.path())
            }
            (None, None) => bail!("`init` without weights"),
        }
    }

    /// Copies the weights at `path` into `model`.
    ///
    /// # Errors
    /// A file that does not hold weights, or layers that are missing or have other shapes.
    pub fn apply(&self, path: &Path, model: &[(String, Tensor)]) -> Result<()> {
        let RunWeights { state, .. } = RunWeights::open(path, None).context("`init`")?;
        let averaged = weights::has_averages(&state);
        let state = weights::checkpoint_weights(state, averaged)?.state_dict()?;
        if self.layers.is_empty() {
            return weights::load(&state, model)
                .context("`init`, without `layers` to choose among the model's");
        }
        let layers: Vec<(String, String)> = self.layers.clone().into_iter().collect();
        weights::take_over(&state, model, &layers).context("`init`")
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
