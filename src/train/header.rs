//! What a run is, before its first step.

use super::config::Precision;
use serde::{Deserialize, Serialize};

/// What is known of a run before its first step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub model: String,
    pub params: u64,
    /// Multiply-adds of one image.
    pub macs: u64,
    /// Channels, height and width of what the model sees in training.
    pub input: [i64; 3],
    pub classes: i64,
    pub train_images: usize,
    pub test_images: usize,
    pub batch_size: usize,
    pub epochs: u64,
    pub steps_per_epoch: u64,
    /// Of the whole run.
    pub steps: u64,
    /// As YAML spells them.
    pub optimizer: String,
    pub schedule: String,
    pub precision: Precision,
    pub device: String,
    /// Threads of one operation.
    pub threads: usize,
    /// Threads that load images; by themselves where absent.
    pub workers: Option<usize>,
    /// Where the weights come from.
    pub weights: String,
    /// What the run takes at its peak, about.
    pub memory_bytes: u64,
}
