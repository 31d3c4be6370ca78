//! How well a model classifies pictures: the protocols of the papers, the evaluation loop, accuracy.

mod accuracy;
mod evaluator;
mod knn;
mod protocol;
mod source;

pub use accuracy::{Accuracy, ClassMetrics, Outcome, Score, Scores, probabilities};
pub use evaluator::{Ensemble, Evaluator, Member};
pub use knn::Knn;
pub use protocol::{Protocol, Scales};
pub use source::{Batch, Input, ReadPictures, Source, Views};
