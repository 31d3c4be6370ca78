//! A stranger's ways from files to an answer, walked through the built program.

#[path = "../common/mod.rs"]
mod common;

mod checkpoints;
mod classify;
mod cluster;
mod data;
mod ensemble;
mod experiment;
mod explain;
mod fine_tune;
mod goes_on;
mod hub;
mod names;
#[cfg(feature = "distributed")]
mod ranks;
mod recipe;
mod soup;
mod studies;
mod tells;
mod used_after;
mod yard;
