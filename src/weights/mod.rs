//! Weights in files: named tensors, read and written, and loaded strictly into a model.

mod load;
mod safetensors;

pub use load::load;
pub use safetensors::{StateFile, TensorView, save};
