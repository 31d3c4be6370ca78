//! What a run shows while it goes: `metrics.jsonl` and TensorBoard events, both always true to the checkpoint.

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
    /// Writes both anew from what the checkpoint knows, so that steps which a killed process logged after its last
    /// checkpoint do not stand twice.
    pub fn new(config: &RunConfig, dir: &RunDir, progress: &Progress) -> Result<Self> {
        dir.remove_events()?;
        let mut hparams = Vec::new();
        flatten("", &serde_yaml::to_value(config)?, &mut hparams);
        let mut events = Writer::create(dir.path())?;
        events.hparams(&hparams, &METRIC_TAGS)?;
        let mut log = Self { dir: dir.clone(), events };
        progress.points.iter().try_for_each(|point| log.point(point))?;
        progress.rows.iter().try_for_each(|row| log.scalars(row))?;
        progress.snapshots.iter().try_for_each(|snapshot| log.histograms(snapshot))?;
        dir.write_epochs(&progress.rows)?;
        log.events.flush()?;
        Ok(log)
    }

    /// A point of the training curve.
    pub fn point(&mut self, point: &Point) -> Result<()> {
        let &Point { step, loss, lr, wall_time } = point;
        for (tag, value) in [("train/loss", loss), ("train/lr", lr)] {
            self.events.scalar(tag, step as i64, wall_time, value as f32)?;
        }
        // So that curves are seen while an epoch runs.
        self.events.flush()
    }

    /// The epoch that `progress` has just recorded.
    pub fn epoch(&mut self, progress: &Progress) -> Result<()> {
        if let Some(row) = progress.rows.last() {
            self.scalars(row)?;
        }
        if let Some(snapshot) = progress.snapshots.last().filter(|snapshot| snapshot.epoch == progress.epoch)
        {
            self.histograms(snapshot)?;
        }
        self.events.flush()?;
        self.dir.write_epochs(&progress.rows)
    }

    /// A picture of the run at its end.
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
            ("test/loss", row.test_loss),
            ("test/top1", row.test_top1),
            ("test/top1_raw", row.raw_top1),
        ];
        for (tag, value) in values {
            if let Some(value) = value {
                self.events.scalar(tag, row.step as i64, row.wall_time, value as f32)?;
            }
        }
        Ok(())
    }

    fn histograms(&mut self, snapshot: &Snapshot) -> Result<()> {
        snapshot.histograms.iter().try_for_each(|(name, histogram)| {
            let tag = format!("weights/{name}");
            self.events.histogram(&tag, snapshot.step as i64, snapshot.wall_time, histogram)
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
