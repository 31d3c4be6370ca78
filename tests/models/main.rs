//! Networks and what they are made of, against the numbers of PyTorch, torchvision, timm and the papers.

#[path = "../common/mod.rs"]
mod common;

mod explain;
mod fused;
mod knobs;
mod layers;
mod mobile;
mod networks;
mod operators;
mod paper;
mod parity;
mod pooled;
mod shared;
mod transformers;
