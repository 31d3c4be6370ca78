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

    /// Moves the averages towards the model after the optimizer step of this number, from 1; counters are copied.
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

    /// Exchanges the averages with the model's weights; a second call puts them back.
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

/// The same values in memory of their own, in the same order.
fn copy(tensor: &Tensor) -> Result<Tensor> {
    let mut copied = tensor.detach().f_empty_like()?;
    copied.f_copy_(tensor)?;
    Ok(copied)
}
