//! Weights in files: named tensors are read without executing anything and loaded strictly into a model.
//! Public weights are found by name and fetched.
//!
//! [`StateFile`] reads a file, [`recognise`] translates known names, [`pair`] pairs unknown ones, a [`Mapping`] those that
//! a person has paired, [`adapt`] adapts to other classes and inputs, [`load`] copies; [`pretrained`] does all of it. [`save`] writes safetensors. [`catalogue`] lists the
//! public weights, [`Hub`] fetches them, and [`from_pretrained`] builds a model with them.

mod about;
mod adapt;
mod average;
mod candidates;
pub mod catalogue;
pub(crate) mod checkpoint;
mod cursor;
mod differences;
mod dtype;
mod file;
pub(crate) mod folder;
mod foreign;
mod growing;
#[cfg(feature = "hub")]
mod hub;
mod info;
mod load;
mod mapped;
mod mapping;
mod naming;
mod npy;
mod objects;
mod origin;
mod pickle;
mod pretrained;
mod rebuild;
mod resample;
mod safetensors;
mod structure;
mod torch;
mod zip;

#[cfg(feature = "hub")]
pub use crate::hub::{Fetched, Hub};
pub use about::{About, Parent};
pub use adapt::{Classes, adapt, classifier, input_conv, select_classes};
pub use average::average;
pub use candidates::{Candidate, candidates};
pub use checkpoint::{checkpoint_weights, has_averages};
pub use differences::{Differences, Mismatch};
pub use dtype::dtype_name;
pub use file::{Archive, StateFile, TensorView};
pub use growing::Growing;
pub use info::{Format, Group, TensorInfo};
pub use load::{StateDict, compare, load, take_over};
pub use mapping::{Draft, Mapping, draft};
pub use naming::{Recognised, export, recognise};
pub use origin::{Origin, unnamed};
pub use pretrained::{
    HUB, Named, Pretrained, fetch, fetch_repository, local, named, pretrained, pretrained_by,
};
#[cfg(feature = "hub")]
pub use pretrained::{Public, from_pretrained};
pub use resample::{Resampling, patch_kernel, position_embedding, relative_position_table};
pub use safetensors::save;
pub use structure::{Open, Pairing, Unit, pair};
