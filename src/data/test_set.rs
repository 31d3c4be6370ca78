//! The labelled pictures of a test, by name.

use super::{
    DataConfig, Dataset, Fields, ImageFiles, Loaded, Pictures, Splits, Statistics, files, load, shape,
};
use crate::{Usage, brief};
use anyhow::Result;
use std::path::Path;

/// Labelled pictures to test on.
pub enum TestSet {
    /// Pictures of any size.
    Files(ImageFiles),
    /// Images of one size, and the statistics of their training half.
    Images(Dataset, Statistics),
}

impl TestSet {
    /// The test half of the data of a run with this seed.
    ///
    /// # Errors
    /// As [`DataConfig::load`].
    pub fn of(config: &DataConfig, seed: u64) -> Result<Self> {
        let Loaded { test, statistics, .. } = config.load(seed)?;
        Ok(Self::half(test, statistics))
    }

    /// The training half.
    ///
    /// # Errors
    /// As [`DataConfig::load`].
    pub fn training(config: &DataConfig, seed: u64) -> Result<Self> {
        let Loaded { train, statistics, .. } = config.load(seed)?;
        Ok(Self::half(train, statistics))
    }

    fn half(pictures: Pictures, statistics: Statistics) -> Self {
        match pictures {
            Pictures::Memory(images) => Self::Images(images, statistics),
            Pictures::Files(files) => Self::Files(files),
        }
    }

    /// One a picture, below `classes().len()`.
    pub fn labels(&self) -> &[i64] {
        match self {
            Self::Files(files) => &files.labels,
            Self::Images(images, _) => &images.labels,
        }
    }

    pub fn classes(&self) -> &[String] {
        match self {
            Self::Files(files) => &files.classes,
            Self::Images(images, _) => &images.classes,
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Files(files) => &files.name,
            Self::Images(images, _) => &images.name,
        }
    }

    /// What its pictures are called: their files, or the numbers of images in memory.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Files(files) => (0..files.len()).map(|index| files.title(index)).collect(),
            Self::Images(images, _) => (0..images.images.count).map(|index| index.to_string()).collect(),
        }
    }

    /// The pictures at these places alone, in ascending order.
    pub fn keep(&mut self, places: &mut [usize]) {
        match self {
            Self::Files(files) => files.keep(places),
            Self::Images(images, _) => *images = images.kept(places),
        }
    }

    /// A folder with a folder of pictures a class, or the test half of a data set: one below `root`, `idx:DIR`,
    /// `folder:DIR`, `list:DIR`, `webdataset:DIR`, `manifest:FILE` or `parquet:DIR`.
    ///
    /// # Errors
    /// A name that is no folder and no data set ([`Usage`]), or files that are missing or damaged.
    pub fn open(name: &str, root: &Path) -> Result<Self> {
        Self::open_with(name, root, &Fields::default())
    }

    /// Like [`Self::open`], of these fields.
    ///
    /// # Errors
    /// Same as [`Self::open`].
    pub fn open_with(name: &str, root: &Path, fields: &Fields) -> Result<Self> {
        if Path::new(name).is_dir() {
            return Ok(Self::Files(ImageFiles::in_classes(Path::new(name))?));
        }
        if let Some(files) = files::open_test_with(name, root, fields)? {
            return Ok(Self::Files(files));
        }
        shape(name, root).map_err(|error| Usage(format!("{name}: no such folder, and {}", brief(&error))))?;
        let Splits { train, test } = load(name, root)?;
        Ok(Self::Images(test, train.images.statistics()))
    }
}
