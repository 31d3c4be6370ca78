//! What an experiment found, one row a variant.

use super::metric::{Cost, Metric};
use super::printed::Figures;
use super::setting::Settings;
use super::spec::ReportSpec;
use super::status::TrialStatus;
use crate::statistics::{mean, std};
use crate::train::{EpochMetrics, RunResult};
use serde::Serialize;

/// Everything a report says.
#[derive(Serialize)]
pub struct Answer {
    pub experiment: String,
    pub question: String,
    pub paper: Option<String>,
    /// The key paths of the axes, as columns.
    pub columns: Vec<String>,
    /// Those of the knobs that were solved.
    pub solved: Vec<String>,
    #[serde(skip)]
    pub report: ReportSpec,
    /// What stands in the way of an answer, in sentences.
    pub concerns: Vec<String>,
    /// In the order of the plan; variants without a finished trial too.
    pub rows: Vec<Row>,
    /// Trials that are not done.
    pub missing: Vec<TrialStatus>,
}

/// One variant and its finished trials, a seed each.
#[derive(Serialize)]
pub struct Row {
    /// For people, such as `cardinality 4`.
    pub label: String,
    pub variant: Settings,
    pub solved: Settings,
    pub params: u64,
    pub macs: u64,
    pub activations: u64,
    /// Milliseconds of one image through the frozen network, where they were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    #[serde(skip)]
    pub classes: i64,
    /// The paper's own figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paper: Option<Figures>,
    pub results: Vec<RunResult>,
    /// What the results' networks reach together, where this has been measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ensemble: Option<Together>,
    /// The trials of these results.
    #[serde(skip)]
    pub ids: Vec<String>,
    /// The epochs of every finished trial.
    #[serde(skip)]
    pub curves: Vec<Vec<EpochMetrics>>,
}

/// How well the mean of the probabilities of a variant's seeds does on the test images, by the trials' protocol.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Together {
    pub members: usize,
    /// Percent.
    pub top1: f64,
    /// Percent.
    pub top5: f64,
    pub loss: f64,
}

impl Row {
    pub fn cost(&self, cost: Cost) -> u64 {
        match cost {
            Cost::Params => self.params,
            Cost::Macs => self.macs,
            Cost::Activations => self.activations,
        }
    }

    /// A metric of this variant minus that of another, for each seed that both have.
    pub fn differences(&self, other: &Row, metric: Metric) -> Vec<f64> {
        let pairs = self.results.iter().filter_map(|a| {
            let b = other.results.iter().find(|b| b.seed == a.seed)?;
            Some(metric.of(a)? - metric.of(b)?)
        });
        pairs.collect()
    }

    /// A metric of every finished trial.
    pub fn values(&self, metric: Metric) -> Vec<f64> {
        self.results.iter().filter_map(|result| metric.of(result)).collect()
    }

    /// The mean over the seeds; `None` without a finished trial.
    pub fn mean(&self, metric: Metric) -> Option<f64> {
        mean(&self.values(metric))
    }

    /// Percent of the training images, as augmented, in the last epoch, the mean over the seeds.
    pub fn trained(&self) -> Option<f64> {
        let last = self.curves.iter().filter_map(|epochs| Some(epochs.last()?.train_top1));
        mean(&last.collect::<Vec<_>>())
    }

    /// The standard deviation over the seeds; `None` below two trials.
    pub fn std(&self, metric: Metric) -> Option<f64> {
        std(&self.values(metric))
    }
}
