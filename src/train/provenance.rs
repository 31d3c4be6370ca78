//! Where the settings of a run are from, as written in YAML.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where the settings of a run are from, for people and for `tchvision recipe`; it changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The paper, and the code with its file.
    pub source: String,
    /// Published accuracies on ImageNet-1k in percent, by model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub top1: BTreeMap<String, f64>,
    /// The public weights that were trained so, with `*` for anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<String>,
}
