//! The figures of an experiment, as SVG and PNG.

use super::words;
use crate::experiment::{Answer, Cost, Metric, Row, X, label, last, text};
use crate::statistics::{mean, pareto_front, power_law};
use anyhow::{Result, anyhow};
use kuva::backend::{png::PngBackend, svg::SvgBackend};
use kuva::prelude::{Layout, LinePlot, Plot, ScatterPlot, TickFormat};
use kuva::render::render::render_multiple;
use std::sync::Arc;

/// A figure and its title.
pub(super) struct Figure {
    /// Of its files, without extension.
    pub name: &'static str,
    pub title: String,
    pub svg: String,
    pub png: Vec<u8>,
}

/// Pixels of the PNG for each unit of the SVG.
const DENSITY: f32 = 2.0;

/// Colours that colour-blind readers can tell apart too (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d1f", "#444444"];
/// Beyond this ratio of the largest to the smallest, an axis is logarithmic.
const LOGARITHMIC: f64 = 7.0;

fn colour(i: usize) -> &'static str {
    COLOURS[i % COLOURS.len()]
}

/// With more variants than this, only those on the Pareto front are labelled.
const LABELLED: usize = 10;
/// Pieces of a curve that looks smooth.
const SMOOTH: u32 = 50;
/// Below so many variants a distribution says nothing.
const DISTRIBUTION: usize = 8;

/// The metric over the axis of the report (where that is no cost), the Pareto front, the power law, the distribution
/// over many variants, the learning curves.
pub(super) fn figures(answer: &Answer) -> Result<Vec<Figure>> {
    let done = answer.rows.iter().any(|row| !row.results.is_empty());
    if !done {
        return Ok(Vec::new());
    }
    let axis = match &answer.report.x {
        X::Cost(_) => None,
        X::Axis(path) => Some(over_axis(answer, path)),
    };
    let pareto = pareto(answer, words::cost_axis(answer));
    [axis, Some(pareto), law(answer), distribution(answer), Some(curves(answer))]
        .into_iter()
        .flatten()
        .collect()
}

fn figure(
    name: &'static str,
    title: String,
    plots: Vec<Plot>,
    layout: impl Fn(Layout) -> Layout,
) -> Result<Figure> {
    let base = Layout::auto_from_plots(&plots).with_title(title.clone()).with_width(760.0).with_height(430.0);
    let scene = render_multiple(plots, layout(base));
    let png = PngBackend::new().with_scale(DENSITY).render_scene(&scene);
    let png = png.map_err(|error| anyhow!("{name}.png: {error}"))?;
    Ok(Figure { name, title, svg: SvgBackend::new().render_scene(&scene), png })
}

/// A variant's mean, and its deviation for the error bar.
#[derive(Clone, Copy)]
struct Point {
    x: f64,
    y: f64,
    std: f64,
}

impl Point {
    /// `None` without a finished trial.
    fn new(x: f64, row: &Row, metric: Metric) -> Option<Self> {
        Some(Self { x, y: row.mean(metric)?, std: row.std(metric).unwrap_or(0.0) })
    }
}

/// Points, with error bars where there are several seeds.
fn dots(points: &[Point], colour: &str) -> ScatterPlot {
    let dots = ScatterPlot::new().with_data(points.iter().map(|p| (p.x, p.y)));
    let dots = dots.with_color(colour).with_size(5.0);
    if points.iter().any(|p| p.std > 0.0) { dots.with_y_err(points.iter().map(|p| p.std)) } else { dots }
}

/// Points with error bars, and a line through them.
fn series(points: &[Point], colour: &str, legend: Option<String>) -> Vec<Plot> {
    let xy: Vec<(f64, f64)> = points.iter().map(|p| (p.x, p.y)).collect();
    let line = LinePlot::new().with_data(xy).with_color(colour);
    let line = match legend {
        Some(legend) => line.with_legend(legend),
        None => line,
    };
    vec![Plot::Line(line), Plot::Scatter(dots(points, colour))]
}

fn over_axis(answer: &Answer, path: &str) -> Result<Figure> {
    let metric = answer.report.y;
    let values: Vec<_> = answer.rows.iter().filter_map(|row| row.variant.get(path)).collect();
    let mut names: Vec<String> = Vec::new();
    for value in &values {
        let name = text(value);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let numeric = values.iter().all(|value| value.is_number());
    let x = |row: &Row| {
        let value = row.variant.get(path)?;
        if numeric {
            value.as_f64()
        } else {
            names.iter().position(|name| *name == text(value)).map(|i| i as f64)
        }
    };
    // One line for each setting of the other axes.
    let others = |row: &Row| label(row.variant.iter().filter(|(key, _)| *key != path));
    let mut lines: Vec<(String, Vec<Point>)> = Vec::new();
    for row in &answer.rows {
        let Some(point) = x(row).and_then(|x| Point::new(x, row, metric)) else { continue };
        let name = others(row);
        match lines.iter_mut().find(|(known, _)| *known == name) {
            Some((_, points)) => points.push(point),
            None => lines.push((name, vec![point])),
        }
    }
    let several = lines.len() > 1;
    let xs: Vec<f64> = lines.iter().flat_map(|(_, points)| points.iter().map(|p| p.x)).collect();
    let plots = lines
        .into_iter()
        .enumerate()
        .flat_map(|(i, (name, mut points))| {
            points.sort_by(|a, b| a.x.total_cmp(&b.x));
            series(&points, colour(i), several.then_some(name))
        })
        .collect();
    let title = format!("{} over {}", short(metric), last(path));
    figure("over_axis", title, plots, |layout| {
        let layout = layout.with_x_label(last(path)).with_y_label(metric.label());
        if !numeric {
            let layout = layout.with_x_axis_min(-0.4).with_x_axis_max(names.len() as f64 - 0.6);
            let names = names.clone();
            let name = move |n: usize| names.get(n).cloned().unwrap_or_default();
            layout.with_x_tick_step(1.0).with_x_tick_format(at_whole_numbers(name))
        } else if xs.iter().all(|x| x.fract() == 0.0) {
            scaled(layout, &xs).with_x_tick_format(at_whole_numbers(|n| n.to_string()))
        } else {
            scaled(layout, &xs)
        }
    })
}

fn pareto(answer: &Answer, cost: Cost) -> Result<Figure> {
    let metric = answer.report.y;
    let point = |row: &Row| Point::new(row.cost(cost) as f64, row, metric);
    let points = answer.rows.iter().filter_map(|row| Some((point(row)?, row)));
    let (points, rows): (Vec<Point>, Vec<&Row>) = points.unzip();
    let xs: Vec<f64> = points.iter().map(|p| p.x).collect();
    let xy: Vec<(f64, f64)> = points.iter().map(|p| (p.x, p.y)).collect();
    let front = pareto_front(&xy, |a, b| metric.better(a, b));
    let crowded = points.len() > LABELLED;
    let label = |(i, row): (usize, &Row)| {
        if crowded && !front.contains(&i) { String::new() } else { row.label.clone() }
    };
    let dots = dots(&points, COLOURS[0])
        .with_labels(rows.into_iter().enumerate().map(label))
        .with_repel_labels()
        .with_legend("variant");
    let front = LinePlot::new()
        .with_data(front.iter().map(|&i| xy[i]))
        .with_color(COLOURS[1])
        .with_dashed()
        .with_legend("Pareto front");
    let title = format!("{} over {}", short(metric), cost.title());
    let (low, high) = roomy(range(points.iter().flat_map(|p| [p.y - p.std, p.y + p.std])));
    figure("pareto", title, vec![Plot::Line(front), Plot::Scatter(dots)], |layout| {
        let layout = over_cost(layout, cost).with_y_label(metric.label());
        scaled(layout.with_y_axis_min(low).with_y_axis_max(high), &xs)
    })
}

/// A horizontal axis of costs.
fn over_cost(layout: Layout, cost: Cost) -> Layout {
    let label = match cost {
        Cost::Params => cost.title().to_owned(),
        Cost::Macs | Cost::Activations => format!("{} of one image", cost.title()),
    };
    let tick = |x: f64| super::format::count(x.max(0.0).round() as u64).replace(".00", "");
    layout.with_x_label(label).with_x_tick_format(TickFormat::Custom(Arc::new(tick)))
}

/// Error over cost with the power law through it; the axes are logarithmic where they span much.
fn law(answer: &Answer) -> Option<Result<Figure>> {
    let cost = words::cost_axis(answer);
    let points = words::errors_over(answer, cost);
    let law = power_law(&points)?;
    let (cheap, dear) = range(points.iter().map(|point| point.0));
    let fitted = (0..=SMOOTH).map(|i| {
        let x = cheap * (dear / cheap).powf(f64::from(i) / f64::from(SMOOTH));
        (x, law.scale * x.powf(law.exponent.value))
    });
    let exponent = law.exponent.value;
    let line = LinePlot::new()
        .with_data(fitted)
        .with_color(COLOURS[1])
        .with_dashed()
        .with_legend(format!("cost to the power of {exponent:.3}"));
    let dots = ScatterPlot::new()
        .with_data(points.clone())
        .with_color(COLOURS[0])
        .with_size(5.0)
        .with_legend("variant");
    let (name, label) = match answer.report.y {
        Metric::Loss => ("Loss", Metric::Loss.label()),
        Metric::Top5 => ("Top-5 error", "top-5 error on the test images (%)"),
        _ => ("Error", "top-1 error on the test images (%)"),
    };
    let title = format!("{name} over {}, a power law", cost.title());
    let xs: Vec<f64> = points.iter().map(|point| point.0).collect();
    let (low, high) = range(points.iter().map(|point| point.1));
    Some(figure("power_law", title, vec![Plot::Line(line), Plot::Scatter(dots)], |layout| {
        let layout = over_cost(layout, cost).with_y_label(label);
        let layout = if high / low > LOGARITHMIC {
            layout.with_log_y().with_y_axis_min(0.8 * low).with_y_axis_max(1.25 * high)
        } else {
            layout.with_y_axis_min(roomy((low, high)).0).with_y_axis_max(roomy((low, high)).1)
        };
        scaled(layout, &xs)
    }))
}

/// The share of variants whose error is below a value: one step line for each named variant, or one for all.
fn distribution(answer: &Answer) -> Option<Result<Figure>> {
    let mut groups: Vec<(String, Vec<f64>)> = Vec::new();
    for row in &answer.rows {
        let Some(top1) = row.mean(Metric::Top1) else { continue };
        let name = row.variant.get("variant").map_or("all variants".to_owned(), text);
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, errors)) => errors.push(100.0 - top1),
            None => groups.push((name, vec![100.0 - top1])),
        }
    }
    groups.retain(|(_, errors)| errors.len() >= DISTRIBUTION);
    let plots: Vec<Plot> = groups
        .into_iter()
        .enumerate()
        .map(|(i, (name, mut errors))| {
            errors.sort_by(f64::total_cmp);
            let n = errors.len() as f64;
            let start = errors.first().map(|&error| (error, 0.0));
            let steps = errors.iter().enumerate().map(|(i, &error)| (error, (i + 1) as f64 / n));
            let points: Vec<(f64, f64)> = start.into_iter().chain(steps).collect();
            Plot::Line(LinePlot::new().with_data(points).with_step().with_color(colour(i)).with_legend(name))
        })
        .collect();
    (!plots.is_empty()).then(|| {
        let title = "Distribution of the error over the variants (EDF)".to_owned();
        figure("edf", title, plots, |layout| {
            layout
                .with_x_label("top-1 error on the test images (%)")
                .with_y_label("share of variants with at most this error")
        })
    })
}

fn curves(answer: &Answer) -> Result<Figure> {
    let mut plots = Vec::new();
    for (i, row) in answer.rows.iter().enumerate() {
        let epochs = row.curves.iter().flatten().map(|epoch| epoch.epoch).max().unwrap_or(0);
        let points = (1..=epochs).filter_map(|number| {
            let same = row.curves.iter().flatten().filter(|epoch| epoch.epoch == number);
            let values: Vec<f64> = same.filter_map(|epoch| Some(epoch.evaluation()?.top1)).collect();
            Some(Point { x: number as f64, y: mean(&values)?, std: 0.0 })
        });
        let points: Vec<Point> = points.collect();
        if !points.is_empty() {
            plots.extend(series(&points, colour(i), Some(words::name(row).to_owned())));
        }
    }
    figure("curves", "Learning curves, mean over the seeds".to_owned(), plots, |layout| {
        layout
            .with_x_label("epoch")
            .with_y_label(Metric::Top1.label())
            .with_x_tick_format(at_whole_numbers(|n| n.to_string()))
    })
}

/// The least and the largest.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)))
}

/// The ends of an axis, with room for points, error bars and labels.
fn roomy((low, high): (f64, f64)) -> (f64, f64) {
    let room = if high > low { 0.15 * (high - low) } else { 0.1 * high.abs().max(1.0) };
    (low - room, high + room)
}

/// A horizontal axis for these values.
fn scaled(layout: Layout, xs: &[f64]) -> Layout {
    let (low, high) = range(xs.iter().copied());
    if low > 0.0 && high / low > LOGARITHMIC {
        let room = (high / low).powf(0.12);
        return layout.with_log_x().with_x_axis_min(low / room).with_x_axis_max(high * room);
    }
    let (low, high) = roomy((low, high));
    layout.with_x_axis_min(low).with_x_axis_max(high)
}

/// A text for each whole number, nothing for the ticks between.
fn at_whole_numbers(text: impl Fn(usize) -> String + Send + Sync + 'static) -> TickFormat {
    TickFormat::Custom(Arc::new(move |x| {
        let whole = (x - x.round()).abs() < 1e-6 && x > -0.5;
        if whole { text(x.round() as usize) } else { String::new() }
    }))
}

fn short(metric: Metric) -> &'static str {
    match metric {
        Metric::Top1 => "Top-1",
        Metric::Top5 => "Top-5",
        Metric::Loss => "Loss",
        Metric::ImagesPerSecond => "Images per second",
    }
}
