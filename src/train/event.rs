//! What a run tells while it goes.

use super::header::Header;
use super::record::EpochMetrics;
use crate::data::Skipped;
use serde::{Deserialize, Serialize};

/// News of a run; one JSON object a line between processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// What is done before the first step, such as reading the data.
    Preparing(String),
    /// Training begins, or goes on after step `step` of the header.
    Started(Box<Header>),
    /// A step is over; the loss is there where it was read.
    Step {
        epoch: u64,
        step: u64,
        lr: f64,
        loss: Option<f64>,
    },
    /// Some of the test images went through the model.
    Testing {
        images: usize,
        of: usize,
    },
    Epoch(EpochMetrics),
    /// A picture cannot be read and is left out; said once.
    Skipped(Skipped),
}
