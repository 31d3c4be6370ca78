//! Event files. Records and messages are tensorboard-rs's; the file is ours, because its `SummaryWriter` loses what a
//! killed process had flushed, overwrites files of the same second and aborts on a full disk.

use super::{HParam, Histogram};
use crate::machine::unix_time;
use crate::report::tiles::Png;
use anyhow::{Context, Result, bail};
use protobuf::well_known_types::Value;
use protobuf::{Message, RepeatedField};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind};
use std::path::{Path, PathBuf};
use tensorboard_proto::api::{DataType, Experiment, HParamInfo, MetricInfo, MetricName, Status};
use tensorboard_proto::event::Event;
use tensorboard_proto::plugin_hparams::{HParamsPluginData, SessionEndInfo, SessionStartInfo};
use tensorboard_proto::summary::{
    HistogramProto, Summary, Summary_Image, Summary_Value, SummaryMetadata, SummaryMetadata_PluginData,
};
use tensorboard_rs::record_writer::RecordWriter;

/// One event file of its own. Records are in the file once [`EventWriter::flush`] returns.
pub struct EventWriter {
    path: PathBuf,
    records: RecordWriter<BufWriter<File>>,
}

impl EventWriter {
    /// Creates a file in `dir` that no other writer has.
    ///
    /// # Errors
    /// A directory that is missing or not writable.
    pub fn create(dir: &Path) -> Result<Self> {
        let (seconds, process) = (unix_time() as u64, std::process::id());
        for counter in 0..1000 {
            let path = dir.join(format!("events.out.tfevents.{seconds}.tchvision.{process}.{counter}"));
            let file = match OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                opened => opened.with_context(|| format!("{}: cannot be created", path.display()))?,
            };
            let mut writer = Self { path, records: RecordWriter::new(BufWriter::new(file)) };
            let mut version = Event::new();
            version.set_wall_time(unix_time());
            version.set_file_version("brain.Event:2".to_owned());
            writer.write(&version)?;
            writer.flush()?;
            return Ok(writer);
        }
        bail!("{}: a thousand event files within one second", dir.display())
    }

    /// A point of a curve. `wall_time` is Unix time in seconds.
    ///
    /// # Errors
    /// The file cannot be written, as every method here.
    pub fn scalar(&mut self, tag: &str, step: i64, wall_time: f64, value: f32) -> Result<()> {
        let mut point = Summary_Value::new();
        point.set_tag(tag.to_owned());
        point.set_simple_value(value);
        self.summary(point, step, wall_time)
    }

    /// How the values of a tensor are spread.
    ///
    /// # Errors
    /// As [`EventWriter::scalar`].
    pub fn histogram(&mut self, tag: &str, step: i64, wall_time: f64, histogram: &Histogram) -> Result<()> {
        let &Histogram { min, max, sum, sum_squares, ref bins } = histogram;
        let width = (max - min) / bins.len() as f64;
        let mut proto = HistogramProto::new();
        proto.set_min(min);
        proto.set_max(max);
        proto.set_num(bins.iter().sum());
        proto.set_sum(sum);
        proto.set_sum_squares(sum_squares);
        proto.set_bucket_limit((1..=bins.len()).map(|i| min + i as f64 * width).collect());
        proto.set_bucket(bins.clone());
        let mut value = Summary_Value::new();
        value.set_tag(tag.to_owned());
        value.set_histo(proto);
        self.summary(value, step, wall_time)
    }

    /// A picture.
    ///
    /// # Errors
    /// As [`EventWriter::scalar`], and one of more than 2³¹ pixels a side.
    pub fn image(&mut self, tag: &str, step: i64, picture: &Png) -> Result<()> {
        let mut image = Summary_Image::new();
        image.set_width(picture.width.try_into()?);
        image.set_height(picture.height.try_into()?);
        image.set_colorspace(picture.channels.try_into()?);
        image.set_encoded_image_string(picture.bytes.clone());
        let mut value = Summary_Value::new();
        value.set_tag(tag.to_owned());
        value.set_image(image);
        self.summary(value, step, unix_time())
    }

    /// Lists the run on the HParams page, with these settings, beside the scalars of these tags.
    ///
    /// # Errors
    /// As [`EventWriter::scalar`].
    pub fn hparams(&mut self, hparams: &[(String, HParam)], metric_tags: &[&str]) -> Result<()> {
        let mut experiment = Experiment::new();
        experiment.set_time_created_secs(unix_time());
        let infos = hparams.iter().map(|(name, value)| {
            let mut info = HParamInfo::new();
            info.set_name(name.clone());
            info.set_field_type(match value {
                HParam::Bool(_) => DataType::DATA_TYPE_BOOL,
                HParam::Number(_) => DataType::DATA_TYPE_FLOAT64,
                HParam::Text(_) => DataType::DATA_TYPE_STRING,
            });
            info
        });
        experiment.set_hparam_infos(infos.collect());
        let metrics: RepeatedField<MetricInfo> = metric_tags
            .iter()
            .map(|tag| {
                let (mut name, mut info) = (MetricName::new(), MetricInfo::new());
                name.set_tag((*tag).to_owned());
                info.set_name(name);
                info
            })
            .collect();
        experiment.set_metric_infos(metrics);
        let mut data = HParamsPluginData::new();
        data.set_experiment(experiment);
        self.plugin("_hparams_/experiment", &data)?;

        let mut start = SessionStartInfo::new();
        start.set_start_time_secs(unix_time());
        let value = |value: &HParam| {
            let mut wrapped = Value::new();
            match value {
                HParam::Bool(x) => wrapped.set_bool_value(*x),
                HParam::Number(x) => wrapped.set_number_value(*x),
                HParam::Text(x) => wrapped.set_string_value(x.clone()),
            }
            wrapped
        };
        start.set_hparams(hparams.iter().map(|(name, x)| (name.clone(), value(x))).collect());
        let mut data = HParamsPluginData::new();
        data.set_session_start_info(start);
        self.plugin("_hparams_/session_start_info", &data)
    }

    /// Tells the HParams page that the run has ended.
    ///
    /// # Errors
    /// As [`EventWriter::scalar`].
    pub fn session_end(&mut self) -> Result<()> {
        let mut end = SessionEndInfo::new();
        end.set_status(Status::STATUS_SUCCESS);
        end.set_end_time_secs(unix_time());
        let mut data = HParamsPluginData::new();
        data.set_session_end_info(end);
        self.plugin("_hparams_/session_end_info", &data)
    }

    /// Hands everything written so far to the system: it outlives the process.
    ///
    /// # Errors
    /// As [`EventWriter::scalar`].
    pub fn flush(&mut self) -> Result<()> {
        self.records.flush().with_context(|| format!("{}: cannot be written", self.path.display()))
    }

    fn plugin(&mut self, tag: &str, data: &HParamsPluginData) -> Result<()> {
        let mut plugin = SummaryMetadata_PluginData::new();
        plugin.set_plugin_name("hparams".to_owned());
        plugin.set_content(data.write_to_bytes()?);
        let mut metadata = SummaryMetadata::new();
        metadata.set_plugin_data(plugin);
        let mut value = Summary_Value::new();
        value.set_tag(tag.to_owned());
        value.set_metadata(metadata);
        self.summary(value, 0, unix_time())
    }

    fn summary(&mut self, value: Summary_Value, step: i64, wall_time: f64) -> Result<()> {
        let mut summary = Summary::new();
        summary.mut_value().push(value);
        let mut event = Event::new();
        event.set_wall_time(wall_time);
        event.set_step(step);
        event.set_summary(summary);
        self.write(&event)
    }

    fn write(&mut self, event: &Event) -> Result<()> {
        let bytes = event.write_to_bytes()?;
        self.records.write(&bytes).with_context(|| format!("{}: cannot be written", self.path.display()))
    }
}
