//! An exponential moving average of the weights.

use super::ema_config::EmaConfig;
use crate::torch;
use anyhow::Result;
use tch::{Kind, Tensor};

/// Averaged copies of a model's whole state_dict, running statistics too, as timm's `ModelEmaV3`.
pub(super) struct Ema {
    config: EmaConfig,
    averages: Vec<(String, Tensor)>,
    model: Vec<Tensor>,
}

impl Ema {
    /// Starts from the model's weights as they are.
    pub fn new(config: EmaConfig, state_dict: &[(String, Tensor)]) -> Result<Self> {
        let _no_grad = tch::no_grad_guard();
        let copy = |(name, tensor): &(String, Tensor)| Ok((name.clone(), copy(tensor)?));
        let averages = state_dict.iter().map(copy).collect::<Result<_>>()?;
        let model = state_dict.iter().map(|(_, tensor)| tensor.detach()).collect();
        Ok(Self { config, averages, model })
    }

    /// Moves the averages towards the model after this step, counted from 1; counters are copied.
    pub fn update(&self, step: u64) -> Result<()> {
        let float = |t: &Tensor| t.kind() == Kind::Float;
        let pairs = || self.averages.iter().map(|(_, average)| average).zip(&self.model);
        let (averages, model): (Vec<_>, Vec<_>) = pairs()
            .filter(|(average, _)| float(average))
            .map(|(average, model)| (average.shallow_clone(), model.shallow_clone()))
            .unzip();
        torch::lerp(&averages, &model, 1.0 - self.config.decay_at(step))?;
        for (average, model) in pairs().filter(|(average, _)| !float(average)) {
            average.shallow_clone().f_copy_(model)?;
        }
        Ok(())
    }

    /// Swaps the averages with the model's weights; a second call swaps them back.
    pub fn swap(&self) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        for ((_, average), model) in self.averages.iter().zip(&self.model) {
            let kept = copy(model)?;
            model.shallow_clone().f_copy_(average)?;
            average.shallow_clone().f_copy_(&kept)?;
        }
        Ok(())
    }

    /// The averages by the model's keys.
    pub fn state_dict(&self) -> &[(String, Tensor)] {
        &self.averages
    }
}

/// A copy with the same memory layout.
fn copy(tensor: &Tensor) -> Result<Tensor> {
    let mut copied = tensor.detach().f_empty_like()?;
    copied.f_copy_(tensor)?;
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tch::Device;

    /// `(decays, runs)` of tests/goldens/ema.py.
    #[derive(serde::Deserialize)]
    struct Golden {
        decays: Vec<(u64, f64)>,
        runs: Vec<Run>,
    }

    #[derive(serde::Deserialize)]
    struct Run {
        decay: f64,
        warmup: bool,
        averages: Vec<[f64; 2]>,
    }

    #[test]
    fn averages_are_those_of_timm() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/ema.json");
        let golden: Golden = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let late = EmaConfig { decay: 0.9999, warmup: true };
        for (step, decay) in golden.decays {
            assert!((late.decay_at(step) - decay).abs() < 1e-12, "step {step}: {}", late.decay_at(step));
        }
        for Run { decay, warmup, averages } in golden.runs {
            let mut weights = Tensor::zeros([2], (Kind::Float, Device::Cpu));
            let state = [("w".to_owned(), weights.shallow_clone())];
            let ema = Ema::new(EmaConfig { decay, warmup }, &state).unwrap();
            for (step, want) in (1..).zip(averages) {
                weights.copy_(&Tensor::from_slice(&[step as f32, 1.0 / step as f32]));
                ema.update(step).unwrap();
                let got = Vec::<f64>::try_from(&ema.state_dict()[0].1).unwrap();
                for (got, want) in got.into_iter().zip(want) {
                    assert!((got - want).abs() <= 1e-6 * want, "warm-up {warmup}, step {step}: {got} {want}");
                }
            }
        }
    }
}
