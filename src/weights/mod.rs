//! Weights in files: named tensors, read and written, and loaded strictly into a model; the public ones, found by name
//! and fetched.

pub mod catalogue;
mod hub;
mod load;
mod safetensors;

pub use hub::{Fetched, Hub};
pub use load::load;
pub use safetensors::{StateFile, TensorView, save};
