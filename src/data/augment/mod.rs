//! Training augmentation, as torchvision and timm define it.

mod affine;
mod operation;
mod placement;
mod tone;

pub use operation::{Filling, Operation, Warp};
pub use placement::Augment;
pub(super) use placement::augment;
