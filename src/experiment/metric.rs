//! What a model costs, and what a trial reaches.

use crate::models::Complexity;
use crate::train::{Evaluation, RunResult};
use serde::{Deserialize, Serialize};

/// What a model costs for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cost {
    Params,
    Macs,
    Activations,
}

impl Cost {
    /// All costs, in the order of tables.
    pub const ALL: [Cost; 3] = [Cost::Params, Cost::Macs, Cost::Activations];

    pub fn of(self, complexity: &Complexity) -> u64 {
        match self {
            Cost::Params => complexity.params,
            Cost::Macs => complexity.macs,
            Cost::Activations => complexity.activations,
        }
    }

    /// The name for people.
    pub fn title(self) -> &'static str {
        match self {
            Cost::Params => "params",
            Cost::Macs => "MACs",
            Cost::Activations => "activations",
        }
    }

    /// The name in YAML, JSON and CSV.
    pub fn name(self) -> &'static str {
        match self {
            Cost::Params => "params",
            Cost::Macs => "macs",
            Cost::Activations => "activations",
        }
    }
}

/// A result of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    Top1,
    Top5,
    Loss,
    ImagesPerSecond,
}

impl Metric {
    /// The name with its unit, for people.
    pub fn label(self) -> &'static str {
        match self {
            Metric::Top1 => "top-1 on the test images (%)",
            Metric::Top5 => "top-5 on the test images (%)",
            Metric::Loss => "cross-entropy on the test images",
            Metric::ImagesPerSecond => "training images per second",
        }
    }

    /// Whether more is better.
    pub fn rises(self) -> bool {
        self != Metric::Loss
    }

    /// Whether `a` is better than `b`.
    pub fn better(self, a: f64, b: f64) -> bool {
        if self.rises() { a > b } else { a < b }
    }

    /// The metric of a finished run; `None` where a result of before does not say it.
    pub fn of(self, result: &RunResult) -> Option<f64> {
        match self {
            Metric::Top1 => Some(result.top1),
            Metric::Top5 => result.test.map(|test| test.top5),
            Metric::Loss => Some(result.loss),
            Metric::ImagesPerSecond => Some(result.images_per_second),
        }
    }

    /// What ranks runs where one is chosen, from an evaluation that a choice may look at: the loss where that is the
    /// metric, else top-1; more is better.
    pub(super) fn rank(self, seen: Evaluation) -> f64 {
        match self {
            Metric::Loss => -seen.loss,
            Metric::Top1 | Metric::Top5 | Metric::ImagesPerSecond => seen.top1,
        }
    }
}
