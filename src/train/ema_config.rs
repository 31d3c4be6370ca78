//! The moving average of the weights, as written in YAML.

use crate::Invalid;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// An exponential moving average of the weights: a bare number in YAML is its decay, with warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Spelling")]
pub struct EmaConfig {
    /// Weight of the previous average in each update.
    pub decay: f64,
    /// Start with a smaller decay that rises over the steps (timm's `use_warmup`). Without it, the initial weights
    /// dominate the average for about 1 / (1 - decay) steps.
    pub warmup: bool,
}

impl EmaConfig {
    /// The decay of this step, counted from 1.
    pub fn decay_at(self, step: u64) -> f64 {
        if !self.warmup {
            return self.decay;
        }
        // timm's `warmup_gamma` of 1 and `warmup_power` of 2/3.
        let before = step.saturating_sub(1) as f64;
        self.decay.min(1.0 - (1.0 + before).powf(-2.0 / 3.0))
    }

    pub(super) fn validate(self) -> Result<()> {
        let message = format!("{} is not in [0, 1)", self.decay);
        ensure!((0.0..1.0).contains(&self.decay), Invalid::value("train.ema", message));
        Ok(())
    }
}

/// The two ways to write it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a decay such as 0.9999, or {decay: 0.9999, warmup: false}")]
enum Spelling {
    Decay(f64),
    Fields(Fields),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    decay: f64,
    #[serde(default = "yes")]
    warmup: bool,
}

fn yes() -> bool {
    true
}

impl From<Spelling> for EmaConfig {
    fn from(spelling: Spelling) -> Self {
        match spelling {
            Spelling::Decay(decay) => Self { decay, warmup: true },
            Spelling::Fields(Fields { decay, warmup }) => Self { decay, warmup },
        }
    }
}
