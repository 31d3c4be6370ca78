//! The learning rate of each step.

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
            Self::Cosine(c) => c.warmup_epochs,
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        let name = match self {
            Self::Constant(_) => "constant",
            Self::Step(_) => "step",
            Self::MultiStep(_) => "multi_step",
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
            Self::Step(c) => valid(c.every > 0, "every", "0 is not 1 or more".to_owned()),
            Self::MultiStep(c) => {
                let rises = c.milestones.windows(2).all(|pair| pair[0] < pair[1]);
                valid(
                    rises,
                    "milestones",
                    format!("{:?} does not rise; write the epochs in order", c.milestones),
                )
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
    pub every: u64,
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

    /// The learning rate of a step, counted from 0. Warm-up rises linearly, its last step at the full rate; decay in
    /// epochs counts the epochs of warm-up; the cosine spans what warm-up leaves.
    pub fn lr(&self, step: u64) -> f64 {
        let step = step as f64;
        let warmup = self.config.warmup_epochs() * self.steps_per_epoch;
        if step < warmup {
            return self.lr * ((step + 1.0) / warmup).min(1.0);
        }
        let epoch = (step / self.steps_per_epoch).floor() as u64;
        self.lr
            * match &self.config {
                ScheduleConfig::Constant(_) => 1.0,
                ScheduleConfig::Step(c) => power(c.gamma, epoch / c.every),
                ScheduleConfig::MultiStep(c) => {
                    power(c.gamma, c.milestones.iter().filter(|&&at| at <= epoch).count() as u64)
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
        (0..16).map(|step| (schedule.lr(step) * 1e4).round() / 1e4).collect()
    }

    #[test]
    fn constant_warms_up_to_the_full_rate() {
        let got = rates(ScheduleConfig::Constant(Warmup { warmup_epochs: 1.0 }));
        assert_eq!(got[..6], [0.1, 0.2, 0.3, 0.4, 0.4, 0.4]);
    }

    #[test]
    fn steps_fall_at_their_epochs() {
        let step = rates(ScheduleConfig::Step(Step { every: 2, gamma: 0.5, warmup_epochs: 0.0 }));
        assert_eq!([step[0], step[7], step[8], step[15]], [0.4, 0.4, 0.2, 0.2]);
        let milestones = vec![1, 3];
        let multi =
            rates(ScheduleConfig::MultiStep(MultiStep { milestones, gamma: 0.1, warmup_epochs: 0.0 }));
        assert_eq!([multi[3], multi[4], multi[11], multi[12]], [0.4, 0.04, 0.04, 0.004]);
    }

    /// `CosineAnnealingLR(T_max=16)` stepped once a batch.
    #[test]
    fn cosine_is_pytorchs() {
        let got = rates(ScheduleConfig::Cosine(Cosine::default()));
        let close = |a: f64, b: f64| (a - b).abs() < 1e-4;
        assert!(close(got[0], 0.4) && close(got[8], 0.2) && close(got[15], 0.0038), "{got:?}");
    }
}
