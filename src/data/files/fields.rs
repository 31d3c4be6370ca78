//! Which parts of a sample or a row are read, where a data set has others than the usual ones.

use crate::Invalid;
use anyhow::{Result, ensure};
use std::path::PathBuf;

/// What is read of a data set in shards, tables or lists. Empty: the usual fields and columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The field or column of the picture: `rgb.jpg` of shards, `image` of tables.
    pub picture: Option<String>,
    /// The field or column of the label: `cls` or `json:PATH` of shards, `label` of tables.
    pub label: Option<String>,
    /// A file with the classes: a name a line, or JSON, a list of names or an object with the number of each.
    pub classes: Option<PathBuf>,
}

impl Fields {
    /// Whether those that a layout does not know are empty.
    ///
    /// # Errors
    /// A setting that would be passed over in silence.
    pub(super) fn fit(&self, data: &str, has_fields: bool, has_classes: bool) -> Result<()> {
        for (key, is_set, applies) in [
            ("field", self.picture.is_some(), has_fields),
            ("label", self.label.is_some(), has_fields),
            ("classes", self.classes.is_some(), has_classes),
        ] {
            let message = format!("does not apply to `{data}`, whose files and folders say it; remove it");
            ensure!(!is_set || applies, Invalid::value(&format!("data.{key}"), message));
        }
        Ok(())
    }
}
