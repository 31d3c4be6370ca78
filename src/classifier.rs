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
mod cut;
mod ensemble;
mod features;
mod picture;

pub use builder::Builder;
use builder::Parts;
use ensemble::likeliest;
pub use ensemble::{Ensemble, Evaluated, Likely};
pub use picture::Picture;

use crate::Usage;
use crate::data::{DataConfig, ModelInput, Preprocess, Skipped, TestSet};
use crate::evaluate::{Outcome, Protocol, ReadPictures};
use crate::models::Model;
use crate::nn::Store;
use crate::weights::About;
use anyhow::{Result, bail};
use std::fmt;
use std::path::{Path, PathBuf};
use tch::Device;

/// A model with its weights, and how pictures become its input and its outputs names.
pub struct Classifier(Parts);

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

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { source, device, classes, .. } = &self.0;
        let mut parts = f.debug_struct("Classifier");
        parts.field("source", source).field("device", device).field("classes", classes).finish()
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
        self.0.identity()
    }

    /// [`Self::identity`], and the checksum of the file of weights where it is one file: both for reading it once.
    ///
    /// # Errors
    /// A file that cannot be read any more.
    #[cfg(feature = "report")]
    pub(crate) fn identified(&self) -> Result<(String, Option<String>)> {
        let sha256 = self.0.sha256()?;
        Ok((self.0.identity_by(sha256.as_deref()), sha256))
    }

    pub fn model(&self) -> &dyn Model {
        self.0.model.as_ref()
    }

    #[cfg(feature = "report")]
    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    /// Where the model is.
    pub fn device(&self) -> Device {
        self.0.device
    }

    /// The number of values in all parameters.
    pub fn parameters(&self) -> u64 {
        self.0.store.count_parameters()
    }

    /// Outputs of the head.
    pub fn classes(&self) -> usize {
        self.0.classes
    }

    /// The width of the outputs for one picture.
    ///
    /// # Errors
    /// A model that does not take its input.
    pub fn width(&self) -> Result<usize> {
        self.0.width()
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

    /// Classifiers as one, whose probabilities are the mean of theirs.
    ///
    /// # Errors
    /// [`Usage`]: no members, or such that have other classes than the first.
    pub fn ensemble(members: &[Self]) -> Result<Ensemble<'_>> {
        Ensemble::of(members.iter().map(|member| &member.0).collect())
    }

    /// As [`Ensemble::classify`], by the centre of each picture.
    ///
    /// # Errors
    /// As [`Ensemble::classify`].
    pub fn classify(
        &self,
        pictures: &dyn ReadPictures,
        topk: usize,
        batch_size: usize,
        skipped: &mut dyn FnMut(Skipped),
        each: &mut dyn FnMut(usize, Vec<Likely>) -> Result<()>,
    ) -> Result<()> {
        let alone = Ensemble::of(vec![&self.0])?;
        alone.classify(pictures, &Protocol::Center, topk, batch_size, skipped, each)
    }

    /// As [`Ensemble::evaluate`].
    ///
    /// # Errors
    /// As [`Ensemble::evaluate`].
    pub fn evaluate(
        &self,
        data: TestSet,
        protocol: &Protocol,
        batch_size: usize,
        skipped: &mut dyn FnMut(Skipped),
        each: &mut dyn FnMut(usize, &Outcome) -> Result<()>,
    ) -> Result<Evaluated> {
        Ensemble::of(vec![&self.0])?.evaluate(data, protocol, batch_size, skipped, each)
    }

    /// Runs `f` while the layers keep what is looked for inside the model (see [`Store::look_inside`]).
    ///
    /// # Errors
    /// Those of `f`.
    pub fn looking_inside<T>(&self, f: impl FnOnce(&Store) -> Result<T>) -> Result<T> {
        self.0.store.look_inside(true);
        let found = f(&self.0.store);
        self.0.store.look_inside(false);
        found
    }
}
