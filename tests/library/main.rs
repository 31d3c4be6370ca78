//! The crate as other programs use it: classifiers in threads, weights and pictures in memory, errors to tell apart.

#[path = "../common/mod.rs"]
mod common;

mod errors;
mod own;
mod pictures;
