//! When a run ends.

use crate::train::checkpoint::Progress;
use crate::train::{EpochMetrics, TrainConfig, Watched};

pub struct Budget {
    /// Of the whole run.
    pub steps: u64,
    /// Seconds after which the current epoch is the last.
    seconds: Option<f64>,
    /// Evaluations in a row without a new best after which the run ends.
    patience: Option<u64>,
    /// By what that is known.
    metric: Watched,
}

impl Budget {
    /// `steps_per_epoch` times the epochs, or the steps of the configuration if these are fewer.
    pub fn new(config: &TrainConfig, steps_per_epoch: u64) -> Self {
        let all = steps_per_epoch.saturating_mul(config.epochs);
        let steps = config.steps.map_or(all, |steps| steps.min(all));
        let &TrainConfig { minutes, patience, metric, .. } = config;
        Self { steps, seconds: minutes.map(|minutes| 60.0 * minutes), patience, metric }
    }

    /// Whether all steps are done or the time is up.
    pub fn is_spent(&self, progress: &Progress) -> bool {
        progress.step >= self.steps || self.seconds.is_some_and(|seconds| progress.seconds >= seconds)
    }

    /// Whether the run is complete: the budget is spent, or patience ran out.
    pub fn is_over(&self, progress: &Progress) -> bool {
        let impatient = self.patience.is_some_and(|patience| since_best(progress, self.metric) >= patience);
        impatient || self.is_spent(progress)
    }
}

/// Evaluations since the best one.
fn since_best(progress: &Progress, metric: Watched) -> u64 {
    let scores = progress.rows.iter().filter_map(EpochMetrics::evaluation).map(|seen| seen.score(metric));
    let (_, since) =
        scores.fold(
            (f64::NEG_INFINITY, 0),
            |(best, since), score| {
                if score > best { (score, 0) } else { (best, since + 1) }
            },
        );
    since
}
