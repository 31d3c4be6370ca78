//! Weights in files: any file's named tensors, read without executing anything, and loaded strictly into a model; the
//! public ones, found by name and fetched.
//!
//! [`StateFile`] reads, [`recognise`] translates names, [`adapt`] fits other classes and inputs, [`load`] copies;
//! [`pretrained`] does all of it. [`save`] writes safetensors. [`catalogue`] knows the public weights, [`Hub`] gets
//! them, [`from_pretrained`] makes a model of them.

mod adapt;
pub mod catalogue;
mod cursor;
mod dtype;
mod file;
mod google;
#[cfg(feature = "hub")]
mod hub;
mod load;
mod mapped;
mod naming;
mod npy;
mod pickle;
mod pretrained;
mod resample;
mod rules;
mod safetensors;
mod template;
mod torch;
mod zip;

pub use adapt::{Classes, adapt, input_conv, select_classes};
pub use dtype::dtype_name;
pub use file::{Archive, Format, Group, StateFile, TensorInfo, TensorView};
#[cfg(feature = "hub")]
pub use hub::{Fetched, Hub};
pub use load::{Differences, StateDict, compare, load, take_over};
pub use naming::{export, recognise};
pub use pretrained::{Pretrained, pretrained};
#[cfg(feature = "hub")]
pub use pretrained::{Public, from_pretrained};
pub use resample::{Resampling, patch_kernel, position_embedding, relative_position_table};
pub use safetensors::save;
