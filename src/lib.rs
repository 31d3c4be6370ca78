//! Vision models, pretrained weights, data sets and scaling experiments over libtorch.

pub mod data;
pub mod experiment;
pub mod models;
pub mod nn;
pub mod report;
pub mod torch;
pub mod train;
pub mod weights;
pub mod yaml;

pub mod machine;

mod atomic;
mod download;
mod error;

pub(crate) use error::nearest;
pub use error::{Interrupted, Usage, brief};

/// Compiles and runs the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
