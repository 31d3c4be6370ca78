//! What each library calls its tensors, as data: a file for each source; see [`super`].

mod cadene;
mod cifar;
mod efficientnet;
mod google;
mod openmmlab;
mod papers;
mod pytorchcv;
mod shared;
mod torchvision;
mod transformers;

use super::rule::Naming;

/// Every naming that is known.
pub(super) fn all() -> impl Iterator<Item = &'static Naming> {
    [
        torchvision::NAMINGS,
        google::NAMINGS,
        transformers::NAMINGS,
        openmmlab::NAMINGS,
        efficientnet::NAMINGS,
        papers::NAMINGS,
        cadene::NAMINGS,
        cifar::NAMINGS,
        pytorchcv::NAMINGS,
    ]
    .into_iter()
    .flatten()
}
