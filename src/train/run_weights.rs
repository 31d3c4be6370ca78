//! The weights that a path means, with what is known of them.

use super::config::RunConfig;
use super::run_dir::RunDir;
use super::trainer::about;
use crate::Usage;
use crate::weights::{About, Archive, StateFile, folder};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Weights in a file, of a run here or of anybody.
pub struct RunWeights {
    pub state: StateFile,
    /// What they say of themselves; `None` where no run here has trained them.
    pub about: Option<About>,
    /// What is assumed of them.
    pub note: Option<String>,
}

impl RunWeights {
    /// Those of a file, or of the run in a directory as they are at its end; `key` chooses among the state_dicts of a file.
    ///
    /// # Errors
    /// A directory without weights ([`Usage`]), a file that is none, or of a run whose data cannot be read where the file
    /// was written before weights said what they are.
    pub fn open(path: &Path, key: Option<&str>) -> Result<Self> {
        let file = file(path)?;
        let state = Archive::open(&file)?.choose(key)?;
        let (mut about, mut note) = (About::of(&state)?, None);
        if about.is_none()
            && let Some(config) = config(&file)?
        {
            about = Some(self::about(&config).with_context(|| format!("{}: its run", file.display()))?);
            note = Some(format!(
                "{}: written before weights said what they are; the run's config.yaml is taken",
                file.display()
            ));
        }
        Ok(Self { state, about, note })
    }
}

/// The file itself, or the weights of a run's directory or of any other folder with one file of weights.
pub(super) fn file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let run = RunDir::new(path);
    let found = [run.checkpoint(), run.best_weights()].into_iter().find(|file| file.exists());
    let refused =
        |error| Usage(format!("{}: no run has left weights in this folder; {error}", path.display())).into();
    found.map_or_else(|| folder::find(path).map_err(refused), Ok)
}

/// The configuration of the run in whose directory a file of weights lies.
fn config(file: &Path) -> Result<Option<RunConfig>> {
    let run = RunDir::new(file.parent().unwrap_or(Path::new("")));
    let is_own = [run.checkpoint(), run.best_weights()].iter().any(|own| own == file);
    if is_own { run.config() } else { Ok(None) }
}
