//! Pictures that are left out, by name.

use serde::{Deserialize, Serialize};

/// An image that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub name: String,
    pub reason: String,
}
