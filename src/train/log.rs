//! What a run records while it goes: `metrics.jsonl` and TensorBoard events, both always in step with the checkpoint.
//!
//! Everything in TensorBoard is over optimizer steps.

use super::checkpoint::{Point, Progress, Snapshot};
use super::config::RunConfig;
use super::record::EpochMetrics;
use super::run_dir::RunDir;
use crate::data::image::Png;
use crate::tensorboard::{HParam, Writer};
use anyhow::Result;
use serde_yaml::Value;

/// What TensorBoard's HParams page compares runs by.
const METRIC_TAGS: [&str; 3] = ["test/top1", "test/loss", "train/images_per_second"];

pub(super) struct RunLog {
    dir: RunDir,
    events: Writer,
}

impl RunLog {
    /// Rewrites both from the checkpoint, so that steps which a killed process logged after its last checkpoint do not
    /// appear twice.
    pub fn new(config: &RunConfig, dir: &RunDir, progress: &Progress) -> Result<Self> {
        dir.remove_events()?;
        let mut hparams = Vec::new();
        flatten("", &serde_yaml::to_value(config)?, &mut hparams);
        let mut events = Writer::create(dir.path())?;
        events.hparams(&hparams, &METRIC_TAGS)?;
        let mut log = Self { dir: dir.clone(), events };
        progress.points.iter().try_for_each(|point| log.write_point(point))?;
        progress.rows.iter().try_for_each(|row| log.scalars(row))?;
        for row in &progress.rows {
            log.histograms(progress, row)?;
        }
        dir.write_epochs(&progress.rows)?;
        log.events.flush()?;
        Ok(log)
    }

    /// Logs a point of the training curve and flushes, so that TensorBoard shows it during the epoch.
    pub fn point(&mut self, point: &Point) -> Result<()> {
        self.write_point(point)?;
        self.events.flush()
    }

    fn write_point(&mut self, point: &Point) -> Result<()> {
        let &Point { step, loss, lr, wall_time } = point;
        for (tag, value) in [("train/loss", loss), ("train/lr", lr)] {
            self.events.scalar(tag, step as i64, wall_time, value as f32)?;
        }
        Ok(())
    }

    /// Logs the epoch that `progress` has just recorded.
    pub fn epoch(&mut self, progress: &Progress) -> Result<()> {
        if let Some(row) = progress.rows.last() {
            self.scalars(row)?;
            self.histograms(progress, row)?;
        }
        self.events.flush()?;
        self.dir.write_epochs(&progress.rows)
    }

    /// Logs what the test images say at the end of a run that validates.
    pub fn test(&mut self, step: u64, wall_time: f64, loss: f64, top1: f64) -> Result<()> {
        for (tag, value) in [("test/loss", loss), ("test/top1", top1)] {
            self.events.scalar(tag, step as i64, wall_time, value as f32)?;
        }
        Ok(())
    }

    /// Logs a picture at the end of the run.
    pub fn image(&mut self, tag: &str, step: u64, picture: &Png) -> Result<()> {
        self.events.image(tag, step as i64, picture)
    }

    /// Tells TensorBoard that the run ended well.
    pub fn finish(&mut self) -> Result<()> {
        self.events.session_end()?;
        self.events.flush()
    }

    fn scalars(&mut self, row: &EpochMetrics) -> Result<()> {
        let values = [
            ("train/epoch_loss", Some(row.train_loss)),
            ("train/top1", Some(row.train_top1)),
            ("train/images_per_second", Some(row.images_per_second)),
            ("train/peak_memory_bytes", Some(row.peak_memory_bytes as f64)),
            ("train/peak_gpu_memory_bytes", row.peak_gpu_memory_bytes.map(|bytes| bytes as f64)),
            ("test/loss", row.test_loss),
            ("test/top1", row.test_top1),
            ("test/top5", row.test_top5),
            ("validation/loss", row.validation.map(|seen| seen.loss)),
            ("validation/top1", row.validation.map(|seen| seen.top1)),
            ("validation/top5", row.validation.and_then(|seen| seen.top5)),
            ("test/top1_raw", row.raw_top1),
        ];
        for (tag, value) in values {
            if let Some(value) = value {
                self.events.scalar(tag, row.step as i64, row.wall_time, value as f32)?;
            }
        }
        Ok(())
    }

    /// Logs the histograms taken after the epoch of `row`, if any.
    fn histograms(&mut self, progress: &Progress, row: &EpochMetrics) -> Result<()> {
        let Some(Snapshot { wall_time, histograms, .. }) =
            progress.snapshots.iter().find(|snapshot| snapshot.epoch == row.epoch)
        else {
            return Ok(());
        };
        histograms.iter().try_for_each(|(name, histogram)| {
            self.events.histogram(&format!("weights/{name}"), row.step as i64, *wall_time, histogram)
        })
    }
}

/// The leaves of a configuration by their key paths.
fn flatten(path: &str, value: &Value, out: &mut Vec<(String, HParam)>) {
    let key = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Mapping(map) => {
            for (name, value) in map {
                flatten(&key(name.as_str().unwrap_or_default()), value, out);
            }
        }
        Value::Null => {}
        Value::Bool(x) => out.push((path.to_owned(), HParam::Bool(*x))),
        Value::Number(x) => out.push((path.to_owned(), HParam::Number(x.as_f64().unwrap_or(f64::NAN)))),
        Value::String(x) => out.push((path.to_owned(), HParam::Text(x.clone()))),
        other => {
            let text = serde_json::to_string(other).unwrap_or_default();
            out.push((path.to_owned(), HParam::Text(text)));
        }
    }
}
