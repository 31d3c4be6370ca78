//! The labelled images of a loader, in memory or in files.

use super::dataset::label_counts;
use super::{Dataset, ImageFiles, Skipped, Stream};

/// The images of a loader.
pub enum Pictures {
    Memory(Dataset),
    Files(ImageFiles),
}

impl Pictures {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels().len()
    }

    pub fn is_empty(&self) -> bool {
        self.labels().is_empty()
    }

    /// One class per image, below `classes().len()`.
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

    /// What is left out of folders of pictures; see [`ImageFiles::left_out`].
    pub fn left_out(&self) -> Option<Skipped> {
        match self {
            Self::Memory(_) => None,
            Self::Files(files) => files.left_out(),
        }
    }

    /// Images per class.
    pub fn label_counts(&self) -> Vec<usize> {
        label_counts(self.labels(), self.classes().len())
    }

    /// The indices in the order of one epoch, decided by (seed, epoch).
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

    /// Takes `count` images out, drawn the same way for every seed of a run.
    pub(super) fn split_off(&mut self, count: usize) -> Self {
        let mut order: Vec<usize> = (0..self.len()).collect();
        Stream::new(0, "validation", 0, 0).shuffle(&mut order);
        let (out, rest) = order.split_at_mut(count);
        let out = self.kept(out);
        *self = self.kept(rest);
        out
    }

    /// The images at these places alone, in ascending order.
    fn kept(&self, places: &mut [usize]) -> Self {
        places.sort_unstable();
        match self {
            Self::Memory(dataset) => Self::Memory(dataset.kept(places)),
            Self::Files(files) => {
                let mut files = files.clone();
                files.keep(places);
                Self::Files(files)
            }
        }
    }

    /// Keeps the first `count` images of a shuffle seeded by `seed`.
    pub(super) fn sample(&mut self, count: usize, seed: u64) {
        match self {
            Self::Memory(dataset) => *dataset = dataset.sample(count, seed),
            Self::Files(files) => files.sample(count, seed),
        }
    }
}
