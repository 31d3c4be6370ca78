//! Settings of a run, for TensorBoard's comparison of runs.

/// A value on the HParams page.
#[derive(Clone, Debug, PartialEq)]
pub enum HParam {
    Bool(bool),
    Number(f64),
    Text(String),
}
