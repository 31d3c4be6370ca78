//! Weights in files: any file's named tensors, read without executing anything, and loaded strictly into a model; the
//! public ones, found by name and fetched.
//!
//! [`StateFile`] reads, [`recognise`] translates names, [`adapt`] fits other classes and inputs, [`load`] copies;
//! [`pretrained`] does all of it. [`save`] writes safetensors. [`catalogue`] knows the public weights, [`Hub`] gets
//! them, [`from_pretrained`] makes a model of them.

mod adapt;
pub mod catalogue;
pub(crate) mod checkpoint;
mod cursor;
mod dtype;
mod file;
mod google;
mod hub;
mod info;
mod load;
mod naming;
mod npy;
mod pickle;
mod pretrained;
mod resample;
mod rule;
mod rules;
mod safetensors;
mod template;
mod torch;
mod zip;

pub use adapt::{Classes, adapt, input_conv, select_classes};
pub use checkpoint::checkpoint_weights;
pub use dtype::dtype_name;
pub use file::{Archive, StateFile, TensorView};
pub use hub::{Fetched, Hub};
pub use info::{Format, Group, TensorInfo};
pub use load::{Differences, StateDict, compare, load, take_over};
pub use naming::{export, recognise};
pub use pretrained::{Pretrained, Public, from_pretrained, pretrained};
pub use resample::{Resampling, patch_kernel, position_embedding, relative_position_table};
pub use safetensors::save;
