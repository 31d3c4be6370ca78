//! The passes over the test images.

use super::network::Network;
use crate::data::Loader;
use crate::torch;
use crate::train::{Event, Precision};
use anyhow::{Result, ensure};
use std::ops::ControlFlow;
use tch::{Kind, Reduction, Tensor};

/// Mean cross-entropy and percent of right answers on the test images that can be read.
///
/// # Errors
/// As [`crate::evaluate::Evaluator::run`], or test images of which none can be read.
pub fn evaluate(network: &Network, test: &Loader, observe: &mut dyn FnMut(Event)) -> Result<(f64, f64)> {
    let _no_grad = tch::no_grad_guard();
    // The weights rest while they are evaluated. Autocast picks its own dtypes, which frozen layers do not.
    if network.precision != Precision::Bfloat16 {
        network.store.freeze(Kind::Float);
    }
    let outcome = evaluate_all(network, test, observe);
    network.store.thaw();
    outcome
}

fn evaluate_all(network: &Network, test: &Loader, observe: &mut dyn FnMut(Event)) -> Result<(f64, f64)> {
    // Summed on the device, as in training.
    let zero = || Tensor::f_zeros([1], (Kind::Double, network.device));
    let (mut loss, mut correct, mut images) = (zero()?, zero()?, 0.0);
    let of = test.pictures().len();
    let mut unread = Vec::new();
    network.evaluator().run(test, &mut |picture| unread.push(picture), &mut |batch, logits| {
        let labels = torch::upload(&batch.labels, network.device)?;
        let sum = logits.f_cross_entropy_loss(&labels, None::<Tensor>, Reduction::Sum, -100, 0.0)?;
        let _summed = loss.f_add_(&sum)?;
        let _summed = correct.f_add_(&count_correct(&logits, &labels)?)?;
        images += labels.size()[0] as f64;
        observe(Event::Tested { images: images as usize, of });
        Ok(ControlFlow::Continue(()))
    })?;
    let why = unread
        .first()
        .map_or(String::new(), |first| format!("; the first: {}: {}", first.name, first.reason));
    unread.into_iter().for_each(|picture| observe(Event::Skipped(picture)));
    ensure!(images > 0.0, "none of the {of} test pictures can be read{why}");
    let (loss, correct) = (loss.f_double_value(&[0])?, correct.f_double_value(&[0])?);
    Ok((loss / images, 100.0 * correct / images))
}

/// How many rows of `logits` have their maximum at the label: a float64 scalar on the device.
pub fn count_correct(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Ok(logits.f_argmax(1, false)?.f_eq_tensor(labels)?.f_sum(Kind::Double)?)
}
