//! The moving average of the weights as YAML spells it.

use serde::{Deserialize, Serialize};
use serde_yaml::{Mapping, Value};

/// `ema: 0.999`, or `ema: {decay: 0.999, warmup: false}`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct EmaConfig {
    pub decay: f64,
    /// The decay rises from 0 as `1 - step^(-2/3)` until it is reached, so that the first weights are soon forgotten:
    /// timm's `ModelEmaV3` with `use_warmup`.
    pub warmup: bool,
}

impl EmaConfig {
    pub fn new(decay: f64) -> Self {
        Self { decay, warmup: true }
    }
}

impl EmaConfig {
    /// The decay at an optimizer step, from 1.
    pub(super) fn decay_at(self, step: u64) -> f64 {
        if self.warmup { self.decay.min(1.0 - (step as f64).powf(-2.0 / 3.0)) } else { self.decay }
    }
}

impl TryFrom<Value> for EmaConfig {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let wrong = || "a decay such as 0.999 is expected, or {decay: 0.999, warmup: false}".to_owned();
        let Value::Mapping(mut map) = value else { return value.as_f64().map(Self::new).ok_or_else(wrong) };
        let decay = map.shift_remove("decay").as_ref().and_then(Value::as_f64).ok_or_else(wrong)?;
        let warmup = match map.shift_remove("warmup") {
            None => true,
            Some(value) => value.as_bool().ok_or_else(wrong)?,
        };
        if map.is_empty() { Ok(Self { decay, warmup }) } else { Err(wrong()) }
    }
}

impl From<EmaConfig> for Value {
    fn from(EmaConfig { decay, warmup }: EmaConfig) -> Self {
        if warmup {
            return decay.into();
        }
        Mapping::from_iter([("decay".into(), decay.into()), ("warmup".into(), warmup.into())]).into()
    }
}

#[cfg(test)]
mod tests {
    use super::EmaConfig;

    /// `timm.utils.ModelEmaV3(model, decay=0.999, use_warmup=True).get_decay(step)` of timm 1.0.31.
    #[test]
    fn the_decay_warms_up_as_timms() {
        let timm = [
            (1, 0.0),
            (2, 0.370_039_475_052_563_4),
            (3, 0.519_250_143_230_863_8),
            (10, 0.784_556_530_996_811_1),
            (1000, 0.99),
            (100_000, 0.999),
        ];
        for (step, decay) in timm {
            assert!((EmaConfig::new(0.999).decay_at(step) - decay).abs() < 1e-12, "{step}");
            assert_eq!(EmaConfig { decay: 0.9, warmup: false }.decay_at(step), 0.9);
        }
    }
}
