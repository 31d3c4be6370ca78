//! Data sets: in memory or in files, fetched with their checksums, augmented and batched as uint8 images.

pub mod augment;
mod check;
mod cifar;
mod config;
mod corpora;
mod dataset;
mod draw;
#[cfg(feature = "hub")]
mod fetch;
mod files;
mod idx;
pub mod image;
mod loader;
mod model_input;
mod pictures;
mod portion;
mod prepare;
mod preprocess;
mod random;
mod registry;
mod skipped;
mod statistics;
mod test_set;

pub use augment::{Augment, Mix};
pub use check::{Checked, check};
pub use config::{DataConfig, Loaded};
pub use corpora::{Access, Corpus, corpora, corpus};
pub use dataset::{Dataset, Images, Splits};
pub use draw::Draw;
#[cfg(feature = "hub")]
pub use fetch::{Fetched, fetch};
#[cfg(feature = "hub")]
pub use files::fetch_from_hub;
pub use files::{
    Fields, FileSplits, ImageFiles, ImageNet, imagenet, open as open_files, open_test as open_test_files,
    open_with as open_files_with, pictures_below,
};
pub use loader::{Batch, Batches, Loader, LoaderConfig};
pub use model_input::{InputSettings, ModelInput};
pub use pictures::Pictures;
pub use portion::Portion;
pub use prepare::prepare;
pub use preprocess::{CropMode, Preprocess};
pub use random::Stream;
pub use registry::{Known, known, load, root, shape};
pub use skipped::Skipped;
pub use statistics::{Statistics, normalise};
pub use test_set::TestSet;

pub(crate) use statistics::fitted;
