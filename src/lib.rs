//! Vision models, pretrained weights, data sets and scaling experiments over libtorch.
//!
//! A YAML file ([`yaml`]) spells a run or an [`experiment`]: [`models`] made of [`nn`] layers, with [`weights`] from
//! files, meet [`data`]; [`train`] leaves a run directory that [`tensorboard`] can show, [`evaluate`] tests by the papers'
//! protocols, and [`report`] tells what came out. Below all of it, [`torch`] has what tch lacks; above it, a
//! [`Classifier`] is a model with its weights, ready for images.
//!
//! The modules below stand in the order in which they may use each other: each uses only those above it, and the files
//! of a module form no circle.
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//! use tchvision::{models::ModelSpec, nn::Store};
//!
//! # fn main() -> anyhow::Result<()> {
//! let model = ModelSpec::new("paper/resnet20").resolve()?;
//! assert_eq!(model.complexity([3, 32, 32])?.macs, 40_551_040); // a dry run: no memory, no compute
//! let store = Store::new(Device::Cpu);
//! let net = model.build(&store)?; // initialised as PyTorch does
//! let images = Tensor::rand([8, 3, 32, 32], (Kind::Float, Device::Cpu));
//! assert_eq!(net.forward(&images, false)?.size(), [8, 10]); // logits
//! # Ok(())
//! # }
//! ```

#![warn(clippy::print_stdout, clippy::print_stderr, clippy::exit)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

// In the order in which they may use each other: each uses only those above it, first of all the files beside this one.
// `tests/layout.rs` holds them to it.

mod error;

mod names;

mod atomic;

mod digest;

pub mod machine;

pub mod statistics;

#[cfg(feature = "hub")]
mod download;

#[cfg(feature = "hub")]
mod hub;

pub mod torch;

pub mod nn;

pub mod yaml;

pub mod models;

pub mod data;

pub mod weights;

pub mod evaluate;

pub mod tensorboard;

pub mod train;

pub mod recipes;

pub mod experiment;

pub mod report;

pub mod classifier;

mod kind;

#[cfg(feature = "report")]
pub mod explain;

pub use classifier::Classifier;
pub use error::{ErrorKind, Interrupted, Invalid, Remedy, Usage, brief};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is behind `mutex`, also after a thread that held it has panicked.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Compiles and runs the examples of the page on the library.
#[cfg(doctest)]
#[doc = include_str!("../docs/library.md")]
struct Library;

/// Compiles and runs the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
