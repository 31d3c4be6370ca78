//! Data sets, pictures, augmentation and batches.

#[path = "../common/mod.rs"]
mod common;

mod augment;
mod damage;
mod files;
mod images;
mod loader;
mod sets;
mod shards;
mod tables;
