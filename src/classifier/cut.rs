//! Networks whose outputs are the features of a stage.

use crate::Usage;
use crate::models::Model;
use crate::names::did_you_mean;
use crate::nn::{Head, Layer, Outputs};
use anyhow::{Context, Result};
use tch::Tensor;

/// A model up to a stage, whose output is flattened.
pub(super) struct Cut {
    model: Box<dyn Model>,
    stages: usize,
}

impl Cut {
    /// # Errors
    /// A stage that the model does not have ([`Usage`]).
    pub fn new(model: Box<dyn Model>, layer: &str) -> Result<Self> {
        let names: Vec<&str> = model.stages().iter().map(|(name, _)| *name).collect();
        let stages = names.iter().position(|name| *name == layer).with_context(|| {
            let all = format!("it has {}", names.join(", "));
            Usage(format!(
                "no stage is called `{layer}`; {}",
                did_you_mean(layer, names.iter().copied(), &all)
            ))
        })?;
        Ok(Self { stages: stages + 1, model })
    }
}

impl Model for Cut {
    fn stages(&self) -> Vec<(&str, &dyn Layer)> {
        self.model.stages().into_iter().take(self.stages).collect()
    }

    fn head(&self) -> &dyn Head {
        &Flatten
    }
}

struct Flatten;

impl Head for Flatten {
    fn outputs(&self, x: &Tensor, _train: bool) -> Result<Outputs> {
        let logits = x.f_flatten(1, -1)?;
        Ok(Outputs { pooled: logits.shallow_clone(), logits })
    }
}
