//! Training: passes, optimizers, and runs that are killed and go on.

#[path = "../common/mod.rs"]
mod common;

mod accumulate;
#[cfg(feature = "distributed")]
mod c10d;
mod losses;
mod parts;
mod passes;
mod runs;
mod starts;
