//! `eval --results`: a row a model, each tested by itself, with the columns of timm's tables of results.

use crate::cli::rows::Rows;
use crate::cli::{print, print_json, table};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::Path;
use tchvision::classifier::Evaluated;
use tchvision::data::Preprocess;
use tchvision::evaluate::Protocol;

/// timm's first, which its readers look for.
const COLUMNS: [&str; 13] = [
    "model",
    "top1",
    "top1_err",
    "top5",
    "top5_err",
    "param_count",
    "img_size",
    "crop_pct",
    "interpolation",
    "data",
    "protocol",
    "images",
    "skipped",
];

/// The file of results, and what is in it.
pub struct Results {
    rows: Rows,
    data: String,
    protocol: String,
    /// What the rows of before and of now say.
    found: Vec<Value>,
}

impl Results {
    /// # Errors
    /// As [`Rows::open`].
    pub fn open(path: &Path, data: &str, protocol: &Protocol) -> Result<Self> {
        let (data, protocol) = (data.to_owned(), protocol.to_string());
        let columns = COLUMNS.map(str::to_owned);
        let same = [("data", data.clone()), ("protocol", protocol.clone())];
        let mut found: Vec<Value> = Vec::new();
        let rows = Rows::open(path, &columns, &same, &mut |row| {
            let numbers = ["top1", "top5", "param_count", "img_size", "images"];
            let [top1, top5, parameters, size, images] = numbers.map(|column| row(column).parse::<f64>());
            found.push(
                json!({"model": row("model"), "top1": top1?, "top5": top5?, "param_count": parameters?,
                              "img_size": size? as u64, "images": images? as u64}),
            );
            Ok(())
        })?;
        Ok(Self { rows, data, protocol, found })
    }

    /// Whether this model has a row of before.
    pub fn take(&mut self, model: &str) -> bool {
        self.rows.take(model)
    }

    /// Adds what a model with so many parameters was found to do.
    ///
    /// # Errors
    /// A file that cannot be written, or a test without pictures.
    pub fn add(&mut self, model: &str, parameters: u64, way: &Preprocess, tested: &Evaluated) -> Result<()> {
        let total = tested.accuracy.total();
        let percents = total.top1_percent().zip(total.top5_percent());
        let (top1, top5) = percents.with_context(|| format!("{}: no pictures", self.data))?;
        let rounded = |value: f64, places: i32| (value * 10f64.powi(places)).round() / 10f64.powi(places);
        let row = json!({
            "model": model, "top1": rounded(top1, 4), "top1_err": rounded(100.0 - top1, 4),
            "top5": rounded(top5, 4), "top5_err": rounded(100.0 - top5, 4),
            "param_count": rounded(parameters as f64 / 1e6, 2), "img_size": way.input[2], "crop_pct": way.crop_pct,
            "interpolation": way.interpolation, "data": self.data, "protocol": self.protocol,
            "images": total.images, "skipped": tested.skipped,
        });
        self.rows.add(&row)?;
        self.found.push(row);
        Ok(())
    }

    /// Prints all rows, the best first.
    ///
    /// # Errors
    /// As printing.
    pub fn show(mut self, as_json: bool) -> Result<()> {
        let top1 = |row: &Value| row["top1"].as_f64().unwrap_or_default();
        self.found.sort_by(|a, b| top1(b).total_cmp(&top1(a)));
        if as_json {
            return print_json(&self.found);
        }
        let mut out = table(&["model", "top-1", "top-5", "parameters (M)", "size", "pictures"]);
        for row in &self.found {
            let cell = |column: &str| match &row[column] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            out.add_row(["model", "top1", "top5", "param_count", "img_size", "images"].map(cell));
        }
        print(out)
    }
}
