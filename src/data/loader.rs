//! Batches in an order decided by the seed alone, prepared in the background while the model computes.

use super::augment::{self, Effects};
use super::draw::{Copy, Draw};
use super::image::Encoded;
use super::{Augment, Dataset, Images, Pictures, Preprocess, Skipped, Statistics, Stream, normalise};
use crate::{locked, machine, torch};
use anyhow::{Context, Result, bail, ensure};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use tch::{Device, Kind, Tensor};

/// Batches prepared ahead of the consumer.
const PREFETCH: usize = 2;

/// A batch of at least this many images of which none can be read is an error, not a few bad files.
const MIN_UNREADABLE_BATCH: usize = 8;

/// Upper bound on the images from which the colours' components are computed.
const MAX_MEASURED_IMAGES: usize = 100_000;

/// How to make batches of a data set.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    pub batch_size: usize,
    /// Batches that one step of training takes, of which each keeps its own order whatever becomes of the others.
    pub parts: usize,
    pub shuffle: bool,
    /// Which images of a shuffled epoch are taken.
    pub draw: Draw,
    pub augment: Vec<Augment>,
    /// Drop last batches that do not fill a step.
    pub drop_last: bool,
    pub seed: u64,
    /// Preprocessing of image files; images in memory stay as they are.
    pub preprocess: Option<Preprocess>,
    /// The colour of the pixels that warps move into the image.
    pub fill: [u8; 3],
    /// Threads that load images. Default: all cores for files, one for images in memory. The batches do not
    /// depend on it.
    pub workers: Option<usize>,
    /// Whether batches are in page-locked memory, for asynchronous copies to a GPU (see [`torch::written`]).
    pub pinned: bool,
}

impl LoaderConfig {
    /// All images as they are, in order.
    pub fn in_order(batch_size: usize) -> Self {
        Self {
            batch_size,
            parts: 1,
            shuffle: false,
            draw: Draw::default(),
            augment: Vec::new(),
            drop_last: false,
            seed: 0,
            preprocess: None,
            fill: [0; 3],
            workers: None,
            pinned: false,
        }
    }
}

/// uint8 images (N, C, H, W) and int64 labels (N), on the CPU. Images that cannot be read are left out, so N
/// may be smaller than the batch size, even 0. In training it is not 1 for that reason: a lone image joins the next batch
/// (of the next step, where a step has several), which then has one more.
pub struct Batch {
    pub images: Tensor,
    pub labels: Tensor,
    /// Where its images are among those of the loader.
    pub places: Vec<usize>,
    /// The augmentation of each image that follows normalisation.
    pub effects: Vec<Effects>,
    /// Images left out of this batch and not reported before.
    pub skipped: Vec<Skipped>,
}

impl Batch {
    /// The network's input: [`normalise`], then the effects.
    ///
    /// # Errors
    /// Same as [`normalise`].
    pub fn input(&self, statistics: &Statistics, device: Device) -> Result<Tensor> {
        let images = normalise(&self.images, statistics, device)?;
        for (i, effects) in (0..).zip(&self.effects).filter(|(_, effects)| **effects != Effects::default()) {
            effects.apply(&images.f_select(0, i)?, statistics)?;
        }
        Ok(images)
    }
}

/// Loads the batches of any epoch from any batch on: order and augmentation depend on (seed, epoch, index)
/// only.
pub struct Loader {
    shared: Arc<Shared>,
    deal: Deal,
}

/// Which of the batches are loaded: those of one of several processes that share them.
#[derive(Clone, Copy)]
struct Deal {
    rank: usize,
    world: usize,
}

impl Deal {
    /// Whether the batch at this place of an epoch is, of steps of so many. Where a step has as many as there are processes, or
    /// several times as many, each has its own of every step, one after the other; else they go around.
    fn has(self, batch: usize, parts: usize) -> bool {
        let Self { rank, world } = self;
        if parts.is_multiple_of(world) {
            batch % parts / (parts / world) == rank
        } else {
            batch % world == rank
        }
    }
}

struct Shared {
    pictures: Pictures,
    config: LoaderConfig,
    pool: ThreadPool,
    /// The images found unreadable so far.
    skipped: Mutex<BTreeSet<usize>>,
}

impl Loader {
    /// # Errors
    /// A batch size or a step of 0, an augmentation that does not fit the images, or image files without preprocessing.
    pub fn new(pictures: Pictures, config: LoaderConfig) -> Result<Self> {
        ensure!(config.batch_size > 0, "the batch size is 0; use 1 or more");
        ensure!(config.parts > 0, "a step has 0 batches; use 1 or more");
        ensure!(config.workers != Some(0), "the number of workers is 0; use 1 or more");
        let (channels, side, workers) = match (&pictures, &config.preprocess) {
            (Pictures::Memory(dataset), _) => (dataset.images.channels, None, 1),
            (Pictures::Files(_), Some(preprocess)) => {
                let side = usize::try_from(preprocess.input[1])?;
                (3, Some(side), machine::cores())
            }
            (Pictures::Files(_), None) => bail!("image files need preprocessing to one size"),
        };
        augment::validate(&config.augment)?;
        augment::fits(&config.augment, channels, side)?;
        let pool = ThreadPoolBuilder::new()
            .num_threads(config.workers.unwrap_or(workers))
            .thread_name(|i| format!("loader {i}"))
            .build()?;
        let shared = Shared { pictures, config, pool, skipped: Mutex::default() };
        Ok(Self { shared: Arc::new(shared), deal: Deal { rank: 0, world: 1 } })
    }

    /// The same pictures, of whose batches this is the share of process `rank` of `world`: no others are read.
    pub fn dealt(&self, rank: usize, world: usize) -> Self {
        Self { shared: Arc::clone(&self.shared), deal: Deal { rank, world } }
    }

    pub fn pictures(&self) -> &Pictures {
        &self.shared.pictures
    }

    /// Batches per epoch.
    pub fn batches(&self) -> usize {
        let (count, &LoaderConfig { batch_size, parts, .. }) = (self.pictures().len(), &self.shared.config);
        if self.shared.config.drop_last {
            count / (batch_size * parts) * parts
        } else {
            count.div_ceil(batch_size)
        }
    }

    /// The indices of the images found unreadable so far, ascending.
    pub fn skipped(&self) -> Vec<usize> {
        locked(&self.shared.skipped).iter().copied().collect()
    }

    /// Adds images that an earlier process found unreadable, so that they are not reported again.
    pub fn know_skipped(&self, indices: &[usize]) {
        locked(&self.shared.skipped).extend(indices);
    }

    /// The mean of all images without augmentation, (channels, height, width) for pixels in [0, 1] (AlexNet, section 2).
    /// Of files it is the mean of the evaluation's crop, the centre of the resized image: what AlexNet's code
    /// (cuda-convnet2) subtracts from every crop.
    ///
    /// # Errors
    /// A whole batch of images that cannot be read.
    pub fn mean_image(&self) -> Result<Vec<f32>> {
        let (mut sums, mut count) = (vec![0; self.shared.shape().iter().product()], 0);
        let all: Vec<usize> = (0..self.pictures().len()).collect();
        self.measure(&all, |images| {
            count += images.size()[0];
            let more = images.f_sum_dim_intlist(&[0i64][..], false, Kind::Int64)?;
            let more = Vec::<i64>::try_from(&more.f_contiguous()?.f_view(-1)?)?;
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            Ok(())
        })?;
        Ok(sums.iter().map(|&sum| (sum as f64 / (255.0 * count.max(1) as f64)) as f32).collect())
    }

    /// Whether [`Self::learn_lighting`] has anything to do.
    pub fn learns_lighting(&self) -> bool {
        let learns = |step: &Augment| matches!(step, Augment::Lighting(lighting) if lighting.training_set);
        self.shared.config.augment.iter().any(learns)
    }

    /// Sets the components of `lighting: {training_set: true}` to the principal components of the images'
    /// colours (AlexNet, section 4.1). If there are more than [`MAX_MEASURED_IMAGES`], the seed draws that many. Call it
    /// before the first epoch.
    ///
    /// # Errors
    /// Same as [`Self::mean_image`], or a call during an epoch.
    pub fn learn_lighting(&mut self) -> Result<()> {
        if !self.learns_lighting() {
            return Ok(());
        }
        let (mut sums, mut products, mut count) = ([0u64; 3], [[0u64; 3]; 3], 0);
        let mut order = self.pictures().order(self.shared.config.seed, 0);
        order.truncate(MAX_MEASURED_IMAGES);
        self.measure(&order, |images| {
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
        let shared = Arc::get_mut(&mut self.shared).context("an epoch is already running")?;
        for step in &mut shared.config.augment {
            if let Augment::Lighting(lighting) = step
                && lighting.training_set
            {
                lighting.set_components(covariance);
            }
        }
        Ok(())
    }

    /// Calls `each` with batches of these images without augmentation.
    fn measure(&self, order: &[usize], mut each: impl FnMut(&Tensor) -> Result<()>) -> Result<()> {
        let mut chunks = order.chunks(self.shared.config.batch_size);
        chunks.try_for_each(|chunk| each(&self.shared.make(&[], 0, chunk)?.images))
    }

    /// The batches of an epoch, starting at batch `first` of all. Background threads prepare them and end when the
    /// iterator is dropped.
    pub fn epoch(&self, epoch: u64, first: usize) -> Batches {
        self.make(epoch, self.copies(epoch), first)
    }

    /// The batches of all images, in their own order.
    pub fn in_order(&self) -> Batches {
        let all: Vec<usize> = (0..self.pictures().len()).collect();
        self.make(0, all.chunks(self.shared.config.batch_size).map(<[usize]>::to_vec).collect(), 0)
    }

    /// The places of the images of each batch that [`Self::epoch`] makes.
    pub fn places(&self, epoch: u64, first: usize) -> Vec<Vec<usize>> {
        let all = self.copies(epoch).into_iter().enumerate().skip(first);
        let own = all.filter(|(batch, _)| self.deal.has(*batch, self.shared.config.parts));
        own.map(|(_, copies)| copies.into_iter().map(|copy| self.shared.index(copy)).collect()).collect()
    }

    /// The images of each batch of an epoch, as the numbers of [`Copy`].
    fn copies(&self, epoch: u64) -> Vec<Vec<usize>> {
        let Shared { pictures, config, .. } = &*self.shared;
        let order = if config.shuffle {
            let order = pictures.order(config.seed, epoch);
            config.draw.draw(order, pictures.labels(), config.seed, epoch)
        } else {
            (0..pictures.len()).collect()
        };
        order.chunks(config.batch_size).take(self.batches()).map(<[usize]>::to_vec).collect()
    }

    /// The batches of these images, from batch `first` on.
    fn make(&self, epoch: u64, places: Vec<Vec<usize>>, first: usize) -> Batches {
        let (sender, receiver) = sync_channel(PREFETCH);
        let (shared, deal) = (Arc::clone(&self.shared), self.deal);
        let parts = shared.config.parts;
        let left = (first..places.len()).filter(|&batch| deal.has(batch, parts)).count();
        thread::spawn(move || {
            let first = first.min(places.len());
            let before = |part: usize| -> Vec<_> {
                places[..first].iter().skip(part).step_by(parts).map(Vec::as_slice).collect()
            };
            let lone =
                |part| deal.has(part, parts).then(|| shared.lone_before(epoch, &before(part))).flatten();
            let mut lones: Vec<_> = (0..parts).map(lone).collect();
            for (i, chunk) in places.iter().enumerate().skip(first).filter(|(i, _)| deal.has(*i, parts)) {
                let lone = &mut lones[i % parts];
                let chunk = &[lone.as_slice(), chunk].concat();
                let mut made = shared.make(&shared.config.augment, epoch, chunk);
                *lone = made.as_mut().ok().and_then(|made| shared.take_lone(made, chunk));
                if sender.send(made).is_err() {
                    return;
                }
            }
        });
        Batches { receiver, left, shared: Arc::clone(&self.shared) }
    }
}

/// A batch as the background threads prepare it.
struct Made {
    images: Tensor,
    labels: Vec<i64>,
    places: Vec<usize>,
    effects: Vec<Effects>,
    /// Images that cannot be read, and why.
    skipped: Vec<(usize, String)>,
}

impl Shared {
    /// Takes the picture out of a training batch of which it is all that can be read: it goes into the next one, since no
    /// batch norm learns from one value a channel.
    fn take_lone(&self, made: &mut Made, chunk: &[usize]) -> Option<usize> {
        if !self.config.drop_last || made.labels.len() != 1 || chunk.len() == 1 {
            return None;
        }
        made.labels.clear();
        made.effects.clear();
        made.places.clear();
        made.images = made.images.narrow(0, 0, 0);
        chunk
            .iter()
            .copied()
            .find(|copy| made.skipped.iter().all(|(skipped, _)| *skipped != self.index(*copy)))
    }

    /// The picture that these batches of an epoch, one of each step, leave for the next one.
    fn lone_before(&self, epoch: u64, chunks: &[&[usize]]) -> Option<usize> {
        let (last, before) = chunks.split_last()?;
        if matches!(self.pictures, Pictures::Memory(_)) {
            return None;
        }
        let mut made = self.make(&self.config.augment, epoch, last).ok()?;
        match made.labels.len() {
            0 => self.lone_before(epoch, before),
            1 => self.take_lone(&mut made, last).filter(|_| self.lone_before(epoch, before).is_none()),
            _ => None,
        }
    }

    /// Channels, height and width of an image in a batch.
    fn shape(&self) -> [usize; 3] {
        match (&self.pictures, &self.config.preprocess) {
            (Pictures::Memory(Dataset { images, .. }), _) => [images.channels, images.height, images.width],
            (_, preprocess) => {
                preprocess.as_ref().map_or([0; 3], |p| p.input.map(|n| usize::try_from(n).unwrap_or(0)))
            }
        }
    }

    /// Loads a batch, each image directly into the tensor, and closes the gaps of those that cannot be read.
    fn make(&self, augment: &[Augment], epoch: u64, chunk: &[usize]) -> Result<Made> {
        let [channels, height, width] = self.shape();
        let stride = channels * height * width;
        // Images in memory are planar, those from files interleaved.
        let shape = match self.pictures {
            Pictures::Memory(_) => [chunk.len(), channels, height, width],
            Pictures::Files(_) => [chunk.len(), height, width, channels],
        };
        let (shape, pinned) = (shape.map(|n| n as i64), self.config.pinned);
        let (images, (labels, places, effects, skipped)) = torch::written(&shape, pinned, |pixels| {
            let outcomes: Vec<Result<Effects>> = self.pool.install(|| {
                let places = pixels.par_chunks_exact_mut(stride).zip(chunk);
                places.map(|(out, &copy)| self.image(augment, epoch, copy, out)).collect()
            });
            let (mut labels, mut places, mut effects, mut skipped) =
                (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for (i, (outcome, &copy)) in outcomes.into_iter().zip(chunk).enumerate() {
                let index = self.index(copy);
                match outcome {
                    Ok(done) => {
                        if i > labels.len() {
                            pixels.copy_within(i * stride..(i + 1) * stride, labels.len() * stride);
                        }
                        labels.push(self.pictures.labels()[index]);
                        places.push(index);
                        effects.push(done);
                    }
                    Err(error) => skipped.push((index, crate::brief(&error))),
                }
            }
            (labels, places, effects, skipped)
        })?;
        let size = chunk.len();
        if let ([], Some((index, reason)), MIN_UNREADABLE_BATCH..) = (&labels[..], skipped.first(), size) {
            bail!("{}: {reason}; none of the {size} images in its batch can be read", self.title(*index));
        }
        let images = images.f_narrow(0, 0, labels.len() as i64)?;
        let images = match self.pictures {
            Pictures::Memory(_) => images,
            Pictures::Files(_) => images.f_permute([0, 3, 1, 2])?,
        };
        Ok(Made { images, labels, places, effects, skipped })
    }

    /// The image of a number of [`Copy`].
    fn index(&self, copy: usize) -> usize {
        Copy::of(copy, self.pictures.len()).index
    }

    fn image(&self, augment: &[Augment], epoch: u64, copy: usize, out: &mut [u8]) -> Result<Effects> {
        let LoaderConfig { seed, fill, .. } = &self.config;
        let (index, mut stream) = (self.index(copy), Stream::new(*seed, "augment", epoch, copy as u64));
        match (&self.pictures, &self.config.preprocess) {
            (Pictures::Memory(Dataset { images, .. }), _) => {
                let Images { height, width, .. } = *images;
                let planes = images.get(index);
                augment::augment_planes(augment, planes, (height, width), *fill, &mut stream, out)
            }
            (Pictures::Files(files), preprocess) => {
                let preprocess = preprocess.as_ref().context("no preprocessing")?;
                let bytes = files.read(index)?;
                let image = Encoded::open(&bytes)?;
                let (image, effects) =
                    augment::augment_image(augment, image, preprocess, *fill, &mut stream)?;
                out.copy_from_slice(&image.pixels);
                Ok(effects)
            }
        }
    }

    /// The name of an image in messages.
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
        let made = self.receiver.recv().context("the thread that loads batches has ended").flatten();
        if made.is_err() {
            self.left = 0;
        }
        Some(made.and_then(|made| self.batch(made)))
    }
}

impl Batches {
    /// Unreadable images are recorded here, when the batch is used: batches prepared ahead may never be.
    fn batch(&self, Made { images, labels, places, effects, skipped }: Made) -> Result<Batch> {
        let mut known = locked(&self.shared.skipped);
        let new = skipped.into_iter().filter(|(index, _)| known.insert(*index));
        let skipped = new.map(|(index, reason)| Skipped { name: self.shared.title(index), reason }).collect();
        Ok(Batch { images, labels: Tensor::f_from_slice(&labels)?, places, effects, skipped })
    }
}
