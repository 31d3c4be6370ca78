//! `report.html`: one page that needs no network.

use super::plot::Figure;
use super::table::{Table, answer_table, metrics_table, paper_table};
use super::words::{self, NOTE, findings, verdict};
use crate::experiment::Answer;

const STYLE: &str = include_str!("report.css");
/// A click on a title sorts the rows by that column.
const SCRIPT: &str = include_str!("report.js");

pub(super) fn page(answer: &Answer, figures: &[Figure]) -> String {
    let findings: String =
        findings(answer).iter().map(|finding| format!("<p>{}</p>\n", escape(finding))).collect();
    let concerns: String =
        answer.concerns.iter().map(|text| format!("<p class=\"concern\">{}</p>\n", escape(text))).collect();
    let section = |title: &str, rows: Option<Table>| {
        rows.map_or(String::new(), |rows| format!("<h2>{title}</h2>\n{}", table(&rows)))
    };
    let sections = section("Further metrics", metrics_table(answer))
        + &section("Beside the paper's figures", paper_table(answer));
    let figures: String =
        figures.iter().map(|figure| format!("<figure>{}</figure>\n", figure.inline())).collect();
    let paper =
        answer.paper.as_deref().map_or(String::new(), |paper| format!("<p>Source: {}</p>\n", escape(paper)));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{name}</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n<h1>{question}</h1>\n{paper}{concerns}<p class=\"verdict\">{verdict}</p>\n\
         {findings}{results}<p class=\"note\">Experiment <b>{name}</b>. {NOTE} A click on a title sorts.</p>\n\
         {sections}{missing}{figures}<p class=\"note\">{machine}</p>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        name = escape(&answer.experiment),
        question = escape(&answer.question),
        verdict = escape(&verdict(answer)),
        results = table(&answer_table(answer)),
        missing = missing(answer),
        machine = escape(&words::machine(answer)),
    )
}

fn table(Table { titles, rows }: &Table) -> String {
    let head: String = titles.iter().map(|title| format!("<th>{}</th>", escape(title))).collect();
    // On a narrow screen each cell says its title.
    let cell = |(title, cell): (&String, &String)| {
        format!("<td data-title=\"{}\">{}</td>", escape(title), escape(cell))
    };
    let row =
        |row: &Vec<String>| format!("<tr>{}</tr>\n", titles.iter().zip(row).map(cell).collect::<String>());
    let rows: String = rows.iter().map(row).collect();
    format!("<table>\n<thead>\n<tr>{head}</tr>\n</thead>\n<tbody>\n{rows}</tbody>\n</table>\n")
}

fn missing(answer: &Answer) -> String {
    let item = |trial: &crate::experiment::TrialStatus| {
        let reason = trial.reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
        format!("<li>{}, {}{}</li>\n", escape(&trial.id), words::state(trial.state), escape(&reason))
    };
    let items: String = answer.missing.iter().map(item).collect();
    if items.is_empty() { items } else { format!("<h2>Trials that are not done</h2>\n<ul>\n{items}</ul>\n") }
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
