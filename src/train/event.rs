//! What a run reports as it goes.

use super::header::Header;
use super::record::EpochMetrics;
use crate::data::Skipped;
use serde::{Deserialize, Serialize};

/// News of a run; one JSON object a line between processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Training begins, or goes on after `step`.
    Started {
        header: Header,
        step: u64,
    },
    /// A step is over; the loss is there where it was read.
    Step {
        epoch: u64,
        step: u64,
        loss: Option<f64>,
        lr: f64,
    },
    /// So many of the test images have been through the model.
    Tested {
        images: usize,
        of: usize,
    },
    Epoch(EpochMetrics),
    /// A picture cannot be read and is left out; said once.
    Skipped(Skipped),
}
