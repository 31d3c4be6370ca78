//! Experiments: a question in YAML becomes a plan of trials, the trials run, their results become the answer.
//!
//! `source` (the file) holds a `spec` (its YAML; `space`: what varies) → `plan` (`variant`s become `trials`: drawn by
//! `sampling`, turned by `scaling`, of equal cost by `matching`, over what the `planner` knows) → `run` (a `pool` of
//! processes, one a trial) or [`launch`] (a cluster's queue) → `status`, `collect`.

mod answer;
mod begin;
mod choices;
mod clean;
mod collect;
mod concerns;
mod costs;
mod formula;
mod grow;
mod halving;
mod latency;
pub mod launch;
mod matching;
mod metric;
mod nothing_said;
mod order;
mod owner;
mod plan;
mod planner;
mod pool;
mod printed;
mod run;
mod sampling;
mod scaling;
mod setting;
mod share;
mod size;
mod source;
mod space;
mod spec;
mod status;
mod target;
mod trial;
mod trials;
mod variant;

pub use answer::{Answer, Row, Together};
pub use clean::{Clean, Removable, removable, remove};
pub use collect::collect;
pub use formula::Formula;
pub use grow::{Merged, add_seeds, merge};
pub use halving::Halving;
pub use latency::measure_latency;
pub use metric::{Cost, Metric};
pub use plan::Plan;
pub use pool::{RunOptions, TrialEvent};
pub use printed::{Figures, Printed};
pub use run::{Failure, Outcome, run};
#[cfg(feature = "report")]
pub(crate) use setting::{label, last, shown, text};
pub use source::Experiment;
pub use space::{Between, Dimension, Draw, Named, Ordered, Sample, Scale, Search, Values, Within};
pub use spec::{Knobs, Match, ReportSpec, Spec, X};
pub use status::{State, TrialStatus, join, status};
pub use target::Target;
pub use trial::Trial;
