//! Experiments: a question in YAML becomes a plan of trials, the trials run, their results become the answer.
//!
//! `spec` (the YAML) → `plan` (trials of equal cost, by `matching`) → `run` (one process a trial) → `collect`.

mod collect;
mod matching;
mod plan;
mod run;
mod spec;
mod status;

pub(crate) use collect::mean;
pub use collect::{Answer, Row, collect};
pub use plan::{Experiment, Plan, Trial};
pub(crate) use plan::{label, last, text};
pub use run::{Failure, Outcome, RunOptions, TrialEvent, run};
pub use spec::{Cost, Match, Metric, ReportSpec, Spec, Target, X};
pub use status::{State, TrialStatus, status};
