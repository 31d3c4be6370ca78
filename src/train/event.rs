//! Events that a run reports while it trains.

use super::header::Header;
use super::record::EpochMetrics;
use crate::data::Skipped;
use serde::{Deserialize, Serialize};

/// An event of a run; sent between processes as JSON lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Work before the first step, such as reading the data.
    Preparing(String),
    /// Training starts, or resumes after the header's `step`.
    Started(Box<Header>),
    /// A step has finished; `loss` is present if it was read from the device.
    Step {
        epoch: u64,
        step: u64,
        lr: f64,
        loss: Option<f64>,
    },
    /// Progress of an evaluation on the test images.
    Testing {
        images: usize,
        of: usize,
    },
    Epoch(EpochMetrics),
    /// A picture cannot be read and is left out; reported once.
    Skipped(Skipped),
}
