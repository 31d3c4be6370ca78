//! The pictures of one half of a data set, in memory or in files.

use super::dataset::label_counts;
use super::{Dataset, ImageFiles, Stream};

/// Where a loader takes its pictures from.
pub enum Pictures {
    Memory(Dataset),
    Files(ImageFiles),
}

impl Pictures {
    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.labels().len()
    }

    pub fn is_empty(&self) -> bool {
        self.labels().is_empty()
    }

    /// One class a picture, below `classes().len()`.
    pub fn labels(&self) -> &[i64] {
        match self {
            Self::Memory(dataset) => &dataset.labels,
            Self::Files(files) => &files.labels,
        }
    }

    pub fn classes(&self) -> &[String] {
        match self {
            Self::Memory(dataset) => &dataset.classes,
            Self::Files(files) => &files.classes,
        }
    }

    /// How many pictures each class has.
    pub fn label_counts(&self) -> Vec<usize> {
        label_counts(self.labels(), self.classes().len())
    }

    /// The pictures in the order of one epoch, which (seed, epoch) decide.
    pub(super) fn order(&self, seed: u64, epoch: u64) -> Vec<usize> {
        match self {
            Self::Files(files) => files.order(seed, epoch),
            Self::Memory(dataset) => {
                let mut order: Vec<usize> = (0..dataset.images.count).collect();
                Stream::new(seed, "order", epoch, 0).shuffle(&mut order);
                order
            }
        }
    }

    /// Keeps the first `count` pictures of a shuffle that `seed` decides.
    pub(super) fn sample(&mut self, count: usize, seed: u64) {
        match self {
            Self::Memory(dataset) => *dataset = dataset.sample(count, seed),
            Self::Files(files) => files.sample(count, seed),
        }
    }
}
