//! What the papers have: every row of their tables with parameters or MACs, and the nets that no library has.

mod common;

use common::golden;
use serde_json::Value;
use tchvision::models::ModelSpec;

/// One row of goldens/papers.json: a model and the figures that its paper's definition gives, as precise as they are
/// printed. A row without a comment of its own in `note` is the paper's table recomputed.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    model: String,
    #[serde(default)]
    set: serde_json::Map<String, Value>,
    /// Height and width of the image, where they are not the model's own.
    side: Option<i64>,
    /// A whole number, or `25.56 M`.
    params: Option<Value>,
    /// `4.089 G` multiply-adds, or twice as many `GFLOPs`.
    macs: Option<String>,
    #[expect(dead_code, reason = "for the reader of the file")]
    note: Option<String>,
}

/// `value` with the unit and the decimals of `printed`.
fn like(printed: &str, value: u64) -> String {
    let (number, unit) = printed.split_once(' ').unwrap();
    let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let scaled = value as f64
        / match unit {
            "M" => 1e6,
            "G" => 1e9,
            "GFLOPs" => 0.5e9,
            _ => panic!("unit {unit}"),
        };
    format!("{scaled:.decimals$} {unit}")
}

#[test]
fn every_row_of_the_papers_tables_is_reproduced() {
    let (mut rows, mut wrong) = (0, Vec::new());
    for table in golden("papers.json").as_array().unwrap() {
        for row in table["rows"].as_array().unwrap() {
            let Row { model, set, side, params, macs, .. } = serde_json::from_value(row.clone()).unwrap();
            let mut spec = ModelSpec::new(&model);
            set.iter().for_each(|(field, value)| spec.set(field, &value.to_string()).unwrap());
            assert!(params.is_some() || macs.is_some(), "{row}");
            rows += 1;
            let cost = spec.resolve().and_then(|model| {
                let [c, h, w] = model.input();
                model.complexity([c, side.unwrap_or(h), side.unwrap_or(w)])
            });
            let Ok(cost) = cost.map_err(|e| wrong.push(format!("{}: {row}: {e:#}", table["table"]))) else {
                continue;
            };
            let got_params = params.as_ref().map(|printed| match printed.as_str() {
                Some(printed) => Value::from(like(printed, cost.params)),
                None => Value::from(cost.params),
            });
            let got_macs = macs.as_ref().map(|printed| like(printed, cost.macs));
            if (&got_params, &got_macs) != (&params, &macs) {
                wrong.push(format!(
                    "{}: {row}: {} parameters, {} MACs",
                    table["table"], cost.params, cost.macs
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {rows} rows:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows > 200, "{rows}");
}
