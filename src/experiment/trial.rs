//! One run of an experiment.

use super::metric::Cost;
use super::setting::{Settings, label};
use crate::train::{Change, RunConfig, RunDir, RunResult, changes};
use anyhow::Result;
use serde::Serialize;
use serde_json::Map;
use std::path::Path;

/// One run of the experiment.
#[derive(Clone, Serialize)]
pub struct Trial {
    /// Names the trial's directory.
    pub id: String,
    /// The values of the axes by their key paths, and `variant` for a named one.
    pub variant: Settings,
    /// The knobs that were solved: for equal cost, and by compound scaling.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub solved: Settings,
    pub seed: u64,
    pub model: String,
    pub params: u64,
    pub macs: u64,
    pub activations: u64,
    /// The trial whose weights it starts from, which runs first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    #[serde(skip)]
    pub classes: i64,
    #[serde(skip)]
    pub config: RunConfig,
}

impl Trial {
    /// The settings of the variant, for people: `cardinality 4, depth 20`.
    pub fn label(&self) -> String {
        label(&self.variant)
    }

    pub fn cost(&self, cost: Cost) -> u64 {
        match cost {
            Cost::Params => self.params,
            Cost::Macs => self.macs,
            Cost::Activations => self.activations,
        }
    }

    /// The knobs that were solved, for people: `base_width 12`.
    pub fn solved(&self) -> String {
        label(&self.solved)
    }

    /// Its run directory in the experiment's.
    pub fn run_dir(&self, experiment: &Path) -> RunDir {
        RunDir::new(experiment.join("trials").join(&self.id))
    }

    /// The result, if it is done with these very settings.
    pub(super) fn result(&self, experiment: &Path) -> Result<Option<RunResult>> {
        let dir = self.run_dir(experiment);
        let Some(there) = dir.config()? else { return Ok(None) };
        let same = !changes(&there, &self.config)?.iter().any(Change::is_of_identity);
        if same { dir.result() } else { Ok(None) }
    }
}
