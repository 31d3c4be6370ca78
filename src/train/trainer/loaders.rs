//! The loaders of a run: augmented training batches, and the test images as they are.

use crate::Invalid;
use crate::data::{DataConfig, Draw, Loaded, Loader, LoaderConfig, ModelInput, Pictures};
use crate::models::ModelSpec;
use crate::train::{Event, Precision, RunConfig, TrainConfig};
use crate::weights::About;
use anyhow::{Result, ensure};

pub struct Loaders {
    pub train: Loader,
    pub validation: Option<Loader>,
    pub test: Loader,
    /// The shape of what the model sees in training (C, H, W).
    pub input: [i64; 3],
    /// From pictures to what it sees in a test.
    pub test_input: ModelInput,
    pub classes: i64,
    /// The run's, with what it has adopted.
    data: DataConfig,
}

/// What the pictures of a run that starts from weights are normalised and resized by, unless its file says otherwise.
pub enum Adopted {
    /// How the weights' own pictures are prepared.
    Input(ModelInput),
    /// What the run adopted at its start.
    Data(DataConfig),
}

impl Loaders {
    /// # Errors
    /// Data that cannot be read, settings that do not fit it, or fewer training images than a batch has.
    pub fn new(
        config: &RunConfig,
        adopted: Option<Adopted>,
        pinned: bool,
        observe: &mut dyn FnMut(Event),
    ) -> Result<Self> {
        let RunConfig { data: asked, train: TrainConfig { batch_size, eval_batch_size, .. }, seed, .. } =
            config;
        let mut preparing = |what: &str| observe(Event::Preparing(what.to_owned()));
        preparing(&format!("reading {}", asked.dataset));
        let Loaded { train, validation, test, statistics } = asked.load(*seed)?;
        let left_out = [&train, &test].into_iter().filter_map(Pictures::left_out);
        left_out.for_each(|files| observe(Event::Skipped(files)));
        let mut data = asked.clone();
        match adopted {
            Some(Adopted::Input(input)) => data.adopt(&input, &train, &statistics),
            Some(Adopted::Data(DataConfig { mean, std, interpolation, .. })) => {
                data = DataConfig { mean, std, interpolation, ..data };
            }
            None => {}
        }
        let statistics = data.statistics(statistics);
        let images = image_shape(&train);
        let (input, classes) = (data.resized(images)?, train.classes().len() as i64);
        let tested = data.tested(input)?;
        let test_preprocess = data.test_preprocess(&train, &statistics)?;
        let test_config = LoaderConfig {
            seed: *seed,
            preprocess: test_preprocess.clone(),
            fill: statistics.color(),
            workers: data.workers,
            pinned,
            ..LoaderConfig::in_order(*eval_batch_size)
        };
        let train_config = LoaderConfig {
            batch_size: config.train.micro_batch_size(),
            parts: config.train.accumulate,
            shuffle: true,
            draw: Draw { repeats: data.repeats, balanced: data.balanced },
            augment: data.augment.clone(),
            preprocess: data.preprocess(&train, &statistics)?,
            drop_last: true,
            ..test_config.clone()
        };
        let in_order = |pictures| Loader::new(pictures, test_config.clone());
        let validation = validation.map(in_order).transpose()?;
        let (train, test) = (Loader::new(train, train_config)?, in_order(test)?);
        let one_size = tested == input || !data.mean_image || matches!(train.pictures(), Pictures::Memory(_));
        let message = "has the size of the training images, so `data.test_size` must be the same; remove one";
        ensure!(one_size, Invalid::value("data.mean_image", message));
        let message = format!("{batch_size} is more than the {} training images", train.pictures().len());
        ensure!(train.batches() > 0, Invalid::value("train.batch_size", message));
        let test_input = match test_preprocess {
            Some(preprocess) => ModelInput { preprocess, statistics, size: None },
            None => ModelInput::of_images(images, statistics, [tested[1], tested[2]]),
        };
        Ok(Self { train, validation, test, input, test_input, classes, data })
    }

    /// Measures what the data's settings want to know of the training images, which reads them all: the colours'
    /// components, and the mean image unless a checkpoint `there` has it.
    ///
    /// # Errors
    /// Images that cannot be read.
    pub fn measure(
        &mut self,
        config: &RunConfig,
        there: Option<&About>,
        observe: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let mut preparing = |what: &str| observe(Event::Preparing(what.to_owned()));
        if self.train.learns_lighting() {
            preparing("measuring the colours of the training images");
            self.train.learn_lighting()?;
        }
        if config.data.mean_image {
            self.test_input.statistics.mean = match there {
                Some(there) => there.input.statistics.mean.clone(),
                None => {
                    preparing("computing the mean of the training images");
                    self.train.mean_image()?
                }
            };
        }
        Ok(())
    }

    /// What weights trained on this data say about themselves, before the first step.
    ///
    /// # Errors
    /// A model that does not fit the data.
    pub fn about(&self, config: &RunConfig) -> Result<About> {
        let architecture = config.architecture(self.input, self.classes)?;
        let (version, libtorch) = About::versions();
        Ok(About {
            model: ModelSpec { name: architecture.name.to_owned(), set: architecture.fields()? },
            input: self.test_input.clone(),
            classes: self.train.pictures().classes().to_vec(),
            data: self.data.clone(),
            seed: config.seed,
            train_images: self.train.pictures().len(),
            bfloat16: config.train.precision == Precision::Bfloat16,
            batch_size: config.train.eval_batch_size,
            epoch: 0,
            step: 0,
            top1: None,
            loss: None,
            parents: Vec::new(),
            version,
            libtorch,
        })
    }
}

/// What the weights of a run say of themselves, worked out from its configuration and data; for those that were written
/// before files said it. Epoch and metrics stay unknown.
///
/// # Errors
/// Data that cannot be read, or a model that does not fit it.
pub fn about(config: &RunConfig) -> Result<About> {
    let mut loaders = Loaders::new(config, None, false, &mut |_| {})?;
    loaders.measure(config, None, &mut |_| {})?;
    loaders.about(config)
}

/// The shape of the images in the data set (C, H, W); height and width are 0 for files of many sizes.
fn image_shape(pictures: &Pictures) -> [i64; 3] {
    match pictures {
        Pictures::Memory(dataset) => {
            let images = &dataset.images;
            [images.channels as i64, images.height as i64, images.width as i64]
        }
        Pictures::Files(_) => [3, 0, 0],
    }
}
