//! The figures of an experiment, as SVG and PNG.

use super::words::{self, Axis};
use crate::atomic;
use crate::experiment::{Answer, Cost, Metric, Row, X, label, last, text};
use crate::statistics::{mean, pareto_front, power_law};
use anyhow::{Result, anyhow};
use kuva::backend::{png::PngBackend, svg::SvgBackend};
use kuva::prelude::{Layout, LinePlot, Plot, ScatterPlot, TickFormat};
use kuva::render::render::render_multiple;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// A figure and its title.
pub(crate) struct Figure {
    /// Of its files, without extension.
    pub name: String,
    pub title: String,
    pub svg: String,
    pub png: Vec<u8>,
}

impl Figure {
    /// Writes both files.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let file = |extension: &str| dir.join(format!("{}.{extension}", self.name));
        atomic::write(&file("svg"), self.svg.as_bytes())?;
        atomic::write(&file("png"), &self.png)
    }

    /// The `<svg>` element, without the XML header: for a page.
    pub fn inline(&self) -> &str {
        self.svg.find("<svg").map_or(self.svg.as_str(), |start| &self.svg[start..])
    }
}

/// Pixels of the PNG for each unit of the SVG.
const DENSITY: f32 = 2.0;

/// Colours that colour-blind readers can tell apart too (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d1f", "#444444"];
/// Beyond this ratio of the largest to the smallest, an axis is logarithmic.
const LOGARITHMIC: f64 = 7.0;

pub(crate) fn colour(i: usize) -> &'static str {
    COLOURS[i % COLOURS.len()]
}

/// Steps of an axis; beyond so many the values are set side by side.
const MAX_PLACES: f64 = 40.0;
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
        X::Cost(_) | X::Latency => None,
        X::Axis(path) => Some(over_axis(answer, path)),
    };
    let fronts = words::axes(answer).into_iter().map(|axis| Some(pareto(answer, axis)));
    let all = std::iter::once(axis).chain(fronts);
    all.chain([law(answer), distribution(answer), Some(curves(answer))]).flatten().collect()
}

pub(crate) fn figure(
    name: &str,
    title: String,
    plots: Vec<Plot>,
    layout: impl Fn(Layout) -> Layout,
) -> Result<Figure> {
    let base = Layout::auto_from_plots(&plots).with_title(title.clone()).with_width(760.0).with_height(430.0);
    let scene = render_multiple(plots, layout(base));
    let png = PngBackend::new().with_scale(DENSITY).render_scene(&scene);
    let png = png.map_err(|error| anyhow!("{name}.png: {error}"))?;
    let svg = SvgBackend::new().render_scene(&scene);
    // So that a page may shrink it.
    let [width, height] = [scene.width, scene.height];
    let svg = svg.replacen("<svg ", &format!("<svg viewBox=\"0 0 {width} {height}\" "), 1);
    Ok(Figure { name: name.to_owned(), title, svg, png })
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
    let numbers: Option<Vec<f64>> = names.iter().map(|name| name.parse().ok()).collect();
    let places = numbers.and_then(|numbers| places(&numbers)).unwrap_or_else(|| (0..names.len()).collect());
    let x = |row: &Row| {
        let value = text(row.variant.get(path)?);
        names.iter().position(|name| *name == value).map(|i| places[i] as f64)
    };
    // One line for each setting of the other axes.
    let others = |row: &Row| label(row.variant.iter().filter(|(key, _)| *key != path));
    let mut lines: Vec<Line> = Vec::new();
    for row in &answer.rows {
        let Some(x) = x(row) else { continue };
        let Some(point) = Point::new(x, row, metric) else { continue };
        let name = others(row);
        if !lines.iter().any(|line| line.name == name) {
            lines.push(Line { name: name.clone(), ..Line::default() });
        }
        for line in lines.iter_mut().filter(|line| line.name == name) {
            line.tested.push(point);
            line.trained.extend(row.trained().filter(|_| metric == Metric::Top1).map(|top1| (x, top1)));
        }
    }
    let several = lines.len() > 1;
    let mut plots = Vec::new();
    for (i, Line { name, tested: mut points, mut trained }) in lines.into_iter().enumerate() {
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        trained.sort_by(|a, b| a.0.total_cmp(&b.0));
        let legend = if trained.is_empty() { None } else { Some("test images".to_owned()) };
        plots.extend(series(&points, colour(i), if several { Some(name) } else { legend }));
        if !trained.is_empty() {
            plots.push(training(trained, colour(i), i == 0));
        }
    }
    let title = format!("{} over {}", short(metric), last(path));
    figure("over_axis", title, plots, |layout| {
        let most = places.iter().copied().max().unwrap_or(0) as f64;
        let room = 0.08 * most.max(1.0);
        // The training images are drawn too.
        let label = if metric == Metric::Top1 { "top-1 (%)" } else { metric.label() };
        let layout = layout.with_x_label(last(path)).with_y_label(label);
        let layout = layout.with_x_axis_min(-room).with_x_axis_max(most + room);
        let at: HashMap<usize, String> = places.iter().copied().zip(names.iter().cloned()).collect();
        let name = move |place: usize| at.get(&place).cloned().unwrap_or_default();
        layout.with_x_tick_step(1.0).with_x_tick_format(at_whole_numbers(name))
    })
}

/// The variants that differ in one axis alone.
#[derive(Default)]
struct Line {
    name: String,
    tested: Vec<Point>,
    /// Top-1 on the training images.
    trained: Vec<(f64, f64)>,
}

/// Accuracy on the training images as augmented: a dashed line.
fn training(points: Vec<(f64, f64)>, colour: &str, legend: bool) -> Plot {
    let line = LinePlot::new().with_data(points).with_color(colour).with_dashed();
    Plot::Line(if legend { line.with_legend("training images (dashed)") } else { line })
}

/// Whole numbers for values at even steps, or at even ratios where they span much: an axis has its ticks where values were
/// tried. `None` for values that have neither.
fn places(values: &[f64]) -> Option<Vec<usize>> {
    let (low, high) = range(values.iter().copied());
    let steps = if low > 0.0 && high / low > LOGARITHMIC {
        values.iter().map(|x| (x / low).ln()).collect::<Vec<_>>()
    } else {
        values.iter().map(|x| x - low).collect()
    };
    let (_, span) = range(steps.iter().copied());
    // Euclid's, of numbers that are not quite exact.
    let common = steps.iter().fold(0.0, |a: f64, &b| {
        let (mut a, mut b) = (a, b);
        while b > 1e-6 * span {
            (a, b) = (b, a % b);
        }
        a
    });
    let places: Vec<f64> = steps.iter().map(|step| if common > 0.0 { step / common } else { 0.0 }).collect();
    let is_even = places.iter().all(|place| (place - place.round()).abs() < 1e-3 && *place <= MAX_PLACES);
    is_even.then(|| places.iter().map(|place| place.round() as usize).collect())
}

fn pareto(answer: &Answer, axis: Axis) -> Result<Figure> {
    let metric = answer.report.y;
    let point = |row: &Row| Point::new(axis.of(row)?, row, metric);
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
    let title = format!("{} over {}", short(metric), axis.title());
    let (low, high) = roomy(range(points.iter().flat_map(|p| [p.y - p.std, p.y + p.std])));
    let name = if matches!(axis, Axis::Latency) { "latency" } else { "pareto" };
    figure(name, title, vec![Plot::Line(front), Plot::Scatter(dots)], |layout| {
        let layout = match axis {
            Axis::Cost(cost) => over_cost(layout, cost),
            Axis::Latency => layout.with_x_label("milliseconds of one image, frozen, batch 1"),
        };
        let layout = layout.with_y_label(metric.label());
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
        if points.is_empty() {
            continue;
        }
        plots.extend(series(&points, colour(i), Some(words::name(row).to_owned())));
        let trained = (1..=epochs).filter_map(|number| {
            let same = row.curves.iter().flatten().filter(|epoch| epoch.epoch == number);
            Some((number as f64, mean(&same.map(|epoch| epoch.train_top1).collect::<Vec<_>>())?))
        });
        plots.push(training(trained.collect(), colour(i), plots.len() == 2));
    }
    figure("curves", "Learning curves, mean over the seeds".to_owned(), plots, |layout| {
        layout
            .with_x_label("epoch")
            .with_y_label("top-1 (%)")
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

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn ticks_stand_where_values_were_tried() {
        assert_eq!(places(&[1.0, 2.0, 4.0, 8.0]), Some(vec![0, 1, 2, 3]));
        assert_eq!(places(&[8.0, 1.0, 4.0]), Some(vec![3, 0, 2]));
        assert_eq!(places(&[10.0, 16.0, 22.0, 40.0]), Some(vec![0, 1, 2, 5]));
        assert_eq!(places(&[0.0, 0.1, 0.3]), Some(vec![0, 1, 3]));
        assert_eq!(places(&[5.0]), Some(vec![0]));
        assert_eq!(places(&[1.0, std::f64::consts::E, 3.0]), None);
    }
}
