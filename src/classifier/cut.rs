//! Networks whose outputs are features: without their classifier, or up to a stage.

use crate::models::{Model, ModelSpec};
use crate::names::did_you_mean;
use crate::nn::{Layer, Store};
use crate::{Usage, weights};
use anyhow::{Context, Result};
use tch::Tensor;

/// The width of what the classifier of a model of `spec` takes; none where it has no classifier.
pub(super) fn width(spec: &ModelSpec) -> Result<Option<i64>> {
    let (names, store) = (weights::classifier(spec)?, Store::meta());
    spec.resolve()?.build(&store)?;
    let of_classifier = |(name, tensor): &(String, Tensor)| names.contains(name) && tensor.dim() > 1;
    Ok(store
        .parameters()
        .iter()
        .rev()
        .find(|parameter| of_classifier(parameter))
        .map(|(_, tensor)| tensor.size()[1]))
}

/// Makes these tensors of a classifier hand on what they take.
pub(super) fn hand_on(store: &Store, classifier: &[String]) -> Result<()> {
    let _no_grad = tch::no_grad_guard();
    for (_, mut tensor) in store.parameters().into_iter().filter(|(name, _)| classifier.contains(name)) {
        match tensor.size().as_slice() {
            &[rows, columns, ..] => {
                let eye = Tensor::f_eye_m(rows, columns, (tensor.kind(), tensor.device()))?;
                tensor.f_copy_(&eye.f_view(tensor.size().as_slice())?)?;
            }
            _ => drop(tensor.f_zero_()?),
        }
    }
    Ok(())
}

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

    fn head(&self) -> &dyn Layer {
        &Flatten
    }
}

struct Flatten;

impl Layer for Flatten {
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        Ok(x.f_flatten(1, -1)?)
    }
}
