//! The learning rate of each step.

use super::record::EpochMetrics;
use crate::Invalid;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// How the learning rate changes over the run, per step, after a linear warm-up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleConfig {
    /// Half a cosine down to `final_lr` times the learning rate.
    Cosine(Cosine),
    Constant(Warmup),
    /// Times `gamma` every `every` epochs.
    Step(Step),
    /// Times `gamma` at each of the epochs in `milestones`.
    MultiStep(MultiStep),
    /// Times `factor` whenever the evaluations have stopped improving (`torch.optim.lr_scheduler.ReduceLROnPlateau`).
    Plateau(Plateau),
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self::Cosine(Cosine::default())
    }
}

impl ScheduleConfig {
    /// Epochs of linear warm-up.
    pub fn warmup_epochs(&self) -> f64 {
        match self {
            Self::Constant(c) => c.warmup_epochs,
            Self::Step(c) => c.warmup_epochs,
            Self::MultiStep(c) => c.warmup_epochs,
            Self::Plateau(c) => c.warmup_epochs,
            Self::Cosine(c) => c.warmup_epochs,
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        let name = match self {
            Self::Constant(_) => "constant",
            Self::Step(_) => "step",
            Self::MultiStep(_) => "multi_step",
            Self::Plateau(_) => "plateau",
            Self::Cosine(_) => "cosine",
        };
        let valid = |holds: bool, key: &str, message: String| {
            ensure!(holds, Invalid::value(&format!("train.schedule.{name}.{key}"), message));
            Ok(())
        };
        let warmup = self.warmup_epochs();
        valid(
            warmup >= 0.0 && warmup.is_finite(),
            "warmup_epochs",
            format!("{warmup} is not a number from 0 up"),
        )?;
        match self {
            Self::Constant(_) => Ok(()),
            Self::Step(c) => {
                let positive = c.every > 0.0 && c.every.is_finite();
                valid(positive, "every", format!("{} is not a number of epochs above 0", c.every))
            }
            Self::MultiStep(c) => {
                let rises = c.milestones.windows(2).all(|pair| pair[0] < pair[1]);
                valid(
                    rises,
                    "milestones",
                    format!("{:?} does not rise; write the epochs in order", c.milestones),
                )?;
                let lr = c.warmup_lr.unwrap_or_default();
                let message = format!("{lr} is not a number from 0 up");
                valid(lr >= 0.0 && lr.is_finite(), "warmup_lr", message)
            }
            Self::Plateau(c) => {
                let inside = c.factor > 0.0 && c.factor < 1.0;
                valid(inside, "factor", format!("{} is not between 0 and 1", c.factor))?;
                for (key, x) in [("threshold", c.threshold), ("min_lr", c.min_lr)] {
                    let message = format!("{x} is not a number from 0 up");
                    valid(x >= 0.0 && x.is_finite(), key, message)?;
                }
                Ok(())
            }
            Self::Cosine(c) => {
                let message = format!("{} is not between 0 and 1", c.final_lr);
                valid((0.0..=1.0).contains(&c.final_lr), "final_lr", message)
            }
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Warmup {
    pub warmup_epochs: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Epochs, also such as 2.4.
    pub every: f64,
    #[serde(default = "tenth")]
    pub gamma: f64,
    #[serde(default)]
    pub warmup_epochs: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiStep {
    pub milestones: Vec<u64>,
    #[serde(default = "tenth")]
    pub gamma: f64,
    #[serde(default)]
    pub warmup_epochs: f64,
    /// The learning rate during warm-up, in place of a linear rise (ResNet, section 4.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_lr: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cosine {
    pub warmup_epochs: f64,
    /// The last learning rate as a fraction of the first.
    pub final_lr: f64,
}

fn tenth() -> f64 {
    0.1
}

/// PyTorch's names and defaults. AlexNet, ZFNet, VGG and ResNet divided by 10 when the validation error stopped falling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plateau {
    pub factor: f64,
    /// Evaluations in a row without improvement that are borne; the next one reduces the learning rate.
    pub patience: u64,
    pub metric: Watched,
    /// What counts as an improvement on the best: by this fraction of it, or by this much with `threshold_mode: abs`.
    pub threshold: f64,
    pub threshold_mode: Threshold,
    /// Evaluations after a reduction that do not count.
    pub cooldown: u64,
    /// The learning rate does not fall below this.
    pub min_lr: f64,
    pub warmup_epochs: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self {
            factor: tenth(),
            patience: 10,
            metric: Watched::Loss,
            threshold: 1e-4,
            threshold_mode: Threshold::Rel,
            cooldown: 0,
            min_lr: 0.0,
            warmup_epochs: 0.0,
        }
    }
}

/// What a plateau is a plateau of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Watched {
    /// Cross-entropy, which should fall.
    Loss,
    /// Percent of right answers, which should rise.
    Top1,
}

impl Watched {
    /// The metric in an epoch that was evaluated.
    fn of(self, row: &EpochMetrics) -> Option<f64> {
        row.evaluation().map(|evaluation| match self {
            Self::Loss => evaluation.loss,
            Self::Top1 => evaluation.top1,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Threshold {
    Rel,
    Abs,
}

impl Plateau {
    /// The learning rate after these evaluations of a run that began with `lr`.
    fn lr(&self, lr: f64, evaluations: impl Iterator<Item = f64>) -> f64 {
        // PyTorch's `eps`: a smaller reduction is left out.
        const LEAST: f64 = 1e-8;
        let (mut lr, mut best, mut bad, mut cooldown) = (lr, None, 0, 0);
        for value in evaluations {
            if best.is_none_or(|best| self.improves(value, best)) {
                (best, bad) = (Some(value), 0);
            } else {
                bad += 1;
            }
            if cooldown > 0 {
                (cooldown, bad) = (cooldown - 1, 0);
            }
            if bad > self.patience {
                let reduced = (lr * self.factor).max(self.min_lr);
                if lr - reduced > LEAST {
                    lr = reduced;
                }
                (cooldown, bad) = (self.cooldown, 0);
            }
        }
        lr
    }

    fn improves(&self, value: f64, best: f64) -> bool {
        let sign = match self.metric {
            Watched::Loss => -1.0,
            Watched::Top1 => 1.0,
        };
        match self.threshold_mode {
            Threshold::Rel => sign * value > sign * best * (1.0 + sign * self.threshold),
            Threshold::Abs => sign * value > sign * best + self.threshold,
        }
    }
}

/// The learning rate over a run of known length.
pub(super) struct Schedule {
    config: ScheduleConfig,
    lr: f64,
    steps_per_epoch: f64,
    steps: f64,
}

impl Schedule {
    pub fn new(config: &ScheduleConfig, lr: f64, steps_per_epoch: u64, steps: u64) -> Self {
        Self { config: config.clone(), lr, steps_per_epoch: steps_per_epoch as f64, steps: steps as f64 }
    }

    /// The learning rate of a step, counted from 0, after these epochs. Warm-up rises linearly, its last step at the full
    /// rate; decay in epochs counts the epochs of warm-up; the cosine spans what warm-up leaves; a plateau looks at the
    /// evaluations after it.
    pub fn lr(&self, step: u64, rows: &[EpochMetrics]) -> f64 {
        let step = step as f64;
        let warmup = self.config.warmup_epochs() * self.steps_per_epoch;
        if step < warmup {
            if let ScheduleConfig::MultiStep(MultiStep { warmup_lr: Some(lr), .. }) = self.config {
                return lr;
            }
            return self.lr * ((step + 1.0) / warmup).min(1.0);
        }
        let epoch = (step / self.steps_per_epoch).floor() as u64;
        self.lr
            * match &self.config {
                ScheduleConfig::Constant(_) => 1.0,
                ScheduleConfig::Step(c) => {
                    power(c.gamma, (step / (c.every * self.steps_per_epoch)).floor() as u64)
                }
                ScheduleConfig::MultiStep(c) => {
                    power(c.gamma, c.milestones.iter().filter(|&&at| at <= epoch).count() as u64)
                }
                ScheduleConfig::Plateau(c) => {
                    let after = rows.iter().filter(|row| row.epoch as f64 > c.warmup_epochs);
                    return c.lr(self.lr, after.filter_map(|row| c.metric.of(row)));
                }
                ScheduleConfig::Cosine(c) => {
                    let done = (step - warmup) / (self.steps - warmup).max(1.0);
                    c.final_lr + (1.0 - c.final_lr) * 0.5 * (1.0 + (PI * done).cos())
                }
            }
    }
}

fn power(gamma: f64, times: u64) -> f64 {
    gamma.powi(i32::try_from(times).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(config: ScheduleConfig) -> Vec<f64> {
        let schedule = Schedule::new(&config, 0.4, 4, 16);
        (0..16).map(|step| (schedule.lr(step, &[]) * 1e4).round() / 1e4).collect()
    }

    #[test]
    fn constant_warms_up_to_the_full_rate() {
        let got = rates(ScheduleConfig::Constant(Warmup { warmup_epochs: 1.0 }));
        assert_eq!(got[..6], [0.1, 0.2, 0.3, 0.4, 0.4, 0.4]);
    }

    #[test]
    fn steps_fall_at_their_epochs() {
        let step = rates(ScheduleConfig::Step(Step { every: 2.0, gamma: 0.5, warmup_epochs: 0.0 }));
        assert_eq!([step[0], step[7], step[8], step[15]], [0.4, 0.4, 0.2, 0.2]);
        let step = rates(ScheduleConfig::Step(Step { every: 1.25, gamma: 0.5, warmup_epochs: 0.0 }));
        assert_eq!([step[4], step[5], step[9], step[10]], [0.4, 0.2, 0.2, 0.1]);
        let milestones = vec![1, 3];
        let multi = rates(ScheduleConfig::MultiStep(MultiStep {
            milestones,
            gamma: 0.1,
            warmup_epochs: 0.5,
            warmup_lr: Some(0.01),
        }));
        assert_eq!([multi[1], multi[2], multi[3], multi[4]], [0.01, 0.4, 0.4, 0.04]);
        assert_eq!([multi[11], multi[12]], [0.04, 0.004]);
    }

    /// `CosineAnnealingLR(T_max=16)` stepped once a batch.
    #[test]
    fn cosine_is_pytorchs() {
        let got = rates(ScheduleConfig::Cosine(Cosine::default()));
        let close = |a: f64, b: f64| (a - b).abs() < 1e-4;
        assert!(close(got[0], 0.4) && close(got[8], 0.2) && close(got[15], 0.0038), "{got:?}");
    }

    fn row(epoch: u64, loss: f64, top1: f64) -> EpochMetrics {
        EpochMetrics {
            epoch,
            step: 4 * epoch,
            lr: 0.1,
            train_loss: loss,
            train_top1: top1,
            test_loss: Some(loss),
            test_top1: Some(top1),
            test_top5: None,
            validation: None,
            raw_top1: None,
            images_per_second: 1.0,
            seconds: 1.0,
            wall_time: 1.0,
            peak_memory_bytes: 1,
            peak_gpu_memory_bytes: None,
        }
    }

    /// tests/goldens/plateau.py
    #[derive(serde::Deserialize)]
    struct Golden {
        loss: Vec<f64>,
        top1: Vec<f64>,
        runs: Vec<Run>,
    }

    #[derive(serde::Deserialize)]
    struct Run {
        settings: Plateau,
        lr: Vec<f64>,
    }

    #[test]
    fn a_plateau_is_pytorchs() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/plateau.json");
        let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let rows: Vec<_> =
            (1..).zip(golden.loss.iter().zip(&golden.top1)).map(|(n, (&a, &b))| row(n, a, b)).collect();
        for Run { settings, lr } in golden.runs {
            let schedule = Schedule::new(&ScheduleConfig::Plateau(settings.clone()), 0.1, 4, 0);
            for (done, want) in lr.into_iter().enumerate() {
                let got = schedule.lr(4 * done as u64, &rows[..done]);
                assert!((got - want).abs() <= 1e-12, "{settings:?} after {done}: {got}, not {want}");
            }
        }
    }

    #[test]
    fn a_plateau_counts_evaluations_after_warm_up() {
        let settings = Plateau { patience: 1, warmup_epochs: 2.0, ..Plateau::default() };
        let schedule = Schedule::new(&ScheduleConfig::Plateau(settings), 0.4, 4, 0);
        let mut rows: Vec<_> =
            (1..=6).map(|epoch| row(epoch, if epoch < 3 { 1.0 } else { 2.0 }, 50.0)).collect();
        rows[3].test_loss = None;
        // The best is epoch 3's; 4 was not evaluated; 5 and 6 are no better.
        let rates: Vec<f64> = (0..=6).map(|done| schedule.lr(4 * done as u64, &rows[..done])).collect();
        assert_eq!(rates, [0.05, 0.25, 0.4, 0.4, 0.4, 0.4, 0.4 * 0.1]);
    }
}
