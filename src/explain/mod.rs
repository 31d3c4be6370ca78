//! What a network looks at: maps of the places that speak for a class, projections of features back to the pixels, and the
//! figures of ZFNet's paper (1311.2901), of any model and with its own preprocessing.
//!
//! ```no_run
//! use tchvision::{Classifier, data::image, explain::{Cam, Look, Network}};
//!
//! # fn main() -> anyhow::Result<()> {
//! let classifier = Classifier::builder("resnet50.a1_in1k").open(&mut |_file, _bytes, _of| {})?;
//! let look = Look::at(&classifier, &image::read("cat.jpg".as_ref())?)?;
//! let map = &Cam::default().maps(&Network::of(&classifier), &look.input, &[281])?[0];
//! println!("{:?}, from 0 to 1", map.map.size()); // [224, 224]
//! # Ok(())
//! # }
//! ```

mod cam;
mod colours;
mod correspondence;
mod curves;
mod excitations;
mod figure;
mod filters;
mod folder;
mod invariance;
mod look;
mod network;
mod occlusion;
mod project;
mod rollout;
mod score;
mod similar;
mod strongest;

pub use cam::{Cam, Map, Method, Smooth};
pub use colours::Colours;
pub use correspondence::{Agreement, Box, correspondence};
pub use curves::curves;
pub use excitations::{Block, Excitations};
pub use figure::{Figure, Overlay, Panel, coloured, covered, signed};
pub use filters::Filters;
pub use folder::Folder;
pub use invariance::{Change, Curve, invariance};
pub use look::{Class, Look};
pub use network::Network;
pub use occlusion::{Occluded, Occlusion};
pub use project::{Feature, Projected, field, project};
pub use rollout::{Fusion, Rollout};
pub use score::{Score, deletion_insertion};
pub use similar::nearest;
pub use strongest::{Excited, Strong, Strongest};
