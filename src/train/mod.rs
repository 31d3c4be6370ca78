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
mod init_config;
mod layers;
mod lbfgs;
mod lock;
mod log;
mod loss;
mod loss_config;
mod memory;
mod optimizer;
mod optimizer_config;
mod parts;
mod parts_config;
mod provenance;
mod ranks;
mod record;
mod rules;
mod run;
mod run_dir;
mod run_weights;
mod schedule;
mod schedule_config;
mod teacher;
mod trainer;

pub use begin::Begin;
pub use config::{Precision, RunConfig, TrainConfig};
pub use ema_config::EmaConfig;
pub use event::Event;
pub use header::Header;
pub use identity::{Change, EXTENDABLE, changes};
pub use init_config::{Head, InitConfig};
pub(crate) use lock::{is_locked, lock};
pub use loss::{Criterion, distillation};
pub use loss_config::{
    BinaryCrossEntropy, ClassWeightRule, ClassWeights, Distillation, DistillationConfig, LossConfig,
};
pub use memory::Memory;
pub use optimizer::Optimizer;
pub use optimizer_config::{Adam, AdamW, Lamb, Lbfgs, LineSearch, OptimizerConfig, RmsProp, Sgd};
pub use parts::{Treatment, groups};
pub use parts_config::GroupConfig;
pub use provenance::Provenance;
pub use ranks::{Place, Ranks, Starter};
pub use record::{EpochMetrics, Evaluation, RunResult, Start, TestMetrics, Validation};
pub use run::{micro_batches, plan, run, run_over, run_until};
pub use run_dir::{RunDir, RunState};
pub use run_weights::RunWeights;
pub use schedule_config::{
    By, Cosine, MultiStep, Plateau, Polynomial, ScheduleConfig, Step, Threshold, Warmup, Watched,
};
pub use trainer::about;
