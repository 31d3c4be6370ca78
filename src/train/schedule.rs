//! The learning rate of each step.

use super::record::EpochMetrics;
use super::schedule_config::{By, MultiStep, Plateau, ScheduleConfig, Threshold, Watched};
use std::f64::consts::PI;

impl Watched {
    /// The metric in an epoch that was evaluated.
    fn of(self, row: &EpochMetrics) -> Option<f64> {
        row.evaluation().and_then(|evaluation| match self {
            Self::Loss => Some(evaluation.loss),
            Self::Top1 => Some(evaluation.top1),
            Self::Top5 => evaluation.top5,
        })
    }
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
            Watched::Top1 | Watched::Top5 => 1.0,
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
    /// rate unless it says where it begins, which is its first step; decay in epochs counts the epochs of warm-up; the
    /// cosine spans what warm-up leaves, if not the whole run; a plateau looks at the evaluations after it.
    pub fn lr(&self, step: u64, rows: &[EpochMetrics]) -> f64 {
        let step = match self.config.by() {
            By::Step => step as f64,
            By::Epoch => (step as f64 / self.steps_per_epoch).floor() * self.steps_per_epoch,
        };
        let warmup = self.config.warmup_epochs() * self.steps_per_epoch;
        if step < warmup {
            if let ScheduleConfig::MultiStep(MultiStep { warmup_lr: Some(lr), .. }) = self.config {
                return lr;
            }
            return match (self.config.warmup_from(), self.config.by()) {
                (Some(from), _) => from + (self.lr - from) * step / warmup,
                (None, By::Step) => self.lr * ((step + 1.0) / warmup).min(1.0),
                (None, By::Epoch) => self.lr * ((step + self.steps_per_epoch) / warmup).min(1.0),
            };
        }
        let done = |whole: bool| {
            let before = if whole { 0.0 } else { warmup };
            (step - before) / (self.steps - before).max(1.0)
        };
        let epoch = (step / self.steps_per_epoch).floor() as u64;
        let falling = |gamma: f64, times: u64, least: f64| (self.lr * power(gamma, times)).max(least);
        self.lr
            * match &self.config {
                ScheduleConfig::Constant(_) => 1.0,
                ScheduleConfig::Step(c) => {
                    let times = (step / (c.every * self.steps_per_epoch)).floor() as u64;
                    return falling(c.gamma, times, c.min_lr);
                }
                ScheduleConfig::MultiStep(c) => {
                    let times = c.milestones.iter().filter(|&&at| at <= epoch).count() as u64;
                    return falling(c.gamma, times, c.min_lr);
                }
                ScheduleConfig::Plateau(c) => {
                    let after = rows.iter().filter(|row| row.epoch as f64 > c.warmup_epochs);
                    return c.lr(self.lr, after.filter_map(|row| c.metric.of(row)));
                }
                ScheduleConfig::Cosine(c) => {
                    c.final_lr + (1.0 - c.final_lr) * 0.5 * (1.0 + (PI * done(c.whole)).cos())
                }
                ScheduleConfig::Polynomial(c) => {
                    c.final_lr + (1.0 - c.final_lr) * (1.0 - done(c.whole)).max(0.0).powf(c.power)
                }
            }
    }
}

fn power(gamma: f64, times: u64) -> f64 {
    gamma.powi(i32::try_from(times).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::schedule_config::{Cosine, Warmup};
    use super::*;

    fn rates(config: ScheduleConfig) -> Vec<f64> {
        let schedule = Schedule::new(&config, 0.4, 4, 16);
        (0..16).map(|step| (schedule.lr(step, &[]) * 1e4).round() / 1e4).collect()
    }

    #[test]
    fn constant_warms_up_to_the_full_rate() {
        let got = rates(ScheduleConfig::Constant(Warmup { warmup_epochs: 1.0, ..Warmup::default() }));
        assert_eq!(got[..6], [0.1, 0.2, 0.3, 0.4, 0.4, 0.4]);
    }

    #[test]
    fn steps_fall_at_their_epochs() {
        let read = |text: &str| rates(serde_yaml::from_str(text).unwrap());
        let step = read("!step {every: 2.0, gamma: 0.5}");
        assert_eq!([step[0], step[7], step[8], step[15]], [0.4, 0.4, 0.2, 0.2]);
        let step = read("!step {every: 1.25, gamma: 0.5}");
        assert_eq!([step[4], step[5], step[9], step[10]], [0.4, 0.2, 0.2, 0.1]);
        let floor = read("!step {every: 1, gamma: 0.1, min_lr: 0.03}");
        assert_eq!([floor[4], floor[8], floor[15]], [0.04, 0.03, 0.03]);
        let multi = read("!multi_step {milestones: [1, 3], gamma: 0.1, warmup_epochs: 0.5, warmup_lr: 0.01}");
        assert_eq!([multi[1], multi[2], multi[3], multi[4]], [0.01, 0.4, 0.4, 0.04]);
        assert_eq!([multi[11], multi[12]], [0.04, 0.004]);
    }

    /// tests/goldens/schedules.py
    #[derive(serde::Deserialize)]
    struct Known {
        name: String,
        config: ScheduleConfig,
        lr: f64,
        steps_per_epoch: u64,
        epochs: u64,
        rates: Vec<f64>,
    }

    #[test]
    fn schedules_are_those_of_timm_and_torchvision() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/schedules.yaml");
        let rows: Vec<Known> = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for Known { name, config, lr, steps_per_epoch, epochs, rates } in rows {
            let steps = steps_per_epoch * epochs;
            let schedule = Schedule::new(&config, lr, steps_per_epoch, steps);
            assert_eq!(rates.len() as u64, steps);
            for (step, want) in rates.iter().enumerate() {
                let got = schedule.lr(step as u64, &[]);
                assert!((got - want).abs() <= 1e-12 * lr, "{name}: step {step} at {got}, not {want}");
            }
        }
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
