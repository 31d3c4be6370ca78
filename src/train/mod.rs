//! Training: optimizer, schedule, moving average, checkpoint, loop, run directory.

mod begin;
mod checkpoint;
mod config;
mod ema;
mod ema_config;
mod event;
mod header;
mod identity;
mod init;
mod lock;
mod log;
mod memory;
mod optimizer;
mod optimizer_config;
mod record;
mod run;
mod run_dir;
mod run_weights;
mod schedule;
mod trainer;

pub use begin::Begin;
pub use config::{Precision, RunConfig, TrainConfig};
pub use ema_config::EmaConfig;
pub use event::Event;
pub use header::Header;
pub use identity::{Change, EXTENDABLE, changes};
pub use init::InitConfig;
pub(crate) use lock::lock;
pub use memory::Memory;
pub use optimizer::Optimizer;
pub use optimizer_config::{AdamW, OptimizerConfig, RmsProp, Sgd};
pub use record::{EpochMetrics, Evaluation, RunResult, Start, TestMetrics, Validation};
pub use run::{about, plan, run, run_until};
pub use run_dir::{RunDir, RunState};
pub use run_weights::RunWeights;
pub use schedule::{Cosine, MultiStep, Plateau, ScheduleConfig, Step, Threshold, Warmup, Watched};
