//! What is known about a run before its first step.

use super::config::Precision;
use super::memory::Memory;
use serde::{Deserialize, Serialize};

/// What is known about a run before its first step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub model: String,
    pub params: u64,
    /// Parameters that the optimizer changes.
    pub trainable: u64,
    /// Multiply-adds for one image.
    pub macs: u64,
    /// What the model sees in training (C, H, W).
    pub input: [i64; 3],
    pub dataset: String,
    pub train_images: usize,
    /// Held back from the training images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_images: Option<usize>,
    pub test_images: usize,
    pub classes: usize,
    /// Pictures that earlier processes of this run could not read.
    pub skipped: usize,
    pub epochs: u64,
    pub steps_per_epoch: u64,
    /// Optimizer steps of the whole run.
    pub steps: u64,
    /// Steps already done, by earlier processes of this run or by the run it branched from.
    pub step: u64,
    pub batch_size: usize,
    /// Micro-batches of a step.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub accumulate: usize,
    /// Processes that share them.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub ranks: usize,
    /// Its settings, in short.
    pub optimizer: String,
    pub schedule: String,
    /// Where the weights come from.
    pub weights: String,
    /// Who else is learned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    /// Name and make: `cuda:0, NVIDIA H100 80GB HBM3`.
    pub device: String,
    pub precision: Precision,
    /// Threads of one operation.
    pub threads: usize,
    /// Threads that load images.
    pub workers: usize,
    pub memory: Memory,
}

fn one() -> usize {
    1
}

fn is_one(value: &usize) -> bool {
    *value == 1
}
