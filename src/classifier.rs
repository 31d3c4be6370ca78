//! The front door: a model with its weights, and what turns pictures into the names of what is in them.
//!
//! ```no_run
//! # use std::path::{Path, PathBuf};
//! use tchvision::Classifier;
//!
//! # fn main() -> anyhow::Result<()> {
//! // Public weights; `Classifier::of_file` takes a file, or the directory of a run.
//! let classifier = Classifier::builder("resnet50.a1_in1k").open(&mut |_file, _bytes, _of| {})?;
//! let pictures = vec![PathBuf::from("cat.jpg"), PathBuf::from("dog.jpg")];
//! classifier.classify(&pictures, 5, 32, &mut |skipped| eprintln!("{}", skipped.reason), &mut |place, top| {
//!     println!("{}: {:?}", pictures[place].display(), top[0].label);
//!     Ok(())
//! })
//! # }
//! ```

mod builder;

pub use builder::Builder;
use builder::Parts;

use crate::data::{
    DataConfig, Dataset, ImageFiles, Loader, LoaderConfig, ModelInput, Pictures, Preprocess, Skipped,
    Statistics, TestSet, imagenet,
};
use crate::evaluate::{Accuracy, Evaluator, Outcome, Protocol, ReadPictures, Scores, Source, Views};
use crate::models::Model;
use crate::nn::Store;
use crate::weights::{About, Parent};
use crate::{Remedy, Usage};
use anyhow::{Error, Result, bail};
use serde::Serialize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tch::{Device, Kind};

/// A model with its weights, and how pictures become its input and its outputs names.
pub struct Classifier(Parts);

/// A class of a picture, and how likely it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Likely {
    pub class: usize,
    pub label: Option<String>,
    pub probability: f64,
}

/// What an evaluation found.
pub struct Evaluated {
    /// The name of the data.
    pub data: String,
    /// The names of the classes that a picture may be taken for.
    pub classes: Vec<String>,
    /// Those of them that the data has.
    pub present: Vec<usize>,
    pub accuracy: Accuracy,
    /// Pictures that could not be read.
    pub skipped: usize,
}

/// Classes that a message names.
const SHOWN_CLASSES: usize = 10;

/// For fewer views weights stay as they are.
const WORTH_FREEZING: usize = 4;

impl Builder {
    /// Reads the weights, or fetches them where they are public; `progress` hears file, bytes so far, and bytes in all.
    ///
    /// # Errors
    /// A name, field or value that cannot be ([`Usage`]), and weights that cannot be had, are not this model's, or have no
    /// classifier.
    pub fn open(self, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<Classifier> {
        Ok(Classifier(self.parts(progress)?))
    }
}

impl Classifier {
    /// The model of this name, such as `resnet50`, `timm/resnet50` or `resnet50.a1_in1k`.
    pub fn builder(name: &str) -> Builder {
        Builder::default().named(name)
    }

    /// The model that a file of weights says it is of, or the one in the directory of a run as it stands at its end.
    pub fn of_file(path: impl Into<PathBuf>) -> Builder {
        Builder::default().file(path)
    }

    /// The model's registered name.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Which weights these are and how pictures become their input, to the last bit: what two of the same give is the same.
    ///
    /// # Errors
    /// A file of weights that cannot be read any more.
    pub fn identity(&self) -> Result<String> {
        let Parts { source, file, .. } = &self.0;
        Ok(match file.as_ref().filter(|file| file.is_file()) {
            Some(file) => format!("{source}, sha256 {:.12}", Parent::of(file)?.sha256),
            None => source.clone(),
        })
    }

    pub fn model(&self) -> &dyn Model {
        self.0.model.as_ref()
    }

    /// Where the model is.
    pub fn device(&self) -> Device {
        self.0.device
    }

    /// Outputs of the head.
    pub fn classes(&self) -> usize {
        self.0.classes
    }

    /// The names of the outputs, where they are known.
    pub fn labels(&self) -> Option<&[String]> {
        self.0.labels.as_deref()
    }

    /// How pictures of any size become images.
    pub fn preprocess(&self) -> &Preprocess {
        &self.0.input.preprocess
    }

    /// The whole way from pictures to the input.
    pub fn input(&self) -> &ModelInput {
        &self.0.input
    }

    /// What the weights say of themselves, where a run here has trained them.
    pub fn about(&self) -> Option<&About> {
        self.0.about.as_ref()
    }

    /// The test data of the run that trained the weights; `root` in place of the folder of data sets that it had.
    ///
    /// # Errors
    /// Weights that no run here has trained ([`Usage`]), or data that is missing or damaged.
    pub fn test_set(&self, root: Option<&Path>) -> Result<TestSet> {
        match &self.0.about {
            Some(About { data, seed, .. }) => {
                let root = root.map(Path::to_owned).or_else(|| data.root.clone());
                TestSet::of(&DataConfig { root, ..data.clone() }, *seed)
            }
            None => {
                bail!(Usage(format!("{}: its weights do not name the data they were tested on", self.0.name)))
            }
        }
    }

    /// What the weights are, as far as it is not in their name, and what is assumed because nothing tells it.
    pub fn notes(&self) -> &[String] {
        &self.0.notes
    }

    /// Makes the model ready for so many views: weights are folded and packed where that takes less time than it saves,
    /// and where they are to be of another dtype.
    fn ready_for(&self, views: usize) {
        if let Some(dtype) = self.0.frozen
            && (views >= WORTH_FREEZING || dtype != Kind::Float)
        {
            self.0.store.freeze(dtype);
        }
    }

    /// The model as it is tested, with what makes its input.
    fn evaluator<'a>(&'a self, input: &'a ModelInput) -> Evaluator<'a> {
        let evaluator = Evaluator::new(self.model(), self.0.device, input);
        if self.0.frozen.is_none() { evaluator.autocast(Kind::BFloat16) } else { evaluator }
    }

    /// The `topk` likeliest classes of pictures, `batch_size` of which go through the network at once. `each` hears, in the
    /// order of the pictures, the place of one and its classes, the likeliest first; `skipped` hears of those that cannot
    /// be read.
    ///
    /// # Errors
    /// A model that does not take its input, and those of `each`.
    pub fn classify(
        &self,
        pictures: &dyn ReadPictures,
        topk: usize,
        batch_size: usize,
        skipped: &mut dyn FnMut(Skipped),
        each: &mut dyn FnMut(usize, Vec<Likely>) -> Result<()>,
    ) -> Result<()> {
        self.ready_for(pictures.count());
        let (preprocess, protocol) = (self.preprocess(), Protocol::Center);
        let evaluator = self.evaluator(&self.0.input);
        let source = Views { pictures, label: &|place| place as i64, preprocess, protocol, batch_size };
        let topk = topk.min(self.0.classes);
        evaluator.run(&source, skipped, &mut |batch, logits| {
            let (likely, best) = logits.f_softmax(1, Kind::Float)?.f_topk(topk as i64, 1, true, true)?;
            let likely = Vec::<f64>::try_from(likely.f_to_kind(Kind::Double)?.f_view(-1)?)?;
            let best = Vec::<i64>::try_from(best.f_view(-1)?)?;
            let places = Vec::<i64>::try_from(&batch.labels)?;
            for (place, (likely, best)) in places.into_iter().zip(likely.chunks(topk).zip(best.chunks(topk)))
            {
                let top = likely.iter().zip(best).map(|(&probability, &class)| {
                    let class = class as usize;
                    let label = self.0.labels.as_ref().and_then(|labels| labels.get(class).cloned());
                    Likely { class, label, probability }
                });
                each(place as usize, top.collect())?;
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The accuracy on labelled pictures, about `batch_size` views of which go through the network at once; `each` hears the
    /// place of one and what the model makes of it, `skipped` of those that cannot be read.
    ///
    /// # Errors
    /// Data whose classes are not the model's outputs, or that the protocol is not for ([`Usage`]), and those of `each`.
    pub fn evaluate(
        &self,
        data: TestSet,
        protocol: Protocol,
        batch_size: usize,
        skipped: &mut dyn FnMut(Skipped),
        each: &mut dyn FnMut(usize, &Outcome) -> Result<()>,
    ) -> Result<Evaluated> {
        let mut count = 0;
        let mut skipped = |picture| {
            count += 1;
            skipped(picture);
        };
        // Of several views the mean of their probabilities counts.
        let kind = if protocol.count() > 1 { Scores::Probabilities } else { Scores::Logits };
        let (name, classes, has, accuracy) = match data {
            TestSet::Files(files) => {
                let files = self.among_outputs(files)?;
                self.ready_for(files.len() * protocol.count());
                let preprocess = self.preprocess();
                let evaluator = self.evaluator(&self.0.input).viewing(protocol)?;
                let label = |place: usize| files.labels[place];
                let source = Views { pictures: &files, label: &label, preprocess, protocol, batch_size };
                let accuracy = measured(&evaluator, &source, files.classes.len(), kind, &mut skipped, each)?;
                (files.name.clone(), files.classes.clone(), files.label_counts(), accuracy)
            }
            TestSet::Images(data, statistics) => {
                if protocol != Protocol::Center {
                    let why = "its pictures are tested whole, by no other protocol than center";
                    return Err(Usage(format!("{}: {why}", data.name)).into());
                }
                let data = self.by_names(data)?;
                self.ready_for(data.images.count);
                let input = self.input_of(&data, statistics)?;
                let evaluator = self.evaluator(&input);
                let pinned = self.0.device.is_cuda();
                let config = LoaderConfig { pinned, ..LoaderConfig::in_order(batch_size) };
                let (name, classes, has) = (data.name.clone(), data.classes.clone(), data.label_counts());
                let loader = Loader::new(Pictures::Memory(data), config)?;
                let accuracy = measured(&evaluator, &loader, classes.len(), kind, &mut skipped, each)?;
                (name, classes, has, accuracy)
            }
        };
        let present = (0..).zip(has).filter(|(_, count)| *count > 0).map(|(class, _)| class).collect();
        Ok(Evaluated { data: name, classes, present, accuracy, skipped: count })
    }

    /// Runs `f` while the layers keep what is looked for inside the model (see [`Store::look_inside`]).
    pub(crate) fn looking_inside<T>(&self, f: impl FnOnce(&Store) -> Result<T>) -> Result<T> {
        self.0.store.look_inside(true);
        let found = f(&self.0.store);
        self.0.store.look_inside(false);
        found
    }

    /// The input of images of a data set. It is that of a run that trained on such; of other weights each image as it is,
    /// by the statistics of the data set.
    fn input_of(&self, data: &Dataset, statistics: Statistics) -> Result<ModelInput> {
        let images = [data.images.channels, data.images.height, data.images.width].map(|n| n as i64);
        if self.0.about.is_some() && self.0.input.size.is_some() {
            return Ok(self.0.input.clone());
        }
        self.0.settings.apply(ModelInput::of_images(images, statistics, [images[1], images[2]]))
    }

    /// The pictures with their labels as outputs of the model: by the names of the classes where these are known, so that
    /// pictures of some of them will do.
    fn among_outputs(&self, files: ImageFiles) -> Result<ImageFiles> {
        if let Some(classes) = self.class_names() {
            let strange = files.classes.iter().find(|class| !classes.contains(class)).cloned();
            let strange = || strange_class(&files.name, &strange.unwrap_or_default(), classes);
            return files.relabelled(classes.to_vec()).ok_or_else(|| strange().into());
        }
        let known = imagenet().iter().find(|known| known.classes as usize == self.0.classes);
        let some = known.filter(|_| files.classes.len() < self.0.classes);
        if let Some(named) = some.and_then(|known| files.relabelled(known.synsets())) {
            return Ok(named);
        }
        self.fits(files.classes.len(), &files.name)?;
        Ok(files)
    }

    /// As [`Self::among_outputs`], of images in memory.
    fn by_names(&self, data: Dataset) -> Result<Dataset> {
        let Some(classes) = self.class_names() else {
            self.fits(data.classes.len(), &data.name)?;
            return Ok(data);
        };
        let name = data.name.clone();
        data.relabelled(classes).map_err(|class| strange_class(&name, &class, classes).into())
    }

    /// The names of the outputs as a run here has them, unless the model has others now.
    fn class_names(&self) -> Option<&[String]> {
        self.0
            .about
            .as_ref()
            .map(|about| about.classes.as_slice())
            .filter(|names| names.len() == self.0.classes)
    }

    /// The model's outputs must be the data's classes.
    fn fits(&self, classes: usize, data: &str) -> Result<()> {
        if self.0.classes == classes {
            return Ok(());
        }
        let Parts { name, classes: outputs, .. } = &self.0;
        let text = format!("{data} has {classes} classes, {name} has {outputs} outputs");
        Err(Error::new(Remedy::Classes(Some(classes))).context(text))
    }
}

/// The accuracy on all of a source.
fn measured(
    evaluator: &Evaluator,
    source: &dyn Source,
    classes: usize,
    kind: Scores,
    skipped: &mut dyn FnMut(Skipped),
    each: &mut dyn FnMut(usize, &Outcome) -> Result<()>,
) -> Result<Accuracy> {
    let mut accuracy = Accuracy::new(classes);
    evaluator.run(source, skipped, &mut |batch, scores| {
        let outcomes = Accuracy::outcomes(&scores, kind, &Vec::<i64>::try_from(&batch.labels)?)?;
        for (&place, outcome) in batch.places.iter().zip(&outcomes) {
            accuracy.count(outcome)?;
            each(place, outcome)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(accuracy)
}

/// For a class of some data that the model does not know.
fn strange_class(data: &str, class: &str, classes: &[String]) -> Usage {
    let more = if classes.len() > SHOWN_CLASSES { ", …" } else { "" };
    let shown = classes[..classes.len().min(SHOWN_CLASSES)].join(", ");
    Usage(format!("{data}: `{class}` is none of the model's classes: {shown}{more}"))
}
