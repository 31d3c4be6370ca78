//! Model definitions and the registry that finds them by name.
//!
//! One file a family: its `Config`, its blocks, its network. A [`Model`] is the stages of its features and a head;
//! everything else (features, cost, freezing, surgery) follows from that.

pub mod alexnet;
mod architecture;
pub mod bn_inception;
mod complexity;
pub mod convnext;
pub mod densenet;
pub mod efficientnet;
pub mod googlenet;
pub mod inception_resnet_v2;
pub mod inception_v3;
pub mod inception_v4;
pub mod maxvit;
pub mod mnasnet;
pub mod mobile;
pub mod mobilenet_v2;
pub mod mobilenet_v3;
mod model;
mod net;
mod registry;
pub mod regnet;
pub mod residual;
pub mod resnet;
pub mod resnetv2;
pub mod senet;
pub mod shufflenet_v2;
mod spec;
pub mod squeezenet;
pub mod swin;
pub mod vgg;
pub mod vit;
pub mod xception;
pub mod xception_aligned;

pub use architecture::{Architecture, Entry};
pub use complexity::{Complexity, StageComplexity};
pub use model::{Config, Library, Model};
pub use registry::{entries, find};
pub use spec::ModelSpec;
