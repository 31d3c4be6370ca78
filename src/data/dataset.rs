//! Labelled images of one size, in memory.

use super::{Statistics, Stream};
use anyhow::{Result, bail, ensure};

/// Labelled images of one size, in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    pub name: String,
    pub images: Images,
    /// One class per image, below `classes.len()`.
    pub labels: Vec<i64>,
    pub classes: Vec<String>,
}

/// uint8 pixels, (count, channels, height, width), contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    pub pixels: Vec<u8>,
    pub count: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

/// The training and test split of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Splits {
    pub train: Dataset,
    pub test: Dataset,
}

impl Images {
    /// No images, of the same shape.
    fn empty(&self) -> Self {
        let &Self { channels, height, width, .. } = self;
        Self { pixels: Vec::new(), count: 0, channels, height, width }
    }

    /// Bytes of one image.
    pub fn stride(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// The pixels of one image, (channels, height, width).
    pub fn get(&self, index: usize) -> &[u8] {
        &self.pixels[index * self.stride()..(index + 1) * self.stride()]
    }

    /// Mean and std of each channel over all pixels; exact, from integer sums over histograms.
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
    /// Checks that there is one valid label per image.
    pub(super) fn checked(self, file: &str) -> Result<Self> {
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
            bail!("{file}: label {label} of image {i} is not below {classes}; fetch the files again");
        }
        Ok(self)
    }

    /// The first `count` images of a shuffle seeded by `seed`, or all if there are fewer.
    pub fn sample(&self, count: usize, seed: u64) -> Self {
        let mut order: Vec<usize> = (0..self.images.count).collect();
        Stream::new(seed, "sample", 0, 0).shuffle(&mut order);
        order.truncate(count);
        self.kept(&order)
    }

    /// The images at these places alone, in their order.
    pub(super) fn kept(&self, places: &[usize]) -> Self {
        let pixels = places.iter().flat_map(|&i| self.images.get(i)).copied().collect();
        Self {
            name: self.name.clone(),
            images: Images { pixels, count: places.len(), ..self.images.empty() },
            labels: places.iter().map(|&i| self.labels[i]).collect(),
            classes: self.classes.clone(),
        }
    }

    /// The same images with their classes looked up by name in `classes`.
    ///
    /// # Errors
    /// The name of a class that is not there.
    pub fn relabelled(self, classes: &[String]) -> Result<Self, String> {
        let number = |class: &String| classes.iter().position(|known| known == class).ok_or(class.clone());
        let numbers = self.classes.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        let labels = self.labels.iter().map(|&label| numbers[label as usize] as i64).collect();
        Ok(Self { labels, classes: classes.to_vec(), ..self })
    }

    /// Images per class.
    pub fn label_counts(&self) -> Vec<usize> {
        label_counts(&self.labels, self.classes.len())
    }
}

pub(super) fn label_counts(labels: &[i64], classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    labels.iter().for_each(|&label| counts[label as usize] += 1);
    counts
}
