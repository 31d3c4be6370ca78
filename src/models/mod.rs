//! Model definitions and the registry that finds them by name.
//!
//! One file a family, and one line in `families!`: its `Config`, its blocks, its network. A [`Model`] is the stages of
//! its features and a head; everything else (features, cost, freezing, surgery) follows from that.

mod architecture;
mod complexity;
mod frozen;
mod guarded;
mod model;
mod net;
mod registry;
mod spec;

pub use architecture::{Architecture, Entry};
pub use complexity::{Complexity, StageComplexity};
pub use frozen::Frozen;
pub use model::{Config, Library, Model};
pub use net::Net;
pub use registry::{entries, find, is_registered, register};
pub use spec::ModelSpec;

/// Declares the modules of the families, and lists what they register.
macro_rules! families {
    ($(mod $family:ident;)+) => {
        $(pub mod $family;)+

        /// The function of each family that makes its entries.
        const FAMILIES: &[fn() -> Vec<Entry>] = &[$($family::entries),+];
    };
}

// In the order of the registry.
families! {
    mod alexnet;
    mod vgg;
    mod googlenet;
    mod bn_inception;
    mod inception_v3;
    mod inception_v4;
    mod inception_resnet_v2;
    mod resnet;
    mod xception;
    mod xception_aligned;
    mod densenet;
    mod squeezenet;
    mod shufflenet_v2;
    mod mobile;
    mod regnet;
    mod convnext;
    mod maxvit;
    mod vit;
    mod swin;
}
