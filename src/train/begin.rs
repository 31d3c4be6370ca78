//! Where a run begins.

use std::path::PathBuf;

/// Where a run begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// At its start, or where the run in the directory stands.
    #[default]
    There,
    /// Where the run in the directory stands, which gets other values of these settings (of [`super::EXTENDABLE`]) and
    /// goes on, also after its end. The schedule is that of the longer run.
    Extend(Vec<String>),
    /// A new run begins at the checkpoint of the run in this directory: with its weights, averages, optimizer state and
    /// epoch; one that it stands within begins anew.
    From(PathBuf),
}
