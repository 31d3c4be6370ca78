//! Successive halving (1502.07943): all variants train a little, the better ones go on.

use super::collect::mean;
use super::plan::Trial;
use super::run::trial_dir;
use super::spec::Metric;
use super::status::epochs;
use crate::atomic;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// `{first: 2, factor: 3}`: after 2 epochs the best third goes on, after 6 the best third of these, and so on to the end.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Halving {
    /// Epochs before the first choice.
    pub first: u64,
    #[serde(default = "three")]
    pub factor: u64,
}

fn three() -> u64 {
    3
}

impl Halving {
    /// The epochs after which a choice is made, in a run of `epochs`.
    pub fn rungs(&self, epochs: u64) -> Vec<u64> {
        let next = |&rung: &u64| rung.checked_mul(self.factor.max(2));
        std::iter::successors(Some(self.first.max(1)), next).take_while(|&rung| rung < epochs).collect()
    }
}

/// The choices that are made, kept in the experiment's directory.
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
                let rows = epochs(&trial_dir(dir, trial))?;
                let row = rows.iter().find(|row| row.epoch == epoch);
                values.extend(row.and_then(|row| match metric {
                    Metric::Loss => row.test_loss.map(|loss| -loss),
                    _ => row.test_top1,
                }));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_grow_by_the_factor_and_end_before_the_run() {
        assert_eq!(Halving { first: 2, factor: 3 }.rungs(20), [2, 6, 18]);
        assert_eq!(Halving { first: 1, factor: 2 }.rungs(4), [1, 2]);
        assert!(Halving { first: 5, factor: 2 }.rungs(5).is_empty());
    }
}
