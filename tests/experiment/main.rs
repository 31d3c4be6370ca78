//! Experiments: plans, runs, reports, and the studies that ship.

#[path = "../common/mod.rs"]
mod common;

mod runs;
mod studies;
mod yaml;
