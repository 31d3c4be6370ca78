//! An experiment's answer in words.

use super::format::{count, mean_std};
use crate::evaluate::Protocol;
use crate::experiment::{Answer, Cost, Metric, Row, State, X};
use crate::statistics::{Estimate, differ, mean, mean_estimate, pareto_front, power_law};

/// What the numbers of a report are.
pub(super) const NOTE: &str = "Mean ± standard deviation over the seeds, on the test images after the last epoch. Differences are paired over the \
     seeds, with the 95 % confidence interval of their mean in brackets (Student's t).";

/// Beyond so many, variants are counted instead of named.
const NAMED: usize = 4;

/// How a metric is written.
pub(super) struct Unit {
    pub name: &'static str,
    /// After the number, with its space.
    pub unit: &'static str,
    pub decimals: usize,
}

pub(super) fn unit(metric: Metric) -> Unit {
    let (name, unit, decimals) = match metric {
        Metric::Top1 => ("top-1", " %", 2),
        Metric::Top5 => ("top-5", " %", 2),
        Metric::Loss => ("loss", "", 4),
        Metric::ImagesPerSecond => ("images/s", " images/s", 0),
    };
    Unit { name, unit, decimals }
}

/// Where a trial stands, within a sentence.
pub(super) fn state(state: State) -> String {
    format!("{state:?}").to_lowercase()
}

/// A variant in a sentence.
pub(super) fn name(row: &Row) -> &str {
    if row.label.is_empty() { "the base" } else { &row.label }
}

/// `+0.42 [0.10, 0.74]`
pub(super) fn interval(estimate: &Estimate, metric: Metric) -> String {
    let Unit { decimals, .. } = unit(metric);
    let Estimate { value, low, high } = estimate;
    format!("{value:+.decimals$} [{low:.decimals$}, {high:.decimals$}]")
}

/// Which variant is best, by how much, and whether the seeds tell it from noise.
pub fn verdict(answer: &Answer) -> String {
    let metric = answer.report.y;
    let Unit { unit, decimals, .. } = unit(metric);
    let mut ranked: Vec<(&Row, f64)> =
        answer.rows.iter().filter_map(|row| Some((row, row.mean(metric)?))).collect();
    ranked.sort_by(|a, b| if metric.rises() { b.1.total_cmp(&a.1) } else { a.1.total_cmp(&b.1) });
    let value = |row: &Row| mean_std(row.mean(metric), row.std(metric), decimals) + unit;
    let [(best, top), rest @ ..] = ranked.as_slice() else {
        return "No trial is done yet.".to_owned();
    };
    let Some((second, next)) = rest.first() else {
        return format!("{}: {}.", name(best), value(best));
    };
    let tied = ranked.iter().filter(|(_, mean)| mean == top).count();
    if tied > 1 {
        let top = mean_std(Some(*top), None, decimals) + unit;
        let names = listed(ranked.iter().take(tied).map(|(row, _)| name(row)));
        return format!(
            "{tied} variants are best, all with {top}{}.",
            names.map_or_else(String::new, |n| format!(": {n}"))
        );
    }
    let mut words =
        format!("Best is {}: {}. Second is {}: {}", name(best), value(best), name(second), value(second));
    let differences = best.differences(second, metric);
    words += &match mean_estimate(&differences) {
        Some(estimate) => {
            let clear =
                if estimate.is_clear() { "excludes 0" } else { "includes 0: it may be noise between seeds" };
            let shown = interval(&estimate, metric);
            format!(". Over {} seeds they differ by {shown}, an interval that {clear}.", differences.len())
        }
        None => {
            let gap = (top - next).abs();
            match differences.len() {
                0 | 1 => format!(
                    ". They differ by {gap:.decimals$}; with one seed it is not known how much of that is noise."
                ),
                n => format!(
                    ". They differ by {gap:.decimals$} over {n} seeds, too few to know how much of that is noise."
                ),
            }
        }
    };
    if let Some((worst, _)) = rest.last().filter(|_| rest.len() > 1) {
        words += &format!(" Last is {}: {}.", name(worst), value(worst));
    }
    words
}

/// What else the results say: how they were tested, the comparison with the first variant, the Pareto front, the trend over
/// cost, the paper's costs.
pub fn findings(answer: &Answer) -> Vec<String> {
    let fronts = axes(answer).into_iter().map(|axis| frontier(answer, axis));
    let all = [tested(answer), ensembles(answer), against_first(answer)].into_iter().chain(fronts);
    all.chain([trend(answer), agreement(answer)]).flatten().collect()
}

/// The protocols of the results, where it is not the centre alone.
fn tested(answer: &Answer) -> Option<String> {
    let rows = answer.rows.iter().filter_map(|row| Some((row, &row.results.first()?.protocol)));
    let mut by: Vec<(&Protocol, Vec<&str>)> = Vec::new();
    for (row, protocol) in rows {
        match by.iter_mut().find(|(known, _)| *known == protocol) {
            Some((_, names)) => names.push(name(row)),
            None => by.push((protocol, vec![name(row)])),
        }
    }
    match &by[..] {
        [] => None,
        [(protocol, _)] => {
            let is_usual = protocol.is_center();
            (!is_usual).then(|| format!("Results are by the protocol {protocol}; curves are by the centre."))
        }
        several => {
            let parts = several.iter().map(|(protocol, names)| {
                let names =
                    listed(names.iter().copied()).unwrap_or_else(|| format!("{} variants", names.len()));
                format!("{protocol} for {names}")
            });
            let parts = parts.collect::<Vec<_>>().join(", ");
            Some(format!("Results are by several protocols: {parts}; curves are by the centre."))
        }
    }
}

/// What ensembles gain over their members, where they were measured.
fn ensembles(answer: &Answer) -> Option<String> {
    let gain = |row: &Row| Some(row.ensemble?.top1 - row.mean(Metric::Top1)?);
    let gains: Vec<f64> = answer.rows.iter().filter_map(gain).collect();
    let mean = mean(&gains)?;
    Some(format!(
        "The mean of the probabilities of a variant's seeds has {mean:+.2} points of top-1 over the mean of their results, \
         on average over {} variant(s).",
        gains.len()
    ))
}

/// Names in a row; `None` of too many.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = names.collect();
    (names.len() <= NAMED).then(|| names.join("; "))
}

/// Which variants no other beats in both cost and result, where the costs differ enough to compare.
fn frontier(answer: &Answer, axis: Axis) -> Option<String> {
    let metric = answer.report.y;
    let point = |row: &Row| Some((axis.of(row)?, row.mean(metric)?));
    let (rows, points): (Vec<&Row>, Vec<(f64, f64)>) =
        answer.rows.iter().filter_map(|row| Some((row, point(row)?))).unzip();
    if points.len() < 3 || !differ(points.iter().map(|point| point.0)) {
        return None;
    }
    let front = pareto_front(&points, |a, b| metric.better(a, b));
    let names = listed(front.iter().map(|&i| name(rows[i])));
    Some(format!(
        "The Pareto front of {} over {} holds {} of {} variants{}.",
        unit(metric).name,
        axis.title(),
        front.len(),
        points.len(),
        names.map_or_else(String::new, |names| format!(": {names}"))
    ))
}

/// Which variants the seeds tell from the first, the experiment's point of reference.
fn against_first(answer: &Answer) -> Option<String> {
    let metric = answer.report.y;
    let (first, rest) = answer.rows.split_first()?;
    let estimate = |row: &Row| mean_estimate(&row.differences(first, metric));
    let estimates: Vec<(&Row, Estimate)> =
        rest.iter().filter_map(|row| Some((row, estimate(row)?))).collect();
    if estimates.is_empty() {
        return None;
    }
    let list = |words: &str, better: bool| {
        let of = |e: &Estimate| e.is_clear() && metric.better(e.value, 0.0) == better;
        let names: Vec<&str> = estimates.iter().filter(|(_, e)| of(e)).map(|(row, _)| name(row)).collect();
        match names.len() {
            0 => None,
            1..=NAMED => Some(format!("{words}: {}", names.join("; "))),
            n => Some(format!("{words}: {n} of {}", estimates.len())),
        }
    };
    let parts: Vec<String> =
        [list("clearly better", true), list("clearly worse", false)].into_iter().flatten().collect();
    let reference = name(first);
    Some(if parts.is_empty() {
        format!("Against {reference}, no variant differs by more than the noise between seeds.")
    } else {
        format!("Against {reference}, by intervals that exclude 0: {}.", parts.join(", "))
    })
}

/// What a power law is fitted through: the cost of each finished variant, and its error in percent or its loss.
pub(super) fn errors_over(answer: &Answer, cost: Cost) -> Vec<(f64, f64)> {
    let error = |row: &Row| match answer.report.y {
        Metric::Loss => row.mean(Metric::Loss),
        Metric::Top5 => row.mean(Metric::Top5).map(|top5| 100.0 - top5),
        Metric::Top1 | Metric::ImagesPerSecond => row.mean(Metric::Top1).map(|top1| 100.0 - top1),
    };
    answer.rows.iter().filter_map(|row| Some((row.cost(cost) as f64, error(row)?))).collect()
}

/// The cost of the report's horizontal axis, MACs where that is no cost.
pub(super) fn cost_axis(answer: &Answer) -> Cost {
    match answer.report.x {
        X::Cost(cost) => cost,
        X::Latency | X::Axis(_) => Cost::Macs,
    }
}

/// What a result is set against.
#[derive(Clone, Copy)]
pub(super) enum Axis {
    Cost(Cost),
    Latency,
}

impl Axis {
    pub fn of(self, row: &Row) -> Option<f64> {
        match self {
            Axis::Cost(cost) => Some(row.cost(cost) as f64),
            Axis::Latency => row.latency_ms,
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Axis::Cost(cost) => cost.title(),
            Axis::Latency => "latency",
        }
    }
}

/// Those of a report.
pub(super) fn axes(answer: &Answer) -> Vec<Axis> {
    let cost = Axis::Cost(cost_axis(answer));
    if answer.report.x == X::Latency { vec![Axis::Latency, cost] } else { vec![cost] }
}

/// How the error falls with the cost, where costs differ enough to compare.
fn trend(answer: &Answer) -> Option<String> {
    let axis = cost_axis(answer);
    let points = errors_over(answer, axis);
    let costs = || points.iter().map(|point| point.0);
    let (low, high) = (costs().fold(f64::MAX, f64::min), costs().fold(0.0, f64::max));
    let law = power_law(&points)?;
    let Estimate { value, low: from, high: to } = law.exponent;
    let what = if answer.report.y == Metric::Loss { "loss" } else { "error" };
    let clear = if law.exponent.is_clear() { "" } else { ", which includes 0" };
    Some(format!(
        "Over {} variants from {} to {} {}, {what} goes as cost to the power of {value:.3} (95 % interval {from:.3} to \
         {to:.3}{clear}; R² {:.2}).",
        points.len(),
        count(low as u64),
        count(high as u64),
        axis.title(),
        law.r_squared
    ))
}

/// Whether the costs are those that the paper prints.
fn agreement(answer: &Answer) -> Option<String> {
    let figures = answer.rows.iter().filter_map(|row| Some((row, row.paper.as_ref()?)));
    let costs = figures.flat_map(|(row, paper)| {
        Cost::ALL.into_iter().filter_map(move |cost| Some((row.cost(cost), paper.cost(cost)?)))
    });
    let agreed: Vec<bool> = costs.map(|(value, printed)| printed.agrees(value as f64)).collect();
    let same = agreed.iter().filter(|agrees| **agrees).count();
    (!agreed.is_empty()).then(|| {
        format!("Costs that are the paper's, as precisely as it prints them: {same} of {}.", agreed.len())
    })
}

/// What the trials ran on, and for how long; empty before one is done.
pub(super) fn machine(answer: &Answer) -> String {
    let results = answer.rows.iter().flat_map(|row| &row.results);
    let Some(first) = results.clone().next() else { return String::new() };
    let seconds: f64 = results.map(|result| result.seconds).sum();
    let commit = first.commit.as_deref().map_or(String::new(), |commit| format!(" at {commit}"));
    format!(
        "tchvision {}{commit}, libtorch {}, {}, device {}, {} thread(s) a trial, {seconds:.0} s of training in all.",
        first.version, first.libtorch, first.machine, first.device, first.threads
    )
}
