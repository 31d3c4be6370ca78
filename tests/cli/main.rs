//! The verbs: their output, exit codes and contracts.

#[path = "../common/mod.rs"]
mod common;

mod bench;
mod coming_from;
mod data;
mod docs;
mod images;
mod import;
mod mistakes;
mod protocols;
mod weights;
