//! The choices of successive halving, kept in the experiment's directory.

use super::metric::Metric;
use super::trial::Trial;
use crate::atomic;
use crate::statistics::mean;
use crate::train::EpochMetrics;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The choices made so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Choices(Vec<Choice>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Choice {
    epoch: u64,
    /// The trials that do not go on.
    dropped: Vec<String>,
}

/// Where they are kept.
const FILE: &str = "halving.json";

impl Choices {
    /// # Errors
    /// A file that cannot be read.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let Ok(text) = fs::read_to_string(&path) else { return Ok(Self::default()) };
        serde_json::from_str(&text).with_context(|| format!("{}: remove it", path.display()))
    }

    /// The epoch after which a trial was dropped.
    pub fn dropped(&self, trial: &Trial) -> Option<u64> {
        self.0.iter().find(|choice| choice.dropped.contains(&trial.id)).map(|choice| choice.epoch)
    }

    /// Ranks the variants that are still in by their means after `epoch`, and keeps the best of every `factor`. A choice
    /// once made stays.
    ///
    /// # Errors
    /// Records that cannot be read, or a file that cannot be written.
    pub fn choose(
        &mut self,
        dir: &Path,
        trials: &[&Trial],
        epoch: u64,
        factor: u64,
        metric: Metric,
    ) -> Result<()> {
        if self.0.iter().any(|choice| choice.epoch == epoch) {
            return Ok(());
        }
        let standing: Vec<&Trial> =
            trials.iter().copied().filter(|trial| self.dropped(trial).is_none()).collect();
        let mut ranked = Vec::new();
        for seeds in standing.chunk_by(|a, b| a.variant == b.variant) {
            let mut values = Vec::new();
            for trial in seeds {
                let rows = trial.run_dir(dir).epochs()?;
                let row = rows.iter().find(|row| row.epoch == epoch);
                values.extend(row.and_then(EpochMetrics::evaluation).map(|seen| metric.rank(seen)));
            }
            // A variant whose trials failed comes last.
            let whole = values.len() == seeds.len();
            ranked.push((mean(&values).filter(|_| whole).unwrap_or(f64::NEG_INFINITY), seeds));
        }
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let keep = ranked.len().div_ceil(usize::try_from(factor)?.max(2));
        let dropped = ranked.iter().skip(keep).flat_map(|(_, seeds)| seeds.iter().map(|t| t.id.clone()));
        self.0.push(Choice { epoch, dropped: dropped.collect() });
        atomic::write(&dir.join(FILE), &serde_json::to_vec_pretty(self)?)
    }
}
