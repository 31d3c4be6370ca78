//! Weights in files: named tensors are read without executing anything and loaded strictly into a model.
//! Public weights are found by name and fetched.
//!
//! [`StateFile`] reads a file, [`recognise`] translates names, [`adapt`] adapts to other classes and inputs,
//! [`load`] copies; [`pretrained`] does all of it. [`save`] writes safetensors. [`catalogue`] lists the
//! public weights, [`Hub`] fetches them, and [`from_pretrained`] builds a model with them.

mod about;
mod adapt;
pub mod catalogue;
pub(crate) mod checkpoint;
mod cursor;
mod dtype;
mod file;
mod google;
mod growing;
#[cfg(feature = "hub")]
mod hub;
mod info;
mod load;
mod mapped;
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

pub use about::{About, Parent};
pub use adapt::{Classes, adapt, classifier, input_conv, select_classes};
pub use checkpoint::{checkpoint_weights, has_averages};
pub use dtype::dtype_name;
pub use file::{Archive, StateFile, TensorView};
pub use growing::Growing;
#[cfg(feature = "hub")]
pub use hub::{Fetched, Hub};
pub use info::{Format, Group, TensorInfo};
pub use load::{Differences, StateDict, compare, load, take_over};
pub use naming::{export, recognise};
pub use pretrained::{Pretrained, fetch, fetch_repository, pretrained};
#[cfg(feature = "hub")]
pub use pretrained::{Public, from_pretrained};
pub use resample::{Resampling, patch_kernel, position_embedding, relative_position_table};
pub use safetensors::save;
