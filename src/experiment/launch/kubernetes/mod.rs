//! Kubernetes: the manifest of an Indexed Job, and what `kubectl` says of it.

mod kubectl;
mod manifest;
mod merge;
mod pods;
mod settings;

pub(super) use kubectl::{delete, reachable, submit};
pub(super) use manifest::{MOST, arrays, sets};
pub(super) use pods::pods;
pub use settings::{Claim, Pods};
