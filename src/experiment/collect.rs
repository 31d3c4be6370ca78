//! The results of an experiment, one row a variant.

use super::concerns;
use super::latency::Latencies;
use super::metric::{Cost, Metric};
use super::plan::Plan;
use super::printed::Figures;
use super::setting::{Settings, pairs, picks};
use super::source::Experiment;
use super::spec::ReportSpec;
use super::status::{State, TrialStatus, status};
use super::trial::Trial;
use crate::statistics::{mean, std};
use crate::train::{EpochMetrics, RunResult};
use anyhow::Result;
use serde::Serialize;
use std::path::Path;

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

/// Reads what the trials in `dir` have left.
///
/// # Errors
/// Records that cannot be read.
pub fn collect(experiment: &Experiment, plan: &Plan, dir: &Path) -> Result<Answer> {
    let spec = &experiment.spec;
    let rows = plan.trials.chunk_by(|a, b| a.variant == b.variant);
    let mut rows: Vec<Row> = rows.map(|trials| row(trials, &spec.report, dir)).collect::<Result<_>>()?;
    if let Some(latencies) = Latencies::read(dir)? {
        let firsts = plan.trials.chunk_by(|a, b| a.variant == b.variant).map(|seeds| &seeds[0]);
        rows.iter_mut().zip(firsts).for_each(|(row, first)| {
            row.latency_ms = latencies.median_ms.get(&first.id).copied();
        });
    }
    let concerns = plan.concerns.iter().cloned().chain(concerns::of_results(&rows)).collect();
    Ok(Answer {
        experiment: plan.experiment.clone(),
        question: spec.question.clone(),
        paper: spec.paper.clone(),
        columns: plan.columns().into_iter().map(str::to_owned).collect(),
        solved: plan.solved_columns().into_iter().map(str::to_owned).collect(),
        report: spec.report.clone(),
        concerns,
        rows,
        missing: status(plan, dir)?.into_iter().filter(|trial| trial.state != State::Done).collect(),
    })
}

fn row(trials: &[Trial], report: &ReportSpec, dir: &Path) -> Result<Row> {
    let first = &trials[0];
    let (mut results, mut ids, mut curves) = (Vec::new(), Vec::new(), Vec::new());
    for trial in trials {
        let run = trial.run_dir(dir);
        if let Some(result) = run.result()? {
            results.push(result);
            ids.push(trial.id.clone());
            curves.push(run.epochs()?);
        }
    }
    let paper = report.paper.0.iter().find(|(wanted, _)| picks(&first.variant, &pairs(wanted)));
    Ok(Row {
        label: first.label(),
        variant: first.variant.clone(),
        solved: first.solved.clone(),
        params: first.params,
        macs: first.macs,
        activations: first.activations,
        latency_ms: None,
        classes: first.classes,
        paper: paper.map(|(_, figures)| figures.clone()),
        results,
        ensemble: None,
        ids,
        curves,
    })
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
