//! The state of a run in one file: weights, averages, optimizer state and the position in the run.
//!
//! There is no random state: every random stream is derived from (seed, purpose, epoch, index), so the position is
//! enough.

use super::ema::Ema;
use super::optimizer::Optimizer;
use super::record::{EpochMetrics, TestMetrics};
use crate::tensorboard::Histogram;
use crate::weights::checkpoint::{AVERAGE, OPTIMIZER, PROGRESS};
use crate::weights::{self, About, StateFile};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;
use tch::Tensor;

/// How far a run has come, and what it has measured so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Completed epochs.
    pub epoch: u64,
    /// Completed batches of the current epoch.
    pub batch: u64,
    /// Optimizer steps since the start.
    pub step: u64,
    pub sums: Sums,
    pub rows: Vec<EpochMetrics>,
    pub points: Vec<Point>,
    #[serde(default)]
    pub snapshots: Vec<Snapshot>,
    /// Epoch and top-1 of the best evaluation.
    pub best: Option<(u64, f64)>,
    /// Of the last evaluation on the test images.
    #[serde(default)]
    pub test: Option<TestMetrics>,
    /// Seconds spent, over all processes.
    pub seconds: f64,
    /// The training and test pictures that could not be read.
    #[serde(default)]
    pub skipped: [Vec<usize>; 2],
    /// As `skipped`, of the validation pictures.
    #[serde(default)]
    pub skipped_validation: Vec<usize>,
    /// Micro-batches of a step, where there are several: at least as many as the configuration asks for, and more where several
    /// processes had one each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batches: Option<usize>,
}

impl Progress {
    /// Where the run of a checkpoint stands.
    ///
    /// # Errors
    /// A file that is not a checkpoint of a run.
    pub fn read(checkpoint: &Path) -> Result<Self> {
        Self::of(&StateFile::open(checkpoint)?).with_context(|| format!("{}", checkpoint.display()))
    }

    fn of(file: &StateFile) -> Result<Self> {
        Ok(serde_json::from_str(file.metadata(PROGRESS).context("no checkpoint of a run")?)?)
    }
}

/// Sums over the completed batches of the current epoch.
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

/// Histograms of all parameters after an epoch.
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

    /// Writes the run's state to `path` atomically.
    ///
    /// # Errors
    /// Weights that are not finite (the file is then as it was), or a file that cannot be written.
    pub fn save(&self, path: &Path, progress: &Progress, about: &About, with_optimizer: bool) -> Result<()> {
        for (name, tensor) in self.model.iter().filter(|(_, tensor)| tensor.is_floating_point()) {
            if tensor.detach().f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
                bail!(
                    "`{name}` is not finite after step {}; {} is kept as it was",
                    progress.step,
                    path.display()
                );
            }
        }
        let mut metadata = about.metadata()?;
        metadata.insert(PROGRESS.to_owned(), serde_json::to_string(progress)?);
        let mut tensors = self.tensors();
        tensors.retain(|(name, _)| with_optimizer || !name.starts_with(OPTIMIZER));
        weights::save(path, &tensors, metadata)
    }

    /// Reads the state back into the same tensors; also returns what the file says about itself; files of
    /// earlier versions say nothing.
    ///
    /// # Errors
    /// A file that is not a checkpoint of such a run.
    pub fn load(&self, path: &Path) -> Result<(Progress, Option<About>)> {
        let file = StateFile::open(path)?;
        let progress = Progress::of(&file)?;
        let has_state = file.names().iter().any(|name| name.starts_with(OPTIMIZER));
        ensure!(
            has_state || self.optimizer.state_dict().is_empty(),
            "the optimizer's state was not kept after the run's end (`train.keep_optimizer: false`)"
        );
        weights::load(&file.state_dict()?, &self.tensors())?;
        Ok((progress, About::of(&file)?))
    }
}

fn shared(tensors: &[(String, Tensor)], prefix: &str) -> Vec<(String, Tensor)> {
    tensors.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.shallow_clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Stream;

    /// Else a resumed run adds to another sum.
    #[test]
    fn numbers_are_read_back_to_the_last_digit() {
        let mut stream = Stream::new(0, "sums", 0, 0);
        for _ in 0..2000 {
            let mut draw = || stream.next_u64() as f64 / 1e16;
            let sums = Sums { loss: draw(), correct: draw(), images: draw() };
            let progress = Progress { sums, seconds: draw(), ..Progress::default() };
            let text = serde_json::to_string(&progress).unwrap();
            assert_eq!(serde_json::from_str::<Progress>(&text).unwrap(), progress);
        }
    }
}
