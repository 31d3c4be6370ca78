//! Data sets: in memory or in files, fetched with their checksums, augmented and batched as uint8 images.

pub mod augment;
mod cifar;
mod config;
mod corpora;
#[cfg(feature = "hub")]
mod fetch;
mod files;
mod idx;
pub mod image;
mod loader;
mod prepare;
mod preprocess;
mod random;
mod registry;
mod test_set;

pub use augment::{Augment, Mix};
pub use config::DataConfig;
pub use corpora::{Access, Corpus, corpora, corpus};
#[cfg(feature = "hub")]
pub use fetch::{Fetched, fetch};
pub use files::{
    FileSplits, ImageFiles, ImageNet, imagenet, open as open_files, open_test as open_test_files,
    pictures_below,
};
pub use loader::{Batch, Batches, Loader, LoaderConfig, Pictures, Skipped, normalise};
pub use prepare::prepare;
pub use preprocess::{CropMode, Preprocess};
pub use random::Stream;
pub use registry::{Known, known, load, root, shape};
pub use test_set::TestSet;

pub(crate) use loader::fitted;
pub(crate) use preprocess::stacked;

use anyhow::{Result, ensure};

/// Labelled images of one size, in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    pub name: String,
    pub images: Images,
    /// One class a picture, below `classes.len()`.
    pub labels: Vec<i64>,
    pub classes: Vec<String>,
}

/// uint8 pixels, (count, channels, height, width) without gaps.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    pub pixels: Vec<u8>,
    pub count: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

/// The two halves that every data set here comes in.
#[derive(Clone, Debug, PartialEq)]
pub struct Splits {
    pub train: Dataset,
    pub test: Dataset,
}

/// Mean and standard deviation a channel, in units where white is 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// A channel each, or a mean image (channels, height, width).
    pub mean: Vec<f32>,
    pub std: Vec<f32>,
}

impl Statistics {
    /// The mean colour in 8 bits; of images in gray that gray.
    pub fn color(&self) -> [u8; 3] {
        let level = |i: usize| {
            (255.0 * self.mean.get(i).or(self.mean.first()).unwrap_or(&0.0)).round_ties_even() as u8
        };
        [level(0), level(1), level(2)]
    }
}

impl Images {
    /// No pictures, of the same size.
    fn empty(&self) -> Self {
        let &Self { channels, height, width, .. } = self;
        Self { pixels: Vec::new(), count: 0, channels, height, width }
    }

    /// Bytes of one picture.
    pub fn stride(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// One picture's pixels, (channels, height, width).
    pub fn get(&self, index: usize) -> &[u8] {
        &self.pixels[index * self.stride()..(index + 1) * self.stride()]
    }

    /// Over all pixels, exact: integer sums of the histograms.
    pub fn statistics(&self) -> Statistics {
        let plane = self.height * self.width;
        let mut histograms = vec![[0u64; 256]; self.channels];
        for (i, channel) in self.pixels.chunks_exact(plane.max(1)).enumerate() {
            let histogram = &mut histograms[i % self.channels];
            channel.iter().for_each(|&pixel| histogram[usize::from(pixel)] += 1);
        }
        let moments = histograms.iter().map(|histogram| {
            let sum = |power: u32| -> f64 {
                histogram.iter().zip(0u64..).map(|(count, value)| count * value.pow(power)).sum::<u64>()
                    as f64
            };
            let n = sum(0).max(1.0);
            let mean = sum(1) / n;
            ((mean / 255.0) as f32, ((sum(2) / n - mean * mean).max(0.0).sqrt() / 255.0) as f32)
        });
        let (mean, std) = moments.unzip();
        Statistics { mean, std }
    }
}

impl Dataset {
    /// Checks that labels and pictures belong together.
    fn checked(self, file: &str) -> Result<Self> {
        let Images { count, .. } = self.images;
        ensure!(
            self.labels.len() == count,
            "{file}: {} labels for {count} images; fetch the files again",
            self.labels.len()
        );
        let classes = self.classes.len() as i64;
        if let Some((i, label)) =
            self.labels.iter().enumerate().find(|(_, label)| !(0..classes).contains(*label))
        {
            anyhow::bail!("{file}: label {label} of image {i} is not below {classes}; fetch the files again");
        }
        Ok(self)
    }

    /// The first `count` pictures of a shuffle that `seed` decides; all where there are no more.
    pub fn sample(&self, count: usize, seed: u64) -> Self {
        let mut order: Vec<usize> = (0..self.images.count).collect();
        Stream::new(seed, "sample", 0, 0).shuffle(&mut order);
        order.truncate(count);
        let pixels = order.iter().flat_map(|&i| self.images.get(i)).copied().collect();
        Self {
            name: self.name.clone(),
            images: Images { pixels, count: order.len(), ..self.images.empty() },
            labels: order.iter().map(|&i| self.labels[i]).collect(),
            classes: self.classes.clone(),
        }
    }

    /// How many pictures each class has.
    pub fn label_counts(&self) -> Vec<usize> {
        label_counts(&self.labels, self.classes.len())
    }
}

fn label_counts(labels: &[i64], classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    labels.iter().for_each(|&label| counts[label as usize] += 1);
    counts
}
