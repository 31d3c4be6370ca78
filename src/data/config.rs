//! The data that a run trains and tests on.

use super::image::Interpolation;
use super::{
    Augment, CropMode, Fields, FileSplits, Mix, ModelInput, Pictures, Portion, Preprocess, Splits, Statistics,
};
use super::{augment, files, load, root, shape};
use crate::Invalid;
use anyhow::{Error, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_yaml::with::singleton_map_recursive;
use std::path::PathBuf;

/// `data: {dataset: fashion-mnist, train: 20000, augment: [pad_crop: 4, flip]}`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A known name (`tchvision data list`), `idx:DIR` for a folder of MNIST-like files, or images of any
    /// size in `folder:DIR` (`train` and `val` with a sub-folder per class), `list:DIR` (`train.txt` and
    /// `val.txt` with lines `path label`), `webdataset:DIR` (tar shards; also names with braces), `manifest:FILE` (CSV or
    /// JSON lines with columns `path`, `label` and `split`), `parquet:DIR` (as the Hugging Face Hub has
    /// them) or `hf:OWNER/NAME` (a data set of that Hub, `@REVISION` and `:CONFIG` behind it where wanted).
    pub dataset: String,
    /// The picture of a sample of shards, such as `rgb.jpg`, or its column in a table. Default: the usual names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The label of a sample of shards, `FIELD` or `json:KEY.KEY`, or its column in a table. Default: the usual names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// A file with the classes of shards, tables and lists: a name a line, or JSON, a list of names or an object with the
    /// number of each. Default: `classes.txt` beside them, else what they say themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<PathBuf>,
    /// The folder of the data sets. Default: `$TCHVISION_DATA`, else `datasets`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Number of training images, drawn with the run's seed. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<usize>,
    /// Training images that are kept for validation, a number or a fraction, the same for every seed: what chooses
    /// (the best epoch, patience, `halving`, `search`) looks at them, and the test images are read once, at the end.
    /// Default: none, and choices look at the test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Portion>,
    /// Number of test images, the same for every seed. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<usize>,
    /// Height and width to which images are resized for the model. Default: their own size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<i64>,
    /// Height and width of the images that the model is tested on (FixRes, 1906.06423). Default: `image_size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_size: Option<i64>,
    /// The fraction of the short side that the evaluation crop keeps, for images of any size. Default: 0.875.
    #[serde(default, alias = "crop_pct", skip_serializing_if = "Option::is_none")]
    pub test_crop: Option<f64>,
    /// The interpolation that resizes images of any size. Default: bilinear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpolation: Option<Interpolation>,
    #[serde(default, serialize_with = "singleton_map_recursive::serialize")]
    pub augment: Vec<Augment>,
    /// Mixup and CutMix of training batches. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<Mix>,
    /// Take each image this many times in a row, each with an augmentation of its own, and so many fewer of them in an epoch
    /// (repeated augmentation, 1902.05509).
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub repeats: usize,
    /// Draw training images with replacement, each class as often as every other, for data where some are rare.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub balanced: bool,
    /// Threads that read and augment. Default: all cores for image files, 1 for images in memory. The pixels
    /// do not depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    /// One per channel, for pixels in [0, 1]. Default: the training set's, or ImageNet's for image files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f32>>,
    /// As `mean`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f32>>,
    /// Subtract the mean image of the training set instead of one mean per channel (AlexNet).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mean_image: bool,
}

fn once() -> usize {
    1
}

fn is_once(times: &usize) -> bool {
    *times == 1
}

/// The splits of a run's data, and what normalises their pixels.
pub struct Loaded {
    pub train: Pictures,
    /// Held back from the training images, where the run validates.
    pub validation: Option<Pictures>,
    pub test: Pictures,
    pub statistics: Statistics,
}

/// Statistics of ImageNet-1k's training images, as in torchvision and timm.
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

impl DataConfig {
    /// Checks what can be known without the data.
    ///
    /// # Errors
    /// A setting that is out of range, as an [`Invalid`].
    pub fn validate(&self) -> Result<()> {
        let valid = |holds: bool, key: &str, message: String| {
            ensure!(holds, Invalid::value(&format!("data.{key}"), message));
            Ok(())
        };
        for (key, count) in [("train", self.train), ("test", self.test), ("workers", self.workers)] {
            valid(count != Some(0), key, "0 is impossible; use 1 or more".to_owned())?;
        }
        valid(self.repeats > 0, "repeats", "0 is impossible; use 1 or more".to_owned())?;
        self.resized([0; 3]).and_then(|shape| self.tested(shape))?;
        let crop = self.test_crop.unwrap_or(1.0);
        valid((0.1..=1.0).contains(&crop), "test_crop", format!("{crop} is not between 0.1 and 1"))?;
        let std = self.std.as_deref().unwrap_or_default();
        valid(std.iter().all(|&std| std > 0.0), "std", format!("{std:?} is not above 0 throughout"))?;
        let message = "it and `data.mean` exclude each other; remove one";
        valid(!self.mean_image || self.mean.is_none(), "mean_image", message.to_owned())?;
        self.mix.as_ref().map_or(Ok(()), Mix::validate)?;
        augment::validate(&self.augment)
    }

    /// An error of the data set itself, which is a wrong name or files that are not there.
    fn of_dataset(error: Error) -> Error {
        match error.is::<Invalid>() {
            true => error,
            false => Invalid::of(&error).below("data.dataset").into(),
        }
    }

    fn fields(&self) -> Fields {
        Fields { picture: self.field.clone(), label: self.label.clone(), classes: self.classes.clone() }
    }

    fn root(&self) -> PathBuf {
        self.root.clone().unwrap_or_else(root)
    }

    /// Channels, height and width of the model's input, and the number of classes; reads the data only if the
    /// name does not determine them.
    ///
    /// # Errors
    /// An unknown data set, an image size that is missing or out of range, or an augmentation that does not fit the
    /// images.
    pub fn shape(&self) -> Result<([i64; 3], i64)> {
        if let Some(classes) =
            files::classes(&self.dataset, &self.root(), &self.fields()).map_err(Self::of_dataset)?
        {
            let input = self.resized([3, self.side()?, self.side()?])?;
            augment::fits(&self.augment, 3, Some(usize::try_from(input[1])?))?;
            return Ok((input, classes));
        }
        let (images, classes) = shape(&self.dataset, &self.root()).map_err(Self::of_dataset)?;
        augment::fits(&self.augment, usize::try_from(images[0])?, None)?;
        Ok((self.resized(images)?, classes))
    }

    /// The input shape for images of shape (C, H, W): resized to `image_size` if it is set.
    ///
    /// # Errors
    /// An image size out of range.
    pub fn resized(&self, images: [i64; 3]) -> Result<[i64; 3]> {
        at(images, "data.image_size", self.image_size)
    }

    /// The input shape of a test, for a training input of shape (C, H, W): `test_size` if it is set.
    ///
    /// # Errors
    /// A size out of range.
    pub fn tested(&self, input: [i64; 3]) -> Result<[i64; 3]> {
        at(input, "data.test_size", self.test_size)
    }

    /// The size to which images of any size are resized.
    fn side(&self) -> Result<i64> {
        Ok(self.image_size.ok_or_else(|| {
            let message =
                format!("is missing; the images of {} differ in size, so write a number", self.dataset);
            Invalid::value("data.image_size", message)
        })?)
    }

    /// Opens the splits, and the statistics of the training images, which normalise all.
    ///
    /// # Errors
    /// A data set that is unknown, missing or damaged, or settings that do not fit it.
    pub fn load(&self, seed: u64) -> Result<Loaded> {
        self.validate()?;
        let opened =
            files::open_with(&self.dataset, &self.root(), &self.fields()).map_err(Self::of_dataset)?;
        let (mut train, mut test) = match opened {
            Some(FileSplits { train, test }) => (Pictures::Files(train), Pictures::Files(test)),
            None => {
                let Splits { train, test } = load(&self.dataset, &self.root()).map_err(Self::of_dataset)?;
                (Pictures::Memory(train), Pictures::Memory(test))
            }
        };
        // What has no half of its own to test on is tested on what is kept for validation.
        let has_test = !test.is_empty();
        if !has_test {
            let message = format!(
                "{} has no half to test on; keep a part of its training pictures, such as `validation: 0.05`",
                self.dataset
            );
            let portion = self.validation.ok_or_else(|| Invalid::value("data.validation", message))?;
            test = train.split_off(portion.of(train.len())?);
        }
        let validation = match self.validation {
            Some(portion) if has_test => Some(train.split_off(portion.of(train.len())?)),
            _ => None,
        };
        let mut statistics = match &train {
            Pictures::Files(_) => Statistics { mean: IMAGENET_MEAN.to_vec(), std: IMAGENET_STD.to_vec() },
            Pictures::Memory(train) => train.images.statistics(),
        };
        let channels = statistics.mean.len();
        for (key, given, used) in
            [("mean", &self.mean, &mut statistics.mean), ("std", &self.std, &mut statistics.std)]
        {
            if let Some(values) = given {
                let message = format!("{} values, and the images have {channels} channel(s)", values.len());
                ensure!(values.len() == channels, Invalid::value(&format!("data.{key}"), message));
                used.clone_from(values);
            }
        }
        let message = format!("{:?} is not above 0 throughout; set it", statistics.std);
        ensure!(statistics.std.iter().all(|&std| std > 0.0), Invalid::value("data.std", message));
        for (key, count, set, seed) in
            [("train", self.train, &mut train, seed), ("test", self.test, &mut test, 0)]
        {
            if let Some(count) = count {
                let has = set.len();
                let message = format!("{count} is not between 1 and {has}");
                ensure!((1..=has).contains(&count), Invalid::value(&format!("data.{key}"), message));
                set.sample(count, seed);
            }
        }
        if let Pictures::Files(pictures) = &test {
            files::check_test(pictures).map_err(Self::of_dataset)?;
        }
        Ok(Loaded { train, validation, test, statistics })
    }

    /// Takes over how the pictures of pretrained weights are normalised and resized, where nothing is said of it. For other
    /// channels than the weights' all get the mean of theirs, as in timm; of a mean image its mean colour is taken.
    pub fn adopt(&mut self, weights: &ModelInput, pictures: &Pictures, statistics: &Statistics) {
        let channels = statistics.std.len();
        let Statistics { mean, std } = &weights.statistics;
        let average = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
        let colour: Vec<f32> = mean.chunks((mean.len() / std.len()).max(1)).map(average).collect();
        let fitted = |values: Vec<f32>| match values.len() == channels {
            true => values,
            false => vec![average(&values); channels],
        };
        if self.mean.is_none() && !self.mean_image {
            self.mean = Some(fitted(colour));
        }
        self.std.get_or_insert_with(|| fitted(std.clone()));
        if let (Pictures::Files(_), None) = (pictures, weights.size) {
            self.interpolation.get_or_insert(weights.preprocess.interpolation);
        }
    }

    /// Those given, in place of `measured`.
    pub fn statistics(&self, measured: Statistics) -> Statistics {
        Statistics {
            mean: self.mean.clone().unwrap_or(measured.mean),
            std: self.std.clone().unwrap_or(measured.std),
        }
    }

    /// How pictures of any size become images of training, before augmentation; `None` for images in memory, which all
    /// have the same size.
    ///
    /// # Errors
    /// An image size that is missing, or settings that are out of range or do not apply.
    pub fn preprocess(&self, pictures: &Pictures, statistics: &Statistics) -> Result<Option<Preprocess>> {
        if matches!(pictures, Pictures::Memory(_)) {
            let given =
                [("test_crop", self.test_crop.is_some()), ("interpolation", self.interpolation.is_some())];
            if let Some((key, _)) = given.into_iter().find(|(_, given)| *given) {
                let message =
                    format!("is for images of any size, and those of {} have one; remove it", self.dataset);
                bail!(Invalid::value(&format!("data.{key}"), message));
            }
            return Ok(None);
        }
        let input = self.resized([3, self.side()?, self.side()?])?;
        let crop_pct = self.test_crop.unwrap_or(0.875);
        let three = |values: &[f32]| std::array::from_fn(|i| f64::from(values[i]));
        Ok(Some(Preprocess {
            input,
            resize: (input[1] as f64 / crop_pct) as i64,
            interpolation: self.interpolation.unwrap_or(Interpolation::Bilinear),
            crop_mode: CropMode::Center,
            crop_pct,
            mean: three(&statistics.mean),
            std: three(&statistics.std),
        }))
    }

    /// As [`Self::preprocess`], of a test.
    ///
    /// # Errors
    /// Same as [`Self::preprocess`].
    pub fn test_preprocess(
        &self,
        pictures: &Pictures,
        statistics: &Statistics,
    ) -> Result<Option<Preprocess>> {
        let Some(preprocess) = self.preprocess(pictures, statistics)? else { return Ok(None) };
        let [_, side, _] = self.tested(preprocess.input)?;
        Ok(Some(preprocess.at(side)))
    }
}

/// A shape (C, H, W) at another side, the value of `key`.
fn at(shape: [i64; 3], key: &str, side: Option<i64>) -> Result<[i64; 3]> {
    let Some(side) = side else { return Ok(shape) };
    let message = format!("{side} is not between 1 and 4096");
    ensure!((1..=4096).contains(&side), Invalid::value(key, message));
    Ok([shape[0], side, side])
}
