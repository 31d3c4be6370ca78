//! The epochs whose weights are kept beside the last and the best.

use super::Trainer;
use anyhow::{Context, Result};
use std::fs;

impl Trainer<'_> {
    /// The epochs before this one whose weights are kept, if several are: those of the best evaluations.
    fn kept(&self) -> Vec<(u64, f64)> {
        let rows = self.progress.rows.iter();
        let mut tested: Vec<_> = rows.filter_map(|row| Some((row.epoch, row.evaluation()?.top1))).collect();
        tested.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        tested.truncate(self.config.train.keep_best);
        tested
    }

    /// Whether the weights of an epoch that is being evaluated are among those that are kept.
    pub(super) fn is_kept(&self, epoch: u64, top1: f64) -> bool {
        let count = self.config.train.keep_best;
        let better = self.kept().iter().filter(|kept| kept.0 < epoch && kept.1 >= top1).count();
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
