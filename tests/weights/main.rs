//! Files of weights: read, named, fetched, catalogued, and those that mean harm.

#[path = "../common/mod.rs"]
mod common;

mod catalogue;
mod containers;
mod fetch;
mod files;
mod foreign;
mod hostile;
mod naming;
mod original;
mod structure;
