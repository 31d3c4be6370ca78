//! An experiment's answer in words and rows: for the terminal, Markdown, CSV.

use super::format::{count, mean_std};
use super::plot::Picture;
use crate::experiment::{Answer, Metric, Row, last, text};
use serde_json::{Map, Value};

/// Rows under titles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub titles: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// One row a variant, for people.
pub fn answer_table(answer: &Answer) -> Table {
    let keys = answer.columns.iter().chain(&answer.solved);
    let mut titles: Vec<String> = keys.map(|key| last(key).to_owned()).collect();
    titles.extend(["params", "MACs", "top-1 %", "loss", "images/s", "seeds"].map(str::to_owned));
    let row = |row: &Row| {
        let mut cells = cells(&row.variant, &answer.columns, "–");
        cells.extend(self::cells(&row.solved, &answer.solved, "–"));
        let metric = |metric, decimals| mean_std(row.mean(metric), row.std(metric), decimals);
        cells.extend([
            count(row.params),
            count(row.macs),
            metric(Metric::Top1, 2),
            metric(Metric::Loss, 4),
            row.mean(Metric::ImagesPerSecond).map_or("–".into(), |mean| format!("{mean:.0}")),
            row.results.len().to_string(),
        ]);
        cells
    };
    Table { titles, rows: answer.rows.iter().map(row).collect() }
}

/// The answer in words: which variant is best, by how much, and whether the seeds' noise allows to say so.
pub fn verdict(answer: &Answer) -> String {
    let metric = answer.report.y;
    let mut ranked: Vec<(&Row, f64)> =
        answer.rows.iter().filter_map(|row| Some((row, row.mean(metric)?))).collect();
    ranked.sort_by(|a, b| if metric.rises() { b.1.total_cmp(&a.1) } else { a.1.total_cmp(&b.1) });
    let (unit, decimals) = match metric {
        Metric::Top1 => (" %", 2),
        Metric::Loss => ("", 4),
        Metric::ImagesPerSecond => (" images/s", 0),
    };
    let value = |row: &Row| mean_std(row.mean(metric), row.std(metric), decimals) + unit;
    let [(best, top), rest @ ..] = ranked.as_slice() else {
        return "No trial is done yet.".to_owned();
    };
    let Some((second, next)) = rest.first() else {
        return format!("{}: {}.", name(best), value(best));
    };
    let mut words =
        format!("Best is {} with {}, then {} with {}", name(best), value(best), name(second), value(second));
    let gap = (top - next).abs();
    words += &match (best.std(metric), second.std(metric)) {
        (Some(a), Some(b)) => {
            // The standard error of the difference of two means.
            let (n, m) = (best.results.len() as f64, second.results.len() as f64);
            let error = (a * a / n + b * b / m).sqrt();
            let clear = if gap > 2.0 * error { "more" } else { "not more" };
            format!(
                ": a difference of {gap:.decimals$}, {clear} than twice its standard error ({error:.decimals$})."
            )
        }
        _ => format!(": a difference of {gap:.decimals$}; one seed does not tell how much of it is noise."),
    };
    if let Some((worst, _)) = rest.last().filter(|_| rest.len() > 1) {
        words += &format!(" Last is {} with {}.", name(worst), value(worst));
    }
    words
}

/// The settings of these columns; `absent` where a variant has none.
fn cells(settings: &Map<String, Value>, columns: &[String], absent: &str) -> Vec<String> {
    columns.iter().map(|key| settings.get(key).map_or(absent.to_owned(), text)).collect()
}

fn name(row: &Row) -> &str {
    if row.label.is_empty() { "the base" } else { &row.label }
}

/// `results.csv`: the axes' columns, then costs and results, then what was solved for equal cost.
pub(super) fn csv(answer: &Answer) -> String {
    let measures = ["top1_mean", "top1_std", "loss_mean", "images_per_second", "seeds"];
    let mut titles: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
    titles.extend(["params", "macs", "activations"]);
    titles.extend(measures);
    titles.extend(answer.solved.iter().map(String::as_str));
    let mut out = line(titles.into_iter().map(str::to_owned));
    for row in &answer.rows {
        let number = |x: Option<f64>| x.map_or("nan".to_owned(), |x| x.to_string());
        let mut cells = cells(&row.variant, &answer.columns, "");
        cells.extend([row.params, row.macs, row.activations].map(|n| n.to_string()));
        cells.extend([
            number(row.mean(Metric::Top1)),
            number(row.std(Metric::Top1)),
            number(row.mean(Metric::Loss)),
            number(row.mean(Metric::ImagesPerSecond)),
            row.results.len().to_string(),
        ]);
        cells.extend(self::cells(&row.solved, &answer.solved, ""));
        out += &line(cells.into_iter());
    }
    out
}

/// One line of CSV (RFC 4180, with a bare line feed).
fn line(cells: impl Iterator<Item = String>) -> String {
    let quoted = |cell: String| match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    };
    cells.map(quoted).collect::<Vec<_>>().join(",") + "\n"
}

/// `report.md`.
pub(super) fn markdown(answer: &Answer, pictures: &[Picture]) -> String {
    let mut out = format!("# {}\n\n{}\n\n", answer.experiment, answer.question);
    if let Some(paper) = &answer.paper {
        out += &format!("Source: {paper}\n\n");
    }
    out += &format!("**{}**\n\n", verdict(answer));
    let Table { titles, rows } = answer_table(answer);
    let row = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    out += &row(&titles);
    out += &row(&vec!["---".to_owned(); titles.len()]);
    rows.iter().for_each(|cells| out += &row(cells));
    out += "\nMean ± standard deviation over the seeds, on the test images after the last epoch.\n";
    for picture in pictures {
        out += &format!("\n![{}]({})\n", picture.title, picture.file);
    }
    if !answer.missing.is_empty() {
        out += "\n## Trials that are not done\n\n";
        for trial in &answer.missing {
            let reason = trial.reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
            out += &format!("- `{}`: {:?}{reason}\n", trial.id, trial.state).to_lowercase();
        }
    }
    out
}
