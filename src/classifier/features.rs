//! What a network knows of pictures before it names their classes.

use super::Classifier;
use super::builder::Parts;
use crate::data::{Loader, LoaderConfig, Pictures, Skipped, TestSet};
use crate::evaluate::{Protocol, Source, Views};
use crate::models::{Model, ModelSpec};
use crate::names::did_you_mean;
use crate::nn::{Layer, Store};
use crate::{Usage, weights};
use anyhow::{Context, Result};
use std::ops::ControlFlow;
use tch::Tensor;

impl Classifier {
    /// The outputs (n, D) for pictures by their centre, about `batch_size` at once: of a network opened for
    /// [`super::Builder::features`] what its classifier takes. `each` hears the places of pictures and their rows, in order;
    /// `skipped` of those that cannot be read.
    ///
    /// # Errors
    /// Pictures that the model does not take, and those of `each`.
    pub fn features(
        &self,
        data: TestSet,
        batch_size: usize,
        skipped: &mut dyn FnMut(Skipped),
        each: &mut dyn FnMut(&[usize], &Tensor) -> Result<()>,
    ) -> Result<()> {
        let Self(parts) = self;
        parts.ready_for(data.names().len());
        let mut run = |source: &dyn Source, input: &_| {
            parts.evaluator(input).run(source, skipped, &mut |batch, rows, _| {
                each(&batch.places, &rows)?;
                Ok(ControlFlow::Continue(()))
            })
        };
        match data {
            TestSet::Images(data, statistics) => {
                let input = parts.input_of(&data, &statistics)?;
                run(&Loader::new(Pictures::Memory(data), LoaderConfig::in_order(batch_size))?, &input)
            }
            TestSet::Files(files) => {
                let ways = [parts.input.preprocess.clone()];
                let (label, protocol) = (|place: usize| place as i64, Protocol::Center);
                let source =
                    Views { pictures: &files, label: &label, ways: &ways, protocol: &protocol, batch_size };
                run(&source, &parts.input)
            }
        }
    }
}

/// The classifier's tensors in a model of `spec`, and the width of what it takes; none where the model has none.
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

impl Parts {
    /// The width of the outputs for one picture.
    pub(super) fn width(&self) -> Result<usize> {
        let [channels, height, width] = self.input.shape();
        let _no_grad = tch::no_grad_guard();
        let blank = Tensor::f_zeros([1, channels, height, width], (tch::Kind::Float, self.device))?;
        Ok(self.model.forward(&blank, false)?.numel())
    }
}
