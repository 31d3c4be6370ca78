//! What `bench infer` and `bench train` found.

use super::work::{Other, Work};
use crate::cli::Dtype;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Serialize, Deserialize)]
pub struct Report {
    pub machine: String,
    pub threads: u64,
    /// The card, where the steps ran on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// Whether the processor, or the card, computes in bfloat16.
    pub bfloat16: bool,
    /// Of the libraries that took part.
    pub versions: BTreeMap<String, String>,
    pub rows: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
pub struct Row {
    pub work: Work,
    pub model: String,
    pub batch: i64,
    pub dtype: Dtype,
    pub median_ms: BTreeMap<String, f64>,
    /// Of a forward pass: what its multiply-adds would take in a large matrix product on the same machine.
    pub floor_ms: Option<f64>,
}

impl Report {
    /// The machine, the card first.
    pub fn place(&self) -> String {
        let gpu = self.gpu.as_ref().map_or(String::new(), |gpu| format!("{gpu}, "));
        gpu + &self.machine
    }
}

impl Row {
    /// The model without its source.
    pub fn short_name(&self) -> &str {
        self.model.split_once('/').map_or(self.model.as_str(), |(_, name)| name)
    }

    /// Our time; that of each of `others`, with ours over it in brackets; and the same of the floor.
    pub fn cells(&self, others: &[&str]) -> Vec<String> {
        let own = self.median_ms.get("tchvision").copied().unwrap_or(f64::NAN);
        let beside =
            |ms: Option<f64>| ms.map_or(String::new(), |ms| format!("{} ({:.2})", time(ms), own / ms));
        let mut cells = vec![time(own)];
        cells.extend(others.iter().map(|other| beside(self.median_ms.get(*other).copied())));
        cells.push(beside(self.floor_ms));
        cells
    }
}

/// Milliseconds with about three digits.
fn time(ms: f64) -> String {
    format!("{ms:.*} ms", if ms < 10.0 { 2 } else { 1 })
}

/// The other contestants of these rows.
pub fn taking_part(work: Work, rows: &[&Row]) -> Vec<&'static Other> {
    work.others(false).filter(|other| rows.iter().any(|row| row.median_ms.contains_key(other.name))).collect()
}
