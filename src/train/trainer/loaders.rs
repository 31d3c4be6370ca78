//! The loaders of a run: augmented training batches, and the test images as they are.

use crate::Invalid;
use crate::data::{Loader, LoaderConfig, Pictures, Statistics};
use crate::train::{RunConfig, TrainConfig};
use anyhow::{Result, ensure};

pub struct Loaders {
    pub train: Loader,
    pub test: Loader,
    /// By which images are normalised.
    pub statistics: Statistics,
    /// The shape of what the model sees (C, H, W).
    pub input: [i64; 3],
    pub classes: i64,
}

impl Loaders {
    /// # Errors
    /// Data that cannot be read, settings that do not fit it, or fewer training images than a batch has.
    pub fn new(config: &RunConfig, pinned: bool) -> Result<Self> {
        let RunConfig { data, train: TrainConfig { batch_size, eval_batch_size, .. }, seed, .. } = config;
        let (train, test, mut statistics) = data.load(*seed)?;
        let (input, classes) = (data.resized(image_shape(&train))?, train.classes().len() as i64);
        let test_config = LoaderConfig {
            seed: *seed,
            preprocess: data.preprocess(&train, &statistics)?,
            fill: statistics.color(),
            workers: data.workers,
            pinned,
            ..LoaderConfig::in_order(*eval_batch_size)
        };
        let train_config = LoaderConfig {
            batch_size: *batch_size,
            shuffle: true,
            augment: data.augment.clone(),
            drop_last: true,
            ..test_config.clone()
        };
        let (mut train, test) = (Loader::new(train, train_config)?, Loader::new(test, test_config)?);
        train.learn_lighting()?;
        if data.mean_image {
            statistics.mean = train.mean_image()?;
        }
        let message = format!("{batch_size} is more than there are training images");
        ensure!(train.batches() > 0, Invalid::value("train.batch_size", message));
        Ok(Self { train, test, statistics, input, classes })
    }
}

/// The shape of the images in the data set (C, H, W); of pictures of all sizes their channels count.
fn image_shape(pictures: &Pictures) -> [i64; 3] {
    match pictures {
        Pictures::Memory(dataset) => {
            let images = &dataset.images;
            [images.channels as i64, images.height as i64, images.width as i64]
        }
        Pictures::Files(_) => [3, 0, 0],
    }
}
