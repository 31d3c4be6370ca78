//! An experiment handed to an engine that runs its trials: processes of this machine, Slurm's job arrays, or a Kubernetes
//! Indexed Job.
//!
//! A [`list`] has the trials of one array, a line an element; it is written before the array is submitted, and the
//! array's name tells which list it belongs to. So the [`queue`] itself says what is on its way, and launching again
//! hands over what is neither done nor queued. Each element runs `train` on the run directory of its trial: the
//! directory is the truth, and the engine only says why something is not there yet.

mod element;
mod grant;
mod hand_over;
mod kubernetes;
mod list;
mod local;
mod options;
mod queue;
mod quote;
mod slurm;

pub use hand_over::{Launched, launch};
pub use kubernetes::{Claim, Pods};
pub use options::{Duration, Engine, LaunchOptions, Resources};
pub use queue::{Cancelled, Queue, Queued, cancel, queue};
