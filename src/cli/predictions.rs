//! The rows that `tchvision eval --predictions` leaves, and what they say when it goes on.

use super::rows::Rows;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};
use std::path::Path;
use tchvision::Usage;
use tchvision::classifier::{Ensemble, Evaluated};
use tchvision::data::{Skipped, TestSet};
use tchvision::evaluate::{Outcome, Protocol};

/// The file of predictions, and what is in it already.
pub struct Predictions {
    rows: Rows,
    /// What all rows have in common.
    same: [(&'static str, String); 3],
    /// The pictures that had no row yet.
    names: Vec<String>,
    /// What the rows of before say.
    before: Vec<Outcome>,
    unread_before: usize,
}

impl Predictions {
    const COLUMNS: [&str; 11] = [
        "image",
        "model",
        "data",
        "protocol",
        "label",
        "predicted",
        "probability",
        "label_probability",
        "loss",
        "in_top5",
        "error",
    ];

    /// Opens the file, and leaves in `data` the pictures that have no row in it.
    ///
    /// # Errors
    /// As [`Rows::open`], or rows of pictures that the data does not have ([`Usage`]).
    pub fn open(path: &Path, ensemble: &Ensemble, protocol: &Protocol, data: &mut TestSet) -> Result<Self> {
        let (mut before, mut unread_before) = (Vec::new(), 0);
        let columns = Self::COLUMNS.map(str::to_owned);
        let model = ensemble.identities()?.join(" + ");
        let same = [("model", model), ("data", data.name().to_owned()), ("protocol", protocol.to_string())];
        let mut rows = Rows::open(path, &columns, &same, &mut |row| {
            if row("error").is_empty() {
                before.push(outcome(row).context("a row is not of this program; choose another file")?);
            } else {
                unread_before += 1;
            }
            Ok(())
        })?;
        let names = data.names();
        let mut left: Vec<usize> = (0..names.len()).filter(|&place| !rows.take(&names[place])).collect();
        if let Some(strange) = rows.not_taken().min() {
            let text = "which the data does not have; choose another file";
            bail!(Usage(format!("{}: it has a row of `{strange}`, {text}", path.display())));
        }
        data.keep(&mut left);
        let names = left.iter().map(|&place| names[place].clone()).collect();
        Ok(Self { rows, same, names, before, unread_before })
    }

    /// What is found of the picture at this place among those that had no row.
    pub fn add(&mut self, place: usize, outcome: &Outcome) -> Result<()> {
        let mut row = self.row(&self.names[place]);
        if let Value::Object(outcome) = json!(outcome) {
            row.extend(outcome);
        }
        self.rows.add(&row.into())
    }

    /// A picture that cannot be read.
    pub fn failed(&mut self, picture: &Skipped) -> Result<()> {
        let mut row = self.row(&picture.name);
        row.insert("error".to_owned(), picture.reason.clone().into());
        self.rows.add(&row.into())
    }

    /// Adds what the rows of before say.
    pub fn add_before(&self, found: &mut Evaluated) -> Result<()> {
        for outcome in &self.before {
            let class = outcome.predicted;
            ensure!(class < found.classes.len(), "a row is of class {class}, which the model does not have");
            found.accuracy.count(outcome)?;
        }
        found.skipped += self.unread_before;
        found.present.extend(self.before.iter().map(|outcome| outcome.label));
        found.present.sort_unstable();
        found.present.dedup();
        Ok(())
    }

    fn row(&self, image: &str) -> Map<String, Value> {
        let same = self.same.iter().map(|(column, value)| (*column, value.as_str()));
        let cells = [("image", image)].into_iter().chain(same);
        cells.map(|(column, value)| (column.to_owned(), value.into())).collect()
    }
}

/// What a row says.
fn outcome(row: &dyn Fn(&str) -> String) -> Result<Outcome> {
    Ok(Outcome {
        label: row("label").parse()?,
        predicted: row("predicted").parse()?,
        probability: row("probability").parse()?,
        label_probability: row("label_probability").parse()?,
        loss: row("loss").parse()?,
        in_top5: row("in_top5").parse()?,
    })
}
