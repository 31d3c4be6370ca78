//! TensorBoard's event files: scalars, histograms, images and the HParams page.
//!
//! A [`Writer`] is one file. Only `writer.rs` uses the crates that know the format.

mod histogram;
mod hparam;
#[cfg(not(feature = "tensorboard"))]
mod silent;
#[cfg(feature = "tensorboard")]
mod writer;

pub use histogram::Histogram;
pub use hparam::HParam;
#[cfg(not(feature = "tensorboard"))]
pub use silent::Writer;
#[cfg(feature = "tensorboard")]
pub use writer::Writer;

/// What the names of event files begin with.
pub(crate) const FILE_PREFIX: &str = "events.out.tfevents.";
