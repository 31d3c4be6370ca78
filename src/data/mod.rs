//! Data sets.
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    pub dataset: String,
    #[serde(default)]
    pub train: Option<usize>,
    #[serde(default)]
    pub augment: Vec<serde_yaml::Value>,
}
