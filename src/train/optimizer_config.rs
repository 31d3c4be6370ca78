//! The update rules, as written in YAML.

use crate::Invalid;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// The update rule: one of the names below with its own settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerConfig {
    Sgd(Sgd),
    AdamW(AdamW),
    Adam(Adam),
    Lamb(Lamb),
    RmsProp(RmsProp),
    Lbfgs(Lbfgs),
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Sgd(Sgd::default())
    }
}

impl OptimizerConfig {
    /// The learning rate before the schedule.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Sgd(c) => c.lr,
            Self::AdamW(c) => c.lr,
            Self::Adam(c) => c.lr,
            Self::Lamb(c) => c.lr,
            Self::RmsProp(c) => c.lr,
            Self::Lbfgs(c) => c.lr,
        }
    }

    /// Numbers of optimizer state per parameter.
    pub fn slots(&self) -> u64 {
        match self {
            Self::Sgd(c) => u64::from(c.momentum != 0.0),
            Self::AdamW(_) | Self::Adam(_) | Self::Lamb(_) => 2,
            Self::RmsProp(c) => 1 + u64::from(c.momentum != 0.0),
            Self::Lbfgs(c) => 2 + 2 * c.history_size as u64,
        }
    }

    /// The weight decay of those parameters that are decayed.
    pub fn weight_decay(&self) -> f64 {
        match self {
            Self::Sgd(c) => c.weight_decay,
            Self::AdamW(c) => c.weight_decay,
            Self::Adam(c) => c.weight_decay,
            Self::Lamb(c) => c.weight_decay,
            Self::RmsProp(c) => c.weight_decay,
            Self::Lbfgs(_) => 0.0,
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        let rule = match self {
            Self::Sgd(_) => "sgd",
            Self::AdamW(_) => "adamw",
            Self::Adam(_) => "adam",
            Self::Lamb(_) => "lamb",
            Self::RmsProp(_) => "rmsprop",
            Self::Lbfgs(_) => "lbfgs",
        };
        let invalid =
            |key: &str, message: String| Invalid::value(&format!("train.optimizer.{rule}.{key}"), message);
        let not_negative = |key: &str, x: f64| {
            ensure!(x >= 0.0 && x.is_finite(), invalid(key, format!("{x} is not a number from 0 up")));
            Ok(())
        };
        let unit = |key: &str, x: f64| {
            ensure!((0.0..1.0).contains(&x), invalid(key, format!("{x} is not in [0, 1)")));
            Ok(())
        };
        not_negative("lr", self.lr())?;
        not_negative("weight_decay", self.weight_decay())?;
        match self {
            Self::Sgd(c) => {
                unit("momentum", c.momentum)?;
                let possible = !c.nesterov || c.momentum > 0.0;
                ensure!(possible, invalid("nesterov", "needs a momentum above 0".to_owned()));
                Ok(())
            }
            Self::AdamW(AdamW { betas, eps, .. })
            | Self::Adam(Adam { betas, eps, .. })
            | Self::Lamb(Lamb { betas, eps, max_grad_norm: None, .. }) => {
                betas.iter().try_for_each(|&beta| unit("betas", beta))?;
                not_negative("eps", *eps)
            }
            Self::Lamb(Lamb { betas, eps, max_grad_norm: Some(norm), .. }) => {
                betas.iter().try_for_each(|&beta| unit("betas", beta))?;
                let message = format!("{norm} is not a number above 0; write `null` for none");
                ensure!(*norm > 0.0 && norm.is_finite(), invalid("max_grad_norm", message));
                not_negative("eps", *eps)
            }
            Self::RmsProp(c) => {
                unit("alpha", c.alpha)?;
                unit("momentum", c.momentum)?;
                not_negative("eps", c.eps)
            }
            Self::Lbfgs(c) => {
                let counts = [("max_iter", c.max_iter), ("history_size", c.history_size)];
                let possible = |(key, count): (&str, usize)| {
                    ensure!(count > 0, invalid(key, "0 is impossible; use 1 or more".to_owned()));
                    Ok(())
                };
                counts.into_iter().try_for_each(possible)?;
                not_negative("tolerance_grad", c.tolerance_grad)?;
                not_negative("tolerance_change", c.tolerance_change)
            }
        }
    }
}

/// `torch.optim.LBFGS`, for probes: each step takes up to `max_iter` iterations on its batch, best all of the images, of
/// which the features of frozen stages are known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lbfgs {
    pub lr: f64,
    /// Iterations of one step.
    pub max_iter: usize,
    /// Evaluations of one step. Default: 5/4 of `max_iter`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_eval: Option<usize>,
    pub tolerance_grad: f64,
    pub tolerance_change: f64,
    pub history_size: usize,
    /// `strong_wolfe`. Default: none, every step has the length `lr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line_search_fn: Option<LineSearch>,
}

/// How long a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineSearch {
    StrongWolfe,
}

impl Default for Lbfgs {
    fn default() -> Self {
        Self {
            lr: 1.0,
            max_iter: 20,
            max_eval: None,
            tolerance_grad: 1e-7,
            tolerance_change: 1e-9,
            history_size: 100,
            line_search_fn: None,
        }
    }
}

/// `torch.optim.SGD`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sgd {
    pub lr: f64,
    pub momentum: f64,
    pub nesterov: bool,
    pub weight_decay: f64,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { lr: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.0 }
    }
}

/// `torch.optim.AdamW`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    pub lr: f64,
    pub betas: [f64; 2],
    pub eps: f64,
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 1e-2 }
    }
}

/// `torch.optim.Adam`: weight decay is part of the gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adam {
    pub lr: f64,
    pub betas: [f64; 2],
    pub eps: f64,
    pub weight_decay: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Self { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0 }
    }
}

/// timm's `Lamb` (1904.00962), of which no learning rate is good for all batch sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lamb {
    pub lr: f64,
    #[serde(default = "Lamb::betas")]
    pub betas: [f64; 2],
    #[serde(default = "Lamb::eps")]
    pub eps: f64,
    #[serde(default = "Lamb::weight_decay")]
    pub weight_decay: f64,
    /// Largest 2-norm of all gradients together, before anything else; `null` for none.
    #[serde(default = "Lamb::max_grad_norm")]
    pub max_grad_norm: Option<f64>,
    /// Trust ratios are 1 at most (LAMBC).
    #[serde(default)]
    pub trust_clip: bool,
    /// Adapt also what has no weight decay.
    #[serde(default)]
    pub always_adapt: bool,
}

impl Lamb {
    fn betas() -> [f64; 2] {
        [0.9, 0.999]
    }

    fn eps() -> f64 {
        1e-6
    }

    fn weight_decay() -> f64 {
        0.01
    }

    fn max_grad_norm() -> Option<f64> {
        Some(1.0)
    }
}

/// `torch.optim.RMSprop`; with `tf` the variant of TensorFlow that the MobileNet and EfficientNet papers trained with
/// (eps inside the root, the mean square starting at 1, the learning rate inside the momentum), as timm's `RMSpropTF`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RmsProp {
    pub lr: f64,
    pub alpha: f64,
    pub momentum: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub tf: bool,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self { lr: 1e-2, alpha: 0.99, momentum: 0.0, eps: 1e-8, weight_decay: 0.0, tf: false }
    }
}
