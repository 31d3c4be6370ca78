//! The state of a run in one file: weights, averages, optimizer state and the position in the run.
//!
//! Random state is not in it: every random stream is derived from (seed, purpose, epoch, index), so the position says
//! it all.

use super::ema::Ema;
use super::optimizer::Optimizer;
use super::record::EpochMetrics;
use crate::report::tensorboard::Histogram;
use crate::weights::{self, StateFile};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;
use tch::Tensor;

/// What the averages' names begin with, and the optimizer's; the model's keys stand as they are.
const AVERAGE: &str = "ema.";
const OPTIMIZER: &str = "optim.";
/// Where the progress stands in the file's metadata.
const PROGRESS: &str = "tchvision.progress";

/// Where a run stands, and what it has measured so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Epochs that are over.
    pub epoch: u64,
    /// Batches of the running epoch that are over.
    pub batch: u64,
    /// Optimizer steps since the start.
    pub step: u64,
    /// Sums over the batches of the running epoch.
    pub sums: Sums,
    pub rows: Vec<EpochMetrics>,
    pub points: Vec<Point>,
    #[serde(default)]
    pub snapshots: Vec<Snapshot>,
    /// Epoch and top-1 of the best evaluation.
    pub best: Option<(u64, f64)>,
    /// Seconds spent, over all processes.
    pub seconds: f64,
    /// The training and test pictures that could not be read.
    #[serde(default)]
    pub skipped: [Vec<usize>; 2],
}

/// What an epoch adds up on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums {
    pub loss: f64,
    pub correct: f64,
    pub images: f64,
}

/// A point of the training curve within an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Point {
    pub step: u64,
    pub loss: f64,
    pub lr: f64,
    pub wall_time: f64,
}

/// How the values of each parameter were spread after an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub epoch: u64,
    pub wall_time: f64,
    pub histograms: Vec<(String, Histogram)>,
}

/// The tensors of a run that a checkpoint keeps.
pub(super) struct State<'a> {
    pub model: &'a [(String, Tensor)],
    pub ema: Option<&'a Ema>,
    pub optimizer: &'a Optimizer,
}

impl State<'_> {
    /// All tensors under the names they have in the file.
    fn tensors(&self) -> Vec<(String, Tensor)> {
        let mut tensors = self.optimizer.state_dict();
        tensors.extend(shared(self.model, ""));
        if let Some(ema) = self.ema {
            tensors.extend(shared(ema.state_dict(), AVERAGE));
        }
        tensors
    }

    /// Writes the run's state to `path` whole or not at all.
    ///
    /// # Errors
    /// Weights that are not finite (the file is then as it was), or a file that cannot be written.
    pub fn save(&self, path: &Path, progress: &Progress) -> Result<()> {
        for (name, tensor) in self.model.iter().filter(|(_, tensor)| tensor.is_floating_point()) {
            if tensor.detach().f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
                bail!(
                    "`{name}` is not finite after step {}; {} is kept as it was",
                    progress.step,
                    path.display()
                );
            }
        }
        let metadata = HashMap::from([(PROGRESS.to_owned(), serde_json::to_string(progress)?)]);
        weights::save(path, &self.tensors(), metadata)
    }

    /// Reads the state back into the same tensors.
    ///
    /// # Errors
    /// A file that is not a checkpoint of this run.
    pub fn load(&self, path: &Path) -> Result<Progress> {
        let file = StateFile::open(path)?;
        let remedy =
            || format!("{}: not a checkpoint of this run; move it away to start afresh", path.display());
        let progress = file.metadata(PROGRESS).with_context(remedy)?;
        let progress = serde_json::from_str(progress).with_context(remedy)?;
        weights::load(&file.state_dict()?, &self.tensors()).with_context(remedy)?;
        Ok(progress)
    }
}

/// The weights in a checkpoint of a run: those that are trained, or their averages. Another file has only the former, and is
/// returned as it is.
///
/// # Errors
/// A file without averages.
pub fn checkpoint_weights(file: StateFile, averaged: bool) -> Result<StateFile> {
    let is_average = |name: &String| name.starts_with(AVERAGE);
    let has_averages = file.metadata(PROGRESS).is_some() && file.names().iter().any(is_average);
    ensure!(
        has_averages || !averaged,
        "{}: not the checkpoint of a run with `train.ema`",
        file.path().display()
    );
    if file.metadata(PROGRESS).is_none() {
        return Ok(file);
    }
    Ok(file.renamed(|name| match name.strip_prefix(AVERAGE) {
        Some(name) => averaged.then_some(name),
        None => (!averaged && !name.starts_with(OPTIMIZER)).then_some(name),
    }))
}

/// Writes a model's weights alone, under its own keys.
pub(super) fn save_weights(
    path: &Path,
    state_dict: &[(String, Tensor)],
    about: &[(&str, String)],
) -> Result<()> {
    let metadata = about.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    weights::save(path, state_dict, metadata)
}

fn shared(tensors: &[(String, Tensor)], prefix: &str) -> Vec<(String, Tensor)> {
    tensors.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.shallow_clone())).collect()
}
