//! Output for people to read: numbers, tables, figures, pages.

pub mod format;
#[cfg(feature = "report")]
mod html;
#[cfg(feature = "report")]
mod plot;
#[cfg(feature = "report")]
mod table;
#[cfg(feature = "report")]
mod words;

#[cfg(feature = "report")]
pub(crate) use html::escape;
#[cfg(feature = "report")]
pub(crate) use plot::{Figure, colour, figure};
#[cfg(feature = "report")]
pub use table::{Table, answer_table, paper_table};
#[cfg(feature = "report")]
pub use words::{findings, verdict};

#[cfg(feature = "report")]
use crate::{atomic, experiment::Answer};
#[cfg(feature = "report")]
use anyhow::Result;
#[cfg(feature = "report")]
use std::path::Path;

/// Writes `results.csv`, `trials.csv`, `report.md`, `report.html` and the figures into the directory of an experiment.
///
/// # Errors
/// A directory that cannot be written.
#[cfg(feature = "report")]
pub fn write(answer: &Answer, dir: &Path) -> Result<()> {
    let figures = plot::figures(answer)?;
    figures.iter().try_for_each(|figure| figure.write(dir))?;
    atomic::write(&dir.join("results.csv"), table::csv(answer).as_bytes())?;
    atomic::write(&dir.join("trials.csv"), table::trials_csv(answer).as_bytes())?;
    atomic::write(&dir.join("report.md"), table::markdown(answer, &figures).as_bytes())?;
    atomic::write(&dir.join("report.html"), html::page(answer, &figures).as_bytes())
}
