//! Which data a run trains and tests on.

use super::{Augment, Dataset, Splits, Statistics, corpus, load, root, shape};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_yaml::with::singleton_map_recursive;
use std::path::PathBuf;

/// `data: {dataset: fashion-mnist, train: 20000, augment: [pad_crop: 4, flip]}`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A known name (`tchvision data list`), or `idx:DIR` for a folder of MNIST-like files.
    pub dataset: String,
    /// Where data sets are kept; `$TCHVISION_DATA`, else `datasets`, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Number of training images, drawn by the seed; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<usize>,
    /// Number of test images, always the same ones; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<usize>,
    /// Height and width to which images are resized for the model; their own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<i64>,
    #[serde(default, with = "singleton_map_recursive")]
    pub augment: Vec<Augment>,
    /// A channel each, in [0, 1]; those of the training set when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f32>>,
}

impl DataConfig {
    /// Channels, height and width of what the model sees, and the number of classes, without reading the data where
    /// the name tells. A set of photographs of all sizes is known by its classes, and takes `image_size`.
    ///
    /// # Errors
    /// An unknown data set, or a size that is missing or not positive.
    pub fn shape(&self) -> Result<([i64; 3], i64)> {
        let root = self.root.clone().unwrap_or_else(root);
        let (images, classes) = match shape(&self.dataset, &root) {
            Ok((images, classes)) => (Some(images), classes),
            Err(error) => match corpus(&self.dataset).ok().and_then(|corpus| corpus.classes) {
                Some(classes) => (None, i64::try_from(classes)?),
                None => return Err(error),
            },
        };
        match images {
            Some(images) => Ok((self.resized(images)?, classes)),
            None => {
                let size = self.image_size;
                let size = size.with_context(|| {
                    format!("`data.image_size` is missing: the images of {} are of all sizes", self.dataset)
                })?;
                Ok((self.resized([3, size, size])?, classes))
            }
        }
    }

    /// The shape that the model sees of images of this shape (C, H, W).
    ///
    /// # Errors
    /// A size that is not positive.
    pub fn resized(&self, images: [i64; 3]) -> Result<[i64; 3]> {
        let Some(size) = self.image_size else { return Ok(images) };
        ensure!((1..=4096).contains(&size), "`data.image_size`: {size} is not between 1 and 4096");
        Ok([images[0], size, size])
    }

    /// Reads training and test set, and how to normalise both.
    ///
    /// # Errors
    /// A data set that is unknown, missing or damaged, or numbers that do not fit it.
    pub fn load(&self, seed: u64) -> Result<(Dataset, Dataset, Statistics)> {
        let root = self.root.clone().unwrap_or_else(root);
        let Splits { mut train, mut test } = load(&self.dataset, &root)?;
        let mut statistics = train.images.statistics();
        let channels = train.images.channels;
        for (key, given, used) in
            [("mean", &self.mean, &mut statistics.mean), ("std", &self.std, &mut statistics.std)]
        {
            if let Some(values) = given {
                ensure!(
                    values.len() == channels,
                    "`data.{key}`: {} values for {channels} channels",
                    values.len()
                );
                used.clone_from(values);
            }
        }
        ensure!(
            statistics.std.iter().all(|&std| std > 0.0),
            "`data.std`: {:?} must be positive",
            statistics.std
        );
        for (key, count, set, seed) in
            [("train", self.train, &mut train, seed), ("test", self.test, &mut test, 0)]
        {
            if let Some(count) = count {
                let has = set.images.count;
                ensure!((1..=has).contains(&count), "`data.{key}`: {count} is not between 1 and {has}");
                *set = set.sample(count, seed);
            }
        }
        Ok((train, test, statistics))
    }
}
