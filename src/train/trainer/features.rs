//! The features of the stages that are frozen, computed once for all epochs.

use super::network::Network;
use crate::data::Loader;
use crate::machine;
use crate::train::Event;
use crate::{Invalid, torch};
use anyhow::{Result, ensure};
use tch::{Device, Tensor};

/// What the frozen stages make of the pictures of a loader.
pub struct Features {
    /// (N, …) on the CPU, by the places of the pictures.
    values: Tensor,
    labels: Vec<i64>,
    /// Whether the picture at a place can be read.
    read: Vec<bool>,
}

impl Features {
    /// Those of all pictures, as in training or as in a test, in batches of the loader's size.
    ///
    /// # Errors
    /// More than the memory holds, and as of a pass over the pictures.
    pub fn new(
        network: &Network,
        loader: &Loader,
        train: bool,
        observe: &mut dyn FnMut(Event),
    ) -> Result<Self> {
        let _no_grad = tch::no_grad_guard();
        let labels = loader.pictures().labels().to_vec();
        let (mut read, mut values) = (vec![false; labels.len()], None);
        observe(Event::Preparing(format!("computing the features of {} pictures", labels.len())));
        for batch in loader.in_order() {
            let batch = batch?;
            batch.skipped.iter().cloned().for_each(|skipped| observe(Event::Skipped(skipped)));
            if batch.labels.numel() == 0 {
                continue;
            }
            let features = network.prefix(&network.batch(&batch)?.0, train)?;
            let values = match &mut values {
                Some(values) => values,
                empty => empty.insert(room(&features, labels.len())?),
            };
            batch.places.iter().for_each(|&place| read[place] = true);
            let _copied =
                values.f_index_copy_(0, &places(&batch.places)?, &features.f_to_device(Device::Cpu)?)?;
        }
        let none = || Tensor::from_slice(&[0f32; 0]);
        Ok(Self { values: values.unwrap_or_else(none), labels, read })
    }

    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Those of the places whose pictures can be read.
    pub fn readable(&self, mut places: Vec<usize>) -> Vec<usize> {
        places.retain(|&place| self.read[place]);
        places
    }

    /// Features and labels of the pictures at these places, on `device`.
    pub fn batch(&self, of: &[usize], device: Device) -> Result<(Tensor, Tensor)> {
        let labels: Vec<i64> = of.iter().map(|&place| self.labels[place]).collect();
        let features = self.values.f_index_select(0, &places(of)?)?;
        Ok((torch::upload(&features, device)?, torch::upload(&Tensor::f_from_slice(&labels)?, device)?))
    }
}

/// Room for the features of so many pictures, those of the first batch being `like`.
fn room(like: &Tensor, count: usize) -> Result<Tensor> {
    let mut shape = like.size();
    let one = shape.iter().skip(1).product::<i64>() as u64 * like.kind().elt_size_in_bytes() as u64;
    shape[0] = count as i64;
    let needed = one.saturating_mul(count as u64);
    let fits = machine::available_memory().is_none_or(|available| needed < available);
    let message = format!(
        "the features of {count} pictures take {:.1} GiB, more than is free; write `false`, and they are computed in every \
         epoch",
        needed as f64 / f64::from(1 << 30)
    );
    ensure!(fits, Invalid::value("train.cache_features", message));
    Ok(Tensor::f_zeros(&shape, (like.kind(), Device::Cpu))?)
}

fn places(places: &[usize]) -> Result<Tensor> {
    let places: Vec<i64> = places.iter().map(|&place| place as i64).collect();
    Ok(Tensor::f_from_slice(&places)?)
}
