//! What people look at: numbers, tables, pictures, pages.

pub mod format;
mod html;
mod plot;
mod table;
mod words;

pub use table::{Table, answer_table, paper_table};
pub use words::{findings, verdict};

use crate::atomic;
use crate::experiment::Answer;
use anyhow::Result;
use std::path::Path;

/// Writes `results.csv`, `report.md`, `report.html` and the pictures into the directory of an experiment.
///
/// # Errors
/// A directory that cannot be written.
pub fn write(answer: &Answer, dir: &Path) -> Result<()> {
    let pictures = plot::pictures(answer)?;
    for picture in &pictures {
        let file = dir.join(picture.name);
        atomic::write(&file.with_extension("svg"), picture.svg.as_bytes())?;
        atomic::write(&file.with_extension("png"), &picture.png)?;
    }
    atomic::write(&dir.join("results.csv"), table::csv(answer).as_bytes())?;
    atomic::write(&dir.join("report.md"), table::markdown(answer, &pictures).as_bytes())?;
    atomic::write(&dir.join("report.html"), html::page(answer, &pictures).as_bytes())
}
