//! Pictures for TensorBoard at the end of a run: the first filters, and misclassified test images.

use super::network::Network;
use crate::data::Loader;
use crate::data::image::{Png, tiles};
use crate::evaluate::Input;
use anyhow::Result;
use std::ops::ControlFlow;
use tch::{Device, Tensor};

/// Number of misclassified images shown.
const MISTAKES: usize = 8;

/// A picture and its title.
pub type Titled = (String, Png);

/// Pictures for the current weights.
pub fn pictures(network: &Network, test: &Loader) -> Result<Vec<Titled>> {
    let mut pictures = Vec::new();
    if let Some(filters) = first_filters(network)? {
        pictures.push(("first filters".to_owned(), tiles(&filters)?));
    }
    pictures.extend(mistakes(network, test)?);
    Ok(pictures)
}

/// The filters of the first convolution (N, C, H, W), if it sees one colour or three: of one tower after the other where
/// there are two.
fn first_filters(network: &Network) -> Result<Option<Tensor>> {
    let parameters = network.store.parameters();
    let Some((first, _)) = parameters.iter().find(|(_, parameter)| parameter.dim() == 4) else {
        return Ok(None);
    };
    let towers = parameters.iter().filter(|(key, _)| within_tower(key) == within_tower(first));
    let towers =
        towers.map(|(_, filters)| filters.f_to_device(Device::Cpu)).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Tensor::f_cat(&towers, 0)?).filter(|filters| matches!(filters.size()[1], 1 | 3)))
}

/// A key without the tower that it begins with.
fn within_tower(key: &str) -> &str {
    let rest = key.strip_prefix("towers.").and_then(|rest| rest.split_once('.'));
    rest.map_or(key, |(_, rest)| rest)
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
