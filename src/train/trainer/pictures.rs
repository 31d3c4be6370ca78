//! Pictures for TensorBoard at the end of a run: the first filters, and misclassified test images.

use super::network::Network;
use crate::data::Loader;
use crate::data::image::{Png, tiles};
use crate::evaluate::Input;
use crate::nn::first_filters;
use anyhow::Result;
use std::ops::ControlFlow;

/// Number of misclassified images shown.
const MISTAKES: usize = 8;

/// A picture and its title.
pub type Titled = (String, Png);

/// Pictures for the current weights.
pub fn pictures(network: &Network, test: &Loader) -> Result<Vec<Titled>> {
    let mut pictures = Vec::new();
    // Of one colour, or of three.
    let filters = first_filters(&network.store)?.filter(|(_, filters)| matches!(filters.size()[1], 1 | 3));
    if let Some((_, filters)) = filters {
        pictures.push(("first filters".to_owned(), tiles(&filters)?));
    }
    pictures.extend(mistakes(network, test)?);
    Ok(pictures)
}

/// The first misclassified test images.
fn mistakes(network: &Network, test: &Loader) -> Result<Vec<Titled>> {
    let classes = test.pictures().classes();
    let mut found = Vec::new();
    network.evaluator(&network.input).run(test, &mut |_| {}, &mut |batch, logits, _| {
        let guesses = Vec::<i64>::try_from(logits.f_argmax(1, false)?)?;
        let labels = Vec::<i64>::try_from(&batch.labels)?;
        for (i, (&label, &guess)) in (0..).zip(labels.iter().zip(&guesses)) {
            if let (Input::Images(images), true) = (&batch.input, label != guess) {
                let [class, taken_for] = [label, guess].map(|class| &classes[class as usize]);
                let title = format!("mistakes/{}: {class} taken for {taken_for}", found.len() + 1);
                found.push((title, tiles(&images.f_narrow(0, i, 1)?)?));
            }
            if found.len() == MISTAKES {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}
