//! Vision models, pretrained weights, data sets and scaling experiments over libtorch.
//!
//! A YAML file ([`yaml`]) spells a run or an [`experiment`]: [`models`] made of [`nn`] layers, with [`weights`] from
//! files, meet [`data`]; [`train`] leaves a run directory, [`evaluate`] tests by the papers' protocols, and [`report`]
//! tells what came out. Below all of it, [`torch`] has what tch lacks; above it, a [`Classifier`] is a model with its
//! weights, ready for pictures.
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

pub mod torch;

pub mod nn;

pub mod models;

pub mod weights;

pub mod data;

pub mod evaluate;

pub mod yaml;

pub mod train;

pub mod experiment;

pub mod report;

pub mod classifier;

pub mod machine;

mod atomic;
#[cfg(feature = "hub")]
mod download;
mod error;

pub use classifier::Classifier;
pub(crate) use error::nearest;
pub use error::{Interrupted, Remedy, Usage, brief};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is behind `mutex`, also after a thread that held it has panicked.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Compiles and runs the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
