//! The passes over the test images.

use super::Trainer;
use crate::evaluate::Evaluator;
use crate::torch;
use crate::train::config::Precision;
use crate::train::run::Event;
use anyhow::Result;
use std::ops::ControlFlow;
use tch::{Kind, Reduction, Tensor};

impl Trainer<'_> {
    /// Mean cross-entropy and percent of right answers on the test images.
    pub(super) fn evaluate(&self, observe: &mut dyn FnMut(Event)) -> Result<(f64, f64)> {
        // The weights rest while they are evaluated. Autocast picks its own dtypes, which frozen layers do not.
        if self.config.train.precision != Precision::Bfloat16 {
            self.store.freeze(Kind::Float);
        }
        let outcome = self.evaluate_all(observe);
        self.store.thaw();
        outcome
    }

    fn evaluate_all(&self, observe: &mut dyn FnMut(Event)) -> Result<(f64, f64)> {
        // Summed on the device, as in training.
        let zero = || Tensor::f_zeros([1], (Kind::Double, self.device));
        let (mut loss, mut correct, mut images) = (zero()?, zero()?, 0.0);
        let mut skipped = |picture| observe(Event::Skipped(picture));
        self.evaluator().run(&self.test, &mut skipped, &mut |batch, logits| {
            let labels = torch::upload(&batch.labels, self.device)?;
            let sum = logits.f_cross_entropy_loss(&labels, None::<Tensor>, Reduction::Sum, -100, 0.0)?;
            let _summed = loss.f_add_(&sum)?;
            let _summed = correct.f_add_(&count_correct(&logits, &labels)?)?;
            images += labels.size()[0] as f64;
            Ok(ControlFlow::Continue(()))
        })?;
        let (loss, correct) = (loss.f_double_value(&[0])?, correct.f_double_value(&[0])?);
        Ok((loss / images, 100.0 * correct / images))
    }

    /// The model as it is tested.
    pub(super) fn evaluator(&self) -> Evaluator<'_> {
        let [_, height, width] = self.complexity.input;
        let evaluator = Evaluator::of_images(self.model.as_ref(), self.device, self.statistics.clone());
        let evaluator = evaluator.resized([height, width]);
        match self.config.train.precision {
            Precision::Float32 | Precision::Tf32 => evaluator,
            Precision::Bfloat16 => evaluator.autocast(Kind::BFloat16),
        }
    }
}

/// How many rows of `logits` have their maximum at the label: a float64 scalar on the device.
pub(super) fn count_correct(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Ok(logits.f_argmax(1, false)?.f_eq_tensor(labels)?.f_sum(Kind::Double)?)
}
