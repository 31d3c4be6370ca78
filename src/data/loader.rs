//! Batches in a random order that only the seed decides, the next one ready while the last one is at work.

use super::augment::augment;
use super::{Augment, Dataset, Images, Statistics, Stream};
use anyhow::{Result, ensure};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use tch::{Device, Kind, Tensor};

/// Batches that may wait, so that memory stays bounded.
const READY: usize = 2;

/// How to make batches of a data set.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    pub batch_size: usize,
    pub shuffle: bool,
    pub augment: Vec<Augment>,
    /// Leave out a last batch that is not full.
    pub drop_last: bool,
    pub seed: u64,
}

/// uint8 images (N, C, H, W) and int64 labels (N), on the CPU.
pub struct Batch {
    pub images: Tensor,
    pub labels: Tensor,
}

/// Makes the batches of any epoch, from any batch on: order and augmentation come from (seed, epoch, index) alone.
pub struct Loader {
    dataset: Arc<Dataset>,
    config: LoaderConfig,
}

impl Loader {
    /// # Errors
    /// A batch size of 0.
    pub fn new(dataset: Arc<Dataset>, config: LoaderConfig) -> Result<Self> {
        ensure!(config.batch_size > 0, "a batch size of 0");
        Ok(Self { dataset, config })
    }

    /// Batches of an epoch.
    pub fn batches(&self) -> usize {
        let (count, size) = (self.dataset.images.count, self.config.batch_size);
        if self.config.drop_last { count / size } else { count.div_ceil(size) }
    }

    /// The batches of an epoch from `first` on. A thread prepares them; it ends when the iterator is dropped.
    pub fn epoch(&self, epoch: u64, first: usize) -> Batches {
        let (sender, receiver) = sync_channel(READY);
        let (dataset, config, batches) = (Arc::clone(&self.dataset), self.config.clone(), self.batches());
        thread::spawn(move || {
            let mut order: Vec<usize> = (0..dataset.images.count).collect();
            if config.shuffle {
                Stream::new(config.seed, "order", epoch, 0).shuffle(&mut order);
            }
            for chunk in order.chunks(config.batch_size).take(batches).skip(first) {
                if sender.send(pixels(&dataset, &config, epoch, chunk)).is_err() {
                    return;
                }
            }
        });
        Batches { receiver, dataset: Arc::clone(&self.dataset) }
    }
}

/// The pictures and labels of one batch as plain memory: tensors stay on the thread that uses them.
fn pixels(dataset: &Dataset, config: &LoaderConfig, epoch: u64, chunk: &[usize]) -> (Vec<u8>, Vec<i64>) {
    let Images { height, width, .. } = dataset.images;
    let stride = dataset.images.stride();
    let mut pixels = vec![0; chunk.len() * stride];
    for (&index, out) in chunk.iter().zip(pixels.chunks_exact_mut(stride)) {
        let mut stream = Stream::new(config.seed, "augment", epoch, index as u64);
        augment(&config.augment, dataset.images.get(index), (height, width), &mut stream, out);
    }
    (pixels, chunk.iter().map(|&index| dataset.labels[index]).collect())
}

/// The iterator of [`Loader::epoch`].
pub struct Batches {
    receiver: Receiver<(Vec<u8>, Vec<i64>)>,
    dataset: Arc<Dataset>,
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let (pixels, labels) = self.receiver.recv().ok()?;
        let Images { channels, height, width, .. } = self.dataset.images;
        let size = [labels.len(), channels, height, width].map(|n| n as i64);
        let batch = || -> Result<Batch> {
            Ok(Batch {
                images: Tensor::f_from_data_size(&pixels, &size, Kind::Uint8)?,
                labels: Tensor::f_from_slice(&labels)?,
            })
        };
        Some(batch())
    }
}

/// `(x / 255 − mean) / std` of uint8 images (N, C, H, W), as float32 on the device: bytes travel, not floats.
///
/// # Errors
/// Images with other channels than the statistics have.
pub fn normalise(images: &Tensor, statistics: &Statistics, device: Device) -> Result<Tensor> {
    let per_channel = |values: Vec<f32>| -> Result<Tensor> {
        Ok(Tensor::f_from_slice(&values)?.f_to_device(device)?.f_reshape([1, -1, 1, 1])?)
    };
    let scale = statistics.std.iter().map(|std| 1.0 / (255.0 * std)).collect();
    let shift = statistics.mean.iter().zip(&statistics.std).map(|(mean, std)| -mean / std).collect();
    let mut pixels = images.f_to_device(device)?.f_to_kind(Kind::Float)?;
    Ok(pixels.f_mul_(&per_channel(scale)?)?.f_add_(&per_channel(shift)?)?)
}
