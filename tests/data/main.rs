//! Data sets, pictures, augmentation and batches.

#[path = "../common/mod.rs"]
mod common;

mod augment;
mod files;
mod images;
mod loader;
mod sets;
