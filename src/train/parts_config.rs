//! Parameters that learn otherwise than the rest, as written in YAML.

use serde::{Deserialize, Serialize};

/// Parameters that learn otherwise than the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// As in `freeze`.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Times the learning rate, beside `layer_decay`. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr_scale: Option<f64>,
    /// In place of the optimizer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
}
