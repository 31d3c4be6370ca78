//! How well a model classifies pictures: the protocols of the papers, and accuracy.

mod accuracy;
mod protocol;

pub use accuracy::{Accuracy, Score};
pub use protocol::{Evaluator, Protocol};
