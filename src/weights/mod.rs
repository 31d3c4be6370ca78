//! Weights in files: named tensors, read and written, and loaded strictly into a model; the public ones, by name.

pub mod catalogue;
mod load;
mod safetensors;

pub use load::load;
pub use safetensors::{StateFile, TensorView, save};
