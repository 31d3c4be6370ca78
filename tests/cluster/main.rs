//! Sweeps on real engines: Slurm on simulated nodes of this machine, manifests against Kubernetes' own schemas.

#[path = "../common/mod.rs"]
mod common;

mod arrays;
mod cluster;
mod image;
mod manifests;
#[cfg(feature = "distributed")]
mod ranks;
