//! Experiments: a question in YAML becomes a plan of trials, the trials run, their results become the answer.
//!
//! `spec` (the YAML; `space`: what varies) → `plan` (`variant`s become trials in the `planner`: drawn by `sampling`, turned by
//! `scaling`, of equal cost by `matching`) → `run` (one process a trial) → `collect`.

mod collect;
mod formula;
mod halving;
mod matching;
mod plan;
mod planner;
mod printed;
mod run;
mod sampling;
mod scaling;
mod space;
mod spec;
mod status;
mod variant;

#[cfg(feature = "report")]
pub(crate) use collect::mean;
pub use collect::{Answer, Row, collect};
pub use formula::Formula;
pub use halving::Halving;
pub use plan::{Experiment, Plan, Trial};
#[cfg(feature = "report")]
pub(crate) use plan::{label, last, shown, text};
pub use printed::{Figures, Printed};
pub use run::{Failure, Outcome, RunOptions, TrialEvent, run};
pub use space::{Between, Dimension, Draw, Named, Ordered, Sample, Scale, Search, Values, Within};
pub use spec::{Cost, Knobs, Match, Metric, ReportSpec, Spec, Target, X};
pub use status::{State, TrialStatus, status};
