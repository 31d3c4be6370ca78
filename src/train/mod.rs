//! Training: optimizer, schedule, moving average, checkpoint, loop.

mod checkpoint;
mod config;
mod ema;
mod log;
mod optimizer;
mod record;
mod run;
mod schedule;
mod trainer;

pub use checkpoint::checkpoint_weights;
pub use config::{InitConfig, Precision, RunConfig, TrainConfig};
pub use optimizer::{AdamW, Optimizer, OptimizerConfig, RmsProp, Sgd};
pub use record::{EpochMetrics, RunResult};
pub use run::{Event, run, run_until};
pub use schedule::{Cosine, MultiStep, ScheduleConfig, Step, Warmup};

pub(crate) use log::METRICS;
pub(crate) use run::{CONFIG, FAILED, RESULT, is_running, lock};
