//! What TensorBoard shows of a run that is over: its first filters, and test images that it takes for something else.

use super::Trainer;
use crate::evaluate::Input;
use crate::report::tiles::{Png, tiles};
use anyhow::Result;
use std::ops::ControlFlow;
use tch::Tensor;

/// Test images that are shown.
const MISTAKES: usize = 8;

/// A test image, its class, and the one that the model gives it.
struct Mistake {
    picture: Png,
    class: usize,
    taken_for: usize,
}

impl Trainer<'_> {
    /// Pictures of the weights that are evaluated: the averaged ones where there are any.
    pub(super) fn show(&mut self) -> Result<()> {
        if let Some(ema) = &self.ema {
            ema.swap()?;
        }
        let mistakes = self.mistakes();
        let filters = self.first_filters().map(|filters| tiles(&filters)).transpose();
        if let Some(ema) = &self.ema {
            ema.swap()?;
        }
        let epoch = self.progress.epoch;
        if let Some(filters) = filters? {
            self.log.image("first filters", epoch, &filters)?;
        }
        for (number, Mistake { picture, class, taken_for }) in (1..).zip(mistakes?) {
            let classes = self.test.pictures().classes();
            let tag = format!("mistakes/{number}: {} taken for {}", classes[class], classes[taken_for]);
            self.log.image(&tag, epoch, &picture)?;
        }
        Ok(())
    }

    /// The filters of the first convolution (N, C, H, W), if it sees one colour or three.
    fn first_filters(&self) -> Option<Tensor> {
        let first =
            self.store.parameters().into_iter().map(|(_, parameter)| parameter).find(|p| p.dim() == 4);
        first.filter(|filters| matches!(filters.size()[1], 1 | 3))
    }

    /// The first test images that are not taken for what they are.
    fn mistakes(&self) -> Result<Vec<Mistake>> {
        let mut found = Vec::new();
        self.evaluator().run(&self.test, &mut |_| {}, &mut |batch, logits| {
            let guesses = Vec::<i64>::try_from(logits.f_argmax(1, false)?)?;
            let labels = Vec::<i64>::try_from(&batch.labels)?;
            for (i, (&class, &taken_for)) in (0..).zip(labels.iter().zip(&guesses)) {
                if let (Input::Images(images), true) = (&batch.input, class != taken_for) {
                    let picture = tiles(&images.f_narrow(0, i, 1)?)?;
                    found.push(Mistake { picture, class: class as usize, taken_for: taken_for as usize });
                }
                if found.len() == MISTAKES {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }
}
