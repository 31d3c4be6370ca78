//! Training: passes, optimizers, and runs that are killed and go on.

#[path = "../common/mod.rs"]
mod common;

mod accumulate;
mod losses;
mod parts;
mod passes;
mod runs;
mod starts;
