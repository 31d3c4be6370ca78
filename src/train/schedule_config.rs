//! How the learning rate changes, as written in YAML.

use crate::Invalid;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// How the learning rate changes over the run, per step, after a linear warm-up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleConfig {
    /// Half a cosine down to `final_lr` times the learning rate.
    Cosine(Cosine),
    /// A power of what is left of the run, down to `final_lr` times the learning rate.
    Polynomial(Polynomial),
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
            Self::Polynomial(c) => c.warmup_epochs,
        }
    }

    /// The learning rate at the first step of a warm-up that rises linearly from there.
    pub fn warmup_from(&self) -> Option<f64> {
        match self {
            Self::Constant(c) => c.warmup_from,
            Self::Step(c) => c.warmup_from,
            Self::MultiStep(c) => c.warmup_from,
            Self::Plateau(_) => None,
            Self::Cosine(c) => c.warmup_from,
            Self::Polynomial(c) => c.warmup_from,
        }
    }

    /// How often the learning rate changes.
    pub fn by(&self) -> By {
        match self {
            Self::Constant(c) => c.by,
            Self::Step(c) => c.by,
            Self::MultiStep(c) => c.by,
            Self::Plateau(_) => By::Step,
            Self::Cosine(c) => c.by,
            Self::Polynomial(c) => c.by,
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        let name = match self {
            Self::Constant(_) => "constant",
            Self::Step(_) => "step",
            Self::MultiStep(_) => "multi_step",
            Self::Plateau(_) => "plateau",
            Self::Cosine(_) => "cosine",
            Self::Polynomial(_) => "polynomial",
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
        let not_negative = |key: &str, x: f64| {
            valid(x >= 0.0 && x.is_finite(), key, format!("{x} is not a number from 0 up"))
        };
        self.warmup_from().map_or(Ok(()), |from| not_negative("warmup_from", from))?;
        match self {
            Self::Constant(_) => Ok(()),
            Self::Step(c) => {
                let positive = c.every > 0.0 && c.every.is_finite();
                valid(positive, "every", format!("{} is not a number of epochs above 0", c.every))?;
                not_negative("min_lr", c.min_lr)
            }
            Self::MultiStep(c) => {
                let rises = c.milestones.windows(2).all(|pair| pair[0] < pair[1]);
                valid(
                    rises,
                    "milestones",
                    format!("{:?} does not rise; write the epochs in order", c.milestones),
                )?;
                not_negative("warmup_lr", c.warmup_lr.unwrap_or_default())?;
                let message =
                    "it and `warmup_lr`, which holds all of the warm-up, exclude each other; remove one";
                valid(c.warmup_lr.is_none() || c.warmup_from.is_none(), "warmup_from", message.to_owned())?;
                not_negative("min_lr", c.min_lr)
            }
            Self::Plateau(c) => {
                let inside = c.factor > 0.0 && c.factor < 1.0;
                valid(inside, "factor", format!("{} is not between 0 and 1", c.factor))?;
                not_negative("threshold", c.threshold)?;
                not_negative("min_lr", c.min_lr)
            }
            Self::Polynomial(Polynomial { power, .. }) if !(*power > 0.0 && power.is_finite()) => {
                valid(false, "power", format!("{power} is not a number above 0"))
            }
            Self::Cosine(Cosine { final_lr, .. }) | Self::Polynomial(Polynomial { final_lr, .. }) => {
                let message = format!("{final_lr} is not between 0 and 1");
                valid((0.0..=1.0).contains(final_lr), "final_lr", message)
            }
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Warmup {
    pub warmup_epochs: f64,
    /// As in `cosine`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_from: Option<f64>,
    /// As in `cosine`.
    #[serde(skip_serializing_if = "By::is_step")]
    pub by: By,
}

/// How often the learning rate changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// With every optimizer step.
    #[default]
    Step,
    /// Between epochs, as timm and torchvision's reference do.
    Epoch,
}

impl By {
    fn is_step(&self) -> bool {
        *self == Self::Step
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Epochs, also such as 2.4.
    pub every: f64,
    #[serde(default = "tenth")]
    pub gamma: f64,
    /// The learning rate does not fall below this.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_lr: f64,
    #[serde(default)]
    pub warmup_epochs: f64,
    /// As in `cosine`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_from: Option<f64>,
    /// As in `cosine`.
    #[serde(default, skip_serializing_if = "By::is_step")]
    pub by: By,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiStep {
    pub milestones: Vec<u64>,
    #[serde(default = "tenth")]
    pub gamma: f64,
    /// The learning rate does not fall below this.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_lr: f64,
    #[serde(default)]
    pub warmup_epochs: f64,
    /// As in `cosine`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_from: Option<f64>,
    /// As in `cosine`.
    #[serde(default, skip_serializing_if = "By::is_step")]
    pub by: By,
    /// The learning rate during warm-up, in place of a linear rise (ResNet, section 4.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_lr: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cosine {
    pub warmup_epochs: f64,
    /// The learning rate with which a linear warm-up begins. Default: one step above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_from: Option<f64>,
    /// The last learning rate as a fraction of the first.
    pub final_lr: f64,
    #[serde(skip_serializing_if = "By::is_step")]
    pub by: By,
    /// Span all of the run, of which the warm-up then covers a part (timm), and not what the warm-up leaves of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
}

/// `torch.optim.lr_scheduler.PolynomialLR` after a warm-up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Polynomial {
    pub power: f64,
    pub warmup_epochs: f64,
    /// As in `cosine`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_from: Option<f64>,
    /// The last learning rate as a fraction of the first.
    pub final_lr: f64,
    /// As in `cosine`.
    #[serde(skip_serializing_if = "By::is_step")]
    pub by: By,
    /// As in `cosine`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
}

impl Default for Polynomial {
    fn default() -> Self {
        Self { power: 1.0, warmup_epochs: 0.0, warmup_from: None, final_lr: 0.0, by: By::Step, whole: false }
    }
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

/// What an evaluation is judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Watched {
    /// Cross-entropy, which should fall.
    Loss,
    /// Percent of right answers, which should rise.
    #[default]
    Top1,
    /// Percent with the right answer among the five likeliest, which should rise.
    Top5,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Threshold {
    Rel,
    Abs,
}
