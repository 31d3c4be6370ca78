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
pub use config::{
    AdamW, Cosine, InitConfig, MultiStep, OptimizerConfig, Precision, RmsProp, RunConfig, ScheduleConfig,
    Sgd, Step, TrainConfig, Warmup,
};
pub use optimizer::Optimizer;
pub use record::{EpochMetrics, RunResult};
pub use run::{Event, run, run_until};

pub(crate) use log::METRICS;
pub(crate) use run::{CONFIG, FAILED, RESULT, is_running, lock};
