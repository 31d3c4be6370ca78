//! What a network knows of pictures before it names their classes.

use super::Classifier;
use super::builder::Parts;
use crate::data::{Loader, LoaderConfig, Pictures, Skipped, TestSet};
use crate::evaluate::{Protocol, Source, Views};
use anyhow::Result;
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

impl Parts {
    /// The width of the outputs for one picture.
    pub(super) fn width(&self) -> Result<usize> {
        let _no_grad = tch::no_grad_guard();
        Ok(self.model.forward(&self.input.blank(self.device)?, false)?.numel())
    }
}
