//! Batches in a random order that only the seed decides, the next one ready while the last one is at work.

use super::augment::{self, Effects};
use super::image::Encoded;
use super::{Augment, Dataset, Images, Pictures, Preprocess, Statistics, Stream, normalise};
use crate::{locked, machine, torch};
use anyhow::{Context, Result, bail, ensure};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use tch::{Device, Kind, Tensor};

/// Batches that may wait, so that memory stays bounded.
const READY: usize = 2;

/// A batch of this many pictures of which none can be read is an error: more is wrong than a picture.
const MIN_UNREADABLE: usize = 8;

/// Pictures of which the mean image and the colours' components are made, at most.
const MEASURED: usize = 100_000;

/// How to make batches of a data set.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    pub batch_size: usize,
    pub shuffle: bool,
    pub augment: Vec<Augment>,
    /// Leave out a last batch that is not full.
    pub drop_last: bool,
    pub seed: u64,
    /// What becomes of pictures of all sizes; images in memory stay as they are.
    pub preprocess: Option<Preprocess>,
    /// What moves into a picture with its warping.
    pub fill: [u8; 3],
    /// Threads that make pictures: all cores for files, one for images in memory, when absent. The batches are the same
    /// for any number.
    pub workers: Option<usize>,
    /// Batches in memory from which a GPU copies by itself (see [`torch::written`]).
    pub pinned: bool,
}

/// uint8 images (N, C, H, W) and int64 labels (N), on the CPU. N is smaller, 0 at the worst, where pictures cannot be read.
pub struct Batch {
    pub images: Tensor,
    pub labels: Tensor,
    /// What is left to do to each picture after normalisation.
    pub effects: Vec<Effects>,
    /// Pictures that cannot be read and are missing from this batch, if they are met for the first time.
    pub skipped: Vec<Skipped>,
}

/// A picture that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub name: String,
    pub reason: String,
}

impl Batch {
    /// The network's input: [`normalise`], then the effects.
    ///
    /// # Errors
    /// As [`normalise`].
    pub fn input(&self, statistics: &Statistics, device: Device) -> Result<Tensor> {
        let images = normalise(&self.images, statistics, device)?;
        for (i, effects) in (0..).zip(&self.effects).filter(|(_, effects)| **effects != Effects::default()) {
            effects.apply(&images.f_select(0, i)?, statistics)?;
        }
        Ok(images)
    }
}

/// Makes the batches of any epoch, from any batch on: order and augmentation come from (seed, epoch, index) alone.
pub struct Loader {
    shared: Arc<Shared>,
}

struct Shared {
    pictures: Pictures,
    config: LoaderConfig,
    pool: ThreadPool,
    /// The pictures that cannot be read, so far.
    skipped: Mutex<BTreeSet<usize>>,
}

impl Loader {
    /// # Errors
    /// A batch size of 0, an augmentation that does not fit the pictures, files without a size to become.
    pub fn new(pictures: Pictures, config: LoaderConfig) -> Result<Self> {
        ensure!(config.batch_size > 0, "a batch size of 0");
        ensure!(config.workers != Some(0), "0 workers make no batches; use 1 or more");
        let (channels, side, workers) = match (&pictures, &config.preprocess) {
            (Pictures::Memory(dataset), _) => (dataset.images.channels, None, 1),
            (Pictures::Files(_), Some(preprocess)) => {
                let side = usize::try_from(preprocess.input[1])?;
                (3, Some(side), machine::cores())
            }
            (Pictures::Files(_), None) => bail!("pictures of all sizes need a size that they become"),
        };
        augment::validate(&config.augment, channels, side)?;
        let pool = ThreadPoolBuilder::new()
            .num_threads(config.workers.unwrap_or(workers))
            .thread_name(|i| format!("loader {i}"))
            .build()?;
        Ok(Self { shared: Arc::new(Shared { pictures, config, pool, skipped: Mutex::default() }) })
    }

    pub fn pictures(&self) -> &Pictures {
        &self.shared.pictures
    }

    /// Batches of an epoch.
    pub fn batches(&self) -> usize {
        let (count, size) = (self.pictures().len(), self.shared.config.batch_size);
        if self.shared.config.drop_last { count / size } else { count.div_ceil(size) }
    }

    /// The pictures that could not be read so far, in the order of the files.
    pub fn skipped(&self) -> Vec<usize> {
        locked(&self.shared.skipped).iter().copied().collect()
    }

    /// Counts pictures as such that could not be read, and does not name them again: those of an earlier process.
    pub fn know_skipped(&self, indices: &[usize]) {
        locked(&self.shared.skipped).extend(indices);
    }

    /// The mean of the pictures without augmentation, (channels, height, width) where white is 1 (AlexNet, section 2); of
    /// [`MEASURED`] that the seed draws where there are more.
    ///
    /// # Errors
    /// Pictures that cannot be read, a whole batch of them.
    pub fn mean_image(&self) -> Result<Vec<f32>> {
        let (mut sums, mut count) = (vec![0; self.shared.shape().iter().product()], 0);
        self.measure(|images| {
            count += images.size()[0];
            let more = images.f_sum_dim_intlist(&[0i64][..], false, Kind::Int64)?;
            let more = Vec::<i64>::try_from(&more.f_contiguous()?.f_view(-1)?)?;
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            Ok(())
        })?;
        Ok(sums.iter().map(|&sum| (sum as f64 / (255.0 * count.max(1) as f64)) as f32).collect())
    }

    /// Gives lighting that asks for it the principal components of the pictures' colours (AlexNet, section 4.1), measured
    /// as [`Self::mean_image`] is. Comes before the first epoch.
    ///
    /// # Errors
    /// As [`Self::mean_image`].
    pub fn learn_lighting(&mut self) -> Result<()> {
        let asks = |step: &Augment| matches!(step, Augment::Lighting(lighting) if lighting.training_set);
        if !self.shared.config.augment.iter().any(asks) {
            return Ok(());
        }
        let (mut sums, mut products, mut count) = ([0u64; 3], [[0u64; 3]; 3], 0);
        self.measure(|images| {
            let pixels = images.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_view(-1)?;
            for pixel in Vec::<u8>::try_from(&pixels)?.chunks_exact(3) {
                count += 1;
                for i in 0..3 {
                    sums[i] += u64::from(pixel[i]);
                    (0..3).for_each(|j| products[i][j] += u64::from(pixel[i]) * u64::from(pixel[j]));
                }
            }
            Ok(())
        })?;
        let mean = |sum: u64| sum as f64 / f64::max(1.0, count as f64);
        let covariance =
            |i: usize, j: usize| (mean(products[i][j]) - mean(sums[i]) * mean(sums[j])) / (255.0 * 255.0);
        let covariance = std::array::from_fn(|i| std::array::from_fn(|j| covariance(i, j)));
        let shared = Arc::get_mut(&mut self.shared).context("an epoch is on its way already")?;
        for step in &mut shared.config.augment {
            if let Augment::Lighting(lighting) = step
                && lighting.training_set
            {
                lighting.set_components(covariance);
            }
        }
        Ok(())
    }

    /// Calls `each` with batches of pictures without augmentation.
    fn measure(&self, mut each: impl FnMut(&Tensor) -> Result<()>) -> Result<()> {
        let Shared { pictures, config, .. } = &*self.shared;
        let mut order = pictures.order(config.seed, 0);
        order.truncate(MEASURED);
        order.chunks(config.batch_size).try_for_each(|chunk| each(&self.shared.make(&[], 0, chunk)?.images))
    }

    /// The batches of an epoch from `first` on. Threads prepare them; they end when the iterator is dropped.
    pub fn epoch(&self, epoch: u64, first: usize) -> Batches {
        let (sender, receiver) = sync_channel(READY);
        let (shared, batches) = (Arc::clone(&self.shared), self.batches());
        thread::spawn(move || {
            let Shared { pictures, config, .. } = &*shared;
            let order = if config.shuffle {
                pictures.order(config.seed, epoch)
            } else {
                (0..pictures.len()).collect()
            };
            for chunk in order.chunks(config.batch_size).take(batches).skip(first) {
                if sender.send(shared.make(&config.augment, epoch, chunk)).is_err() {
                    return;
                }
            }
        });
        Batches { receiver, left: batches.saturating_sub(first), shared: Arc::clone(&self.shared) }
    }
}

/// A batch as the threads make it.
struct Made {
    images: Tensor,
    labels: Vec<i64>,
    effects: Vec<Effects>,
    /// Pictures that cannot be read, and why.
    skipped: Vec<(usize, String)>,
}

impl Shared {
    /// Channels, height and width of a picture in a batch.
    fn shape(&self) -> [usize; 3] {
        match (&self.pictures, &self.config.preprocess) {
            (Pictures::Memory(Dataset { images, .. }), _) => [images.channels, images.height, images.width],
            (_, preprocess) => {
                preprocess.as_ref().map_or([0; 3], |p| p.input.map(|n| usize::try_from(n).unwrap_or(0)))
            }
        }
    }

    /// Makes the pictures of a batch, each into its place of the tensor. Those that cannot be read leave no gap.
    fn make(&self, augment: &[Augment], epoch: u64, chunk: &[usize]) -> Result<Made> {
        let [channels, height, width] = self.shape();
        let stride = channels * height * width;
        // Planes after planes from images in memory, pixels after pixels from files.
        let shape = match self.pictures {
            Pictures::Memory(_) => [chunk.len(), channels, height, width],
            Pictures::Files(_) => [chunk.len(), height, width, channels],
        };
        let (shape, pinned) = (shape.map(|n| n as i64), self.config.pinned);
        let (images, (labels, effects, skipped)) = torch::written(&shape, pinned, |pixels| {
            let outcomes: Vec<Result<Effects>> = self.pool.install(|| {
                let places = pixels.par_chunks_exact_mut(stride).zip(chunk);
                places.map(|(out, &index)| self.picture(augment, epoch, index, out)).collect()
            });
            let (mut labels, mut effects, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
            for (i, (outcome, &index)) in outcomes.into_iter().zip(chunk).enumerate() {
                match outcome {
                    Ok(done) => {
                        if i > labels.len() {
                            pixels.copy_within(i * stride..(i + 1) * stride, labels.len() * stride);
                        }
                        labels.push(self.pictures.labels()[index]);
                        effects.push(done);
                    }
                    Err(error) => skipped.push((index, crate::brief(&error))),
                }
            }
            (labels, effects, skipped)
        })?;
        if let ([], Some((index, reason)), MIN_UNREADABLE..) =
            (labels.as_slice(), skipped.first(), chunk.len())
        {
            bail!("{}: {reason}; no picture of its batch of {} can be read", self.title(*index), chunk.len());
        }
        let images = images.f_narrow(0, 0, labels.len() as i64)?;
        let images = match self.pictures {
            Pictures::Memory(_) => images,
            Pictures::Files(_) => images.f_permute([0, 3, 1, 2])?,
        };
        Ok(Made { images, labels, effects, skipped })
    }

    fn picture(&self, augment: &[Augment], epoch: u64, index: usize, out: &mut [u8]) -> Result<Effects> {
        let LoaderConfig { seed, fill, .. } = &self.config;
        let mut stream = Stream::new(*seed, "augment", epoch, index as u64);
        match (&self.pictures, &self.config.preprocess) {
            (Pictures::Memory(Dataset { images, .. }), _) => {
                let Images { height, width, .. } = *images;
                let planes = images.get(index);
                Ok(augment::augment_planes(augment, planes, (height, width), *fill, &mut stream, out))
            }
            (Pictures::Files(files), preprocess) => {
                let preprocess = preprocess.as_ref().context("no size")?;
                let bytes = files.read(index)?;
                let picture = Encoded::open(&bytes)?;
                let (made, effects) =
                    augment::augment_picture(augment, picture, preprocess, *fill, &mut stream)?;
                out.copy_from_slice(&made.pixels);
                Ok(effects)
            }
        }
    }

    /// What a picture is called in messages.
    fn title(&self, index: usize) -> String {
        match &self.pictures {
            Pictures::Memory(dataset) => format!("{}: image {index}", dataset.name),
            Pictures::Files(files) => files.title(index),
        }
    }
}

/// The iterator of [`Loader::epoch`].
pub struct Batches {
    receiver: Receiver<Result<Made>>,
    left: usize,
    shared: Arc<Shared>,
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let made = self.receiver.recv().context("the thread that makes batches ended").flatten();
        if made.is_err() {
            self.left = 0;
        }
        Some(made.and_then(|made| self.batch(made)))
    }
}

impl Batches {
    /// What is skipped counts from here on: batches that are made ahead may never be used.
    fn batch(&self, Made { images, labels, effects, skipped }: Made) -> Result<Batch> {
        let mut known = locked(&self.shared.skipped);
        let new = skipped.into_iter().filter(|(index, _)| known.insert(*index));
        let skipped = new.map(|(index, reason)| Skipped { name: self.shared.title(index), reason }).collect();
        Ok(Batch { images, labels: Tensor::f_from_slice(&labels)?, effects, skipped })
    }
}
