//! Training: optimizer, schedule, moving average, checkpoint, loop.

mod config;
mod record;

pub use config::{
    AdamW, Cosine, MultiStep, OptimizerConfig, Precision, RmsProp, RunConfig, ScheduleConfig, Sgd, Step,
    TrainConfig, Warmup,
};
pub use record::{EpochMetrics, RunResult};
