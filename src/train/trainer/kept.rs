//! The epochs whose weights are kept beside the last and the best.

use super::Trainer;
use anyhow::{Context, Result};
use std::fs;

impl Trainer<'_> {
    /// The epochs before this one whose weights are kept, if several are: those of the best evaluations.
    fn kept(&self) -> Vec<(u64, f64)> {
        let rows = self.progress.rows.iter();
        let metric = self.config.train.metric;
        let mut tested: Vec<_> =
            rows.filter_map(|row| Some((row.epoch, row.evaluation()?.score(metric)))).collect();
        tested.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        tested.truncate(self.config.train.keep_best);
        tested
    }

    /// Whether an evaluation is the run's best so far.
    pub(super) fn is_best(&self, score: f64) -> bool {
        let metric = self.config.train.metric;
        let best = self.progress.best.and_then(|(epoch, _)| {
            let row = self.progress.rows.iter().rev().find(|row| row.epoch == epoch)?;
            Some(row.evaluation()?.score(metric))
        });
        best.is_none_or(|best| score > best)
    }

    /// Whether the weights of an epoch that is being evaluated are among those that are kept.
    pub(super) fn is_kept(&self, epoch: u64, score: f64) -> bool {
        let count = self.config.train.keep_best;
        let better = self.kept().iter().filter(|kept| kept.0 < epoch && kept.1 >= score).count();
        self.config.train.keep.contains(&epoch) || count > 1 && better < count
    }

    /// Removes the weights of epochs that better ones have replaced.
    pub(super) fn drop_weights(&self) -> Result<()> {
        let kept = self.kept();
        let replaced = self.progress.rows.iter().map(|row| row.epoch).filter(|epoch| {
            let is_chosen = self.config.train.keep.contains(epoch);
            self.config.train.keep_best > 1 && !is_chosen && !kept.iter().any(|(kept, _)| kept == epoch)
        });
        replaced.map(|epoch| self.dir.epoch_weights(epoch)).filter(|path| path.exists()).try_for_each(
            |path| fs::remove_file(&path).with_context(|| format!("{}: cannot be removed", path.display())),
        )
    }
}
