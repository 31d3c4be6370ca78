//! Taking over weights that a run starts from.

use super::init_config::InitConfig;
use super::run_dir::RunDir;
use super::run_weights::{self, RunWeights};
use crate::weights;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use tch::Tensor;

impl InitConfig {
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
