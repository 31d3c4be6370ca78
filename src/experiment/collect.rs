//! The results of an experiment, from what its trials have left.

use super::answer::{Answer, Row};
use super::latency::Latencies;
use super::nothing_said::nothing_said;
use super::plan::Plan;
use super::setting::{pairs, picks};
use super::source::Experiment;
use super::spec::ReportSpec;
use super::status::{State, status};
use super::trial::Trial;
use anyhow::Result;
use std::path::Path;

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
    let concerns = plan.concerns.iter().cloned().chain(nothing_said(&rows)).collect();
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
