//! An experiment's answer in rows: for the terminal, Markdown, CSV.

use super::format::{count, mean_std};
use super::plot::Figure;
use super::words;
use crate::experiment::{Answer, Cost, Metric, Printed, Row, Together, last, shown, text};
use crate::statistics::{mean, mean_estimate};
use crate::train::TestMetrics;
use serde_json::{Map, Value};

/// Rows under titles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub titles: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    fn markdown(&self) -> String {
        let row = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule = vec!["---".to_owned(); self.titles.len()];
        [&self.titles, &rule].into_iter().chain(&self.rows).map(|cells| row(cells)).collect()
    }
}

/// One row a variant, for people. Where there are seeds enough, the last column has what the first variant lacks or
/// leads by, paired over the seeds.
pub fn answer_table(answer: &Answer) -> Table {
    let keys = answer.columns.iter().chain(&answer.solved);
    let mut titles: Vec<String> = keys.map(|key| last(key).to_owned()).collect();
    titles.extend(["params", "MACs", "top-1 %", "loss", "images/s", "seeds"].map(str::to_owned));
    let timed = answer.rows.iter().any(|row| row.latency_ms.is_some());
    if timed {
        titles.push("ms an image".to_owned());
    }
    let metric = answer.report.y;
    let first = answer.rows.first();
    let difference = |row: &Row| {
        let estimate = mean_estimate(&row.differences(first?, metric))?;
        (!std::ptr::eq(row, first?)).then(|| words::interval(&estimate, metric))
    };
    let differences: Vec<Option<String>> = answer.rows.iter().map(difference).collect();
    let compared = differences.iter().any(Option::is_some);
    let has_ensembles = answer.rows.iter().any(|row| row.ensemble.is_some());
    if has_ensembles {
        titles.push("ensemble top-1 %".to_owned());
    }
    if compared {
        titles.push(format!("{} minus the first's", words::unit(metric).name));
    }
    let row = |row: &Row| {
        let setting = |value: Option<&Value>| value.map_or("–".to_owned(), shown);
        let variant = answer.columns.iter().map(|key| setting(row.variant.get(key)));
        let solved = answer.solved.iter().map(|key| setting(row.solved.get(key)));
        let mut cells: Vec<String> = variant.chain(solved).collect();
        let metric = |metric, decimals| mean_std(row.mean(metric), row.std(metric), decimals);
        cells.extend([
            count(row.params),
            count(row.macs),
            metric(Metric::Top1, 2),
            metric(Metric::Loss, 4),
            row.mean(Metric::ImagesPerSecond).map_or("–".into(), |mean| format!("{mean:.0}")),
            row.results.len().to_string(),
        ]);
        if timed {
            cells.push(row.latency_ms.map_or("–".into(), |ms| format!("{ms:.2}")));
        }
        cells
    };
    let rows = answer.rows.iter().zip(differences).map(|(one, difference)| {
        let mut cells = row(one);
        if has_ensembles {
            cells.push(one.ensemble.map_or("–".to_owned(), |ensemble| format!("{:.2}", ensemble.top1)));
        }
        if compared {
            cells.push(difference.unwrap_or_else(|| "–".to_owned()));
        }
        cells
    });
    Table { rows: rows.collect(), titles }
}

/// What else the tests say, the mean over the seeds; `None` where trials of before do not say it.
pub fn metrics_table(answer: &Answer) -> Option<Table> {
    let mean_of = |row: &Row, of: fn(&TestMetrics) -> f64| -> Option<f64> {
        let values: Option<Vec<f64>> =
            row.results.iter().map(|result| result.test.as_ref().map(of)).collect();
        mean(&values?)
    };
    let titles = ["variant", "top-5 %", "balanced accuracy %", "F1 %", "calibration error"];
    let row = |row: &Row| {
        let values = [
            mean_of(row, |test| test.top5)?,
            mean_of(row, |test| test.balanced_accuracy)?,
            mean_of(row, |test| test.f1)?,
        ];
        let mut cells = vec![words::name(row).to_owned()];
        cells.extend(values.map(|value| format!("{value:.2}")));
        cells.push(format!("{:.4}", mean_of(row, |test| test.ece)?));
        Some(cells)
    };
    let rows: Vec<Vec<String>> = answer.rows.iter().filter_map(row).collect();
    (!rows.is_empty()).then(|| Table { titles: titles.map(str::to_owned).to_vec(), rows })
}

/// What variants cost and reach beside the paper's own figures; `None` where the experiment gives none.
pub fn paper_table(answer: &Answer) -> Option<Table> {
    let rows: Vec<&Row> = answer.rows.iter().filter(|row| row.paper.is_some()).collect();
    let mut table = Table::default();
    let mut column = |title: &str, cell: &dyn Fn(&Row) -> Option<String>| {
        let cells: Vec<Option<String>> = rows.iter().map(|row| cell(row)).collect();
        if cells.iter().any(Option::is_some) {
            table.titles.push(title.to_owned());
            table.rows.resize(cells.len(), Vec::new());
            for (row, cell) in table.rows.iter_mut().zip(cells) {
                row.push(cell.unwrap_or_else(|| "–".to_owned()));
            }
        }
    };
    column("variant", &|row| Some(words::name(row).to_owned()));
    for cost in Cost::ALL {
        let title = cost.title();
        let printed = |row: &Row| row.paper.as_ref()?.cost(cost).cloned();
        column(title, &|row| printed(row).map(|_| count(row.cost(cost))));
        column(&format!("{title}, paper"), &|row| {
            let printed = printed(row)?;
            let value = row.cost(cost) as f64;
            let off = 100.0 * (value / printed.value - 1.0);
            Some(if printed.agrees(value) {
                printed.text
            } else {
                format!("{} (here {off:+.1} %)", printed.text)
            })
        });
    }
    let text = |printed: &Option<Printed>| printed.as_ref().map(|printed| printed.text.clone());
    let error =
        |row: &Row, metric: Metric| Some(mean_std(Some(100.0 - row.mean(metric)?), row.std(metric), 2));
    column("error %", &|row| error(row, Metric::Top1));
    column("error %, paper", &|row| text(&row.paper.as_ref()?.error));
    column("top-1 %, paper", &|row| text(&row.paper.as_ref()?.top1));
    if rows.iter().any(|row| row.paper.as_ref().is_some_and(|paper| paper.top5_error.is_some())) {
        column("top-5 error %", &|row| error(row, Metric::Top5));
        column("top-5 error %, paper", &|row| text(&row.paper.as_ref()?.top5_error));
    }
    (!rows.is_empty()).then_some(table)
}

/// The settings of these columns in full; nothing where a variant has none.
fn cells(settings: &Map<String, Value>, columns: &[String]) -> Vec<String> {
    columns.iter().map(|key| settings.get(key).map_or(String::new(), text)).collect()
}

/// `results.csv`: the axes' columns, then costs and results, of ensembles where they were measured, then what was solved
/// for equal cost.
pub(super) fn csv(answer: &Answer) -> String {
    let measures = ["top1_mean", "top1_std", "loss_mean", "images_per_second", "seeds"];
    let mut titles: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
    titles.extend(["params", "macs", "activations"]);
    titles.extend(measures);
    let has_ensembles = answer.rows.iter().any(|row| row.ensemble.is_some());
    if has_ensembles {
        titles.extend(["ensemble_top1", "ensemble_top5"]);
    }
    titles.extend(answer.solved.iter().map(String::as_str));
    titles.push("top5_mean");
    let timed = answer.rows.iter().any(|row| row.latency_ms.is_some());
    titles.extend(timed.then_some("latency_ms"));
    let mut out = line(titles.into_iter().map(str::to_owned));
    for row in &answer.rows {
        let number = |x: Option<f64>| x.map_or("nan".to_owned(), |x| x.to_string());
        let mut cells = cells(&row.variant, &answer.columns);
        cells.extend([row.params, row.macs, row.activations].map(|n| n.to_string()));
        cells.extend([
            number(row.mean(Metric::Top1)),
            number(row.std(Metric::Top1)),
            number(row.mean(Metric::Loss)),
            number(row.mean(Metric::ImagesPerSecond)),
            row.results.len().to_string(),
        ]);
        if has_ensembles {
            let of = |metric: fn(Together) -> f64| number(row.ensemble.map(metric));
            cells.extend([of(|ensemble| ensemble.top1), of(|ensemble| ensemble.top5)]);
        }
        cells.extend(self::cells(&row.solved, &answer.solved));
        cells.push(number(row.mean(Metric::Top5)));
        cells.extend(timed.then(|| number(row.latency_ms)));
        out += &line(cells.into_iter());
    }
    out
}

/// `trials.csv`: every trial, the axes' columns first; those that are not done have their state alone.
pub(super) fn trials_csv(answer: &Answer) -> String {
    let mut titles: Vec<String> = vec!["id".into()];
    titles.extend(answer.columns.iter().cloned());
    let measures = [
        "seed",
        "state",
        "params",
        "macs",
        "activations",
        "top1",
        "loss",
        "best_top1",
        "best_epoch",
        "epochs",
        "steps",
        "seconds",
        "images_per_second",
        "device",
        "threads",
        "skipped",
        "top5",
        "ece",
        "balanced_accuracy",
        "f1",
    ];
    titles.extend(measures.map(str::to_owned));
    let columns = titles.len();
    let mut out = line(titles.into_iter());
    for row in &answer.rows {
        for (id, result) in row.ids.iter().zip(&row.results) {
            let mut values = vec![id.clone()];
            values.extend(cells(&row.variant, &answer.columns));
            values.extend([result.seed.to_string(), "done".to_owned()]);
            values.extend([result.params, result.macs, result.activations].map(|n| n.to_string()));
            values.extend([result.top1, result.loss, result.best_top1].map(|x| x.to_string()));
            values.extend([result.best_epoch, result.epochs, result.steps].map(|n| n.to_string()));
            values.extend([result.seconds, result.images_per_second].map(|x| x.to_string()));
            values.extend([result.device.clone(), result.threads.to_string(), result.skipped.to_string()]);
            let of = |metric: fn(&TestMetrics) -> f64| {
                result.test.as_ref().map_or(String::new(), |test| metric(test).to_string())
            };
            values.extend([of(|test| test.top5), of(|test| test.ece)]);
            values.extend([of(|test| test.balanced_accuracy), of(|test| test.f1)]);
            out += &line(values.into_iter());
        }
    }
    for trial in &answer.missing {
        let mut values = vec![String::new(); columns];
        values[0].clone_from(&trial.id);
        values[answer.columns.len() + 2] = words::state(trial.state).to_owned();
        out += &line(values.into_iter());
    }
    out
}

/// One line of CSV (RFC 4180, with a bare line feed).
fn line(cells: impl Iterator<Item = String>) -> String {
    let quoted = |cell: String| {
        if cell.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell
        }
    };
    cells.map(quoted).collect::<Vec<_>>().join(",") + "\n"
}

/// `report.md`.
pub(super) fn markdown(answer: &Answer, figures: &[Figure]) -> String {
    let mut out = format!("# {}\n\n{}\n\n", answer.experiment, answer.question);
    if let Some(paper) = &answer.paper {
        out += &format!("Source: {paper}\n\n");
    }
    answer.concerns.iter().for_each(|concern| out += &format!("> **Note:** {concern}\n\n"));
    out += &format!("**{}**\n\n", words::verdict(answer));
    words::findings(answer).iter().for_each(|finding| out += &format!("{finding}\n\n"));
    out += &answer_table(answer).markdown();
    out += &format!("\n{}\n", words::NOTE);
    if let Some(table) = metrics_table(answer) {
        out += &format!("\n## Further metrics\n\n{}", table.markdown());
    }
    if let Some(table) = paper_table(answer) {
        out += &format!("\n## Beside the paper's figures\n\n{}", table.markdown());
    }
    for figure in figures {
        out += &format!("\n![{}]({}.svg)\n", figure.title, figure.name);
    }
    let machine = words::machine(answer);
    if !machine.is_empty() {
        out += &format!("\n{machine}\n");
    }
    if !answer.missing.is_empty() {
        out += "\n## Trials that are not done\n\n";
        for trial in &answer.missing {
            let reason = trial.reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
            out += &format!("- `{}`, {}{reason}\n", trial.id, words::state(trial.state));
        }
    }
    out
}
