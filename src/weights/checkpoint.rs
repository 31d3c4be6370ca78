//! The names in the checkpoint of a run, `last.safetensors`: the model's keys as they are, and what training adds to them.

use super::StateFile;
use anyhow::{Result, ensure};

/// What the names of the averages begin with.
pub(crate) const AVERAGE: &str = "ema.";
/// What the names of the optimizer's state begin with.
pub(crate) const OPTIMIZER: &str = "optim.";
/// Where the progress stands in the file's metadata.
pub(crate) const PROGRESS: &str = "tchvision.progress";
/// Where a file of weights says what it is; see [`super::About`].
pub(crate) const ABOUT: &str = "tchvision";

/// Whether a file is a checkpoint with averaged weights beside the trained ones.
pub fn has_averages(file: &StateFile) -> bool {
    file.metadata(PROGRESS).is_some() && file.names().iter().any(|name| name.starts_with(AVERAGE))
}

/// The weights in a checkpoint of a run: those that are trained, or their averages. A file that is no checkpoint is returned
/// as it is.
///
/// # Errors
/// A file without averages.
pub fn checkpoint_weights(file: StateFile, averaged: bool) -> Result<StateFile> {
    ensure!(
        !averaged || has_averages(&file),
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
