//! Which experiment a verb is about.

use anyhow::Result;
use std::path::{Path, PathBuf};
use tchvision::experiment::{Experiment, Plan};

/// Which experiment, and where it runs.
#[derive(clap::Args)]
pub struct Which {
    /// The experiment's YAML file, or its run directory
    #[arg(value_name = "FILE|DIR")]
    pub(super) path: PathBuf,
    /// Values in place of the file's, such as train.epochs=3 or seeds=1
    #[arg(value_name = "KEY.PATH=VALUE")]
    pub(super) overrides: Vec<String>,
    /// The run directory; runs/NAME when absent
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    #[arg(long)]
    pub(super) json: bool,
}

impl Which {
    pub(super) fn experiment(&self) -> Result<Experiment> {
        Experiment::read(&self.path, &self.overrides)
    }

    /// With what the run directory adds.
    pub(super) fn plan(&self, experiment: &Experiment) -> Result<Plan> {
        experiment.plan_in(&self.dir(experiment))
    }

    pub(super) fn dir(&self, experiment: &Experiment) -> PathBuf {
        match &self.out {
            Some(out) => out.clone(),
            None if self.path.is_dir() => self.path.clone(),
            None => Path::new("runs").join(&experiment.name),
        }
    }
}
