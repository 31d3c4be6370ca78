//! Which parts of samples and rows are read, as flags.

use std::path::PathBuf;
use tchvision::data::Fields;

#[derive(clap::Args)]
#[group(skip)]
pub struct Args {
    /// The picture of a sample of shards, such as rgb.jpg, or its column in a table
    #[arg(long, value_name = "FIELD")]
    field: Option<String>,
    /// The label of a sample of shards, FIELD or json:KEY.KEY, or its column in a table
    #[arg(long, value_name = "FIELD")]
    label: Option<String>,
    /// The classes of shards, tables and lists: a name a line, or JSON
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
}

impl Args {
    pub fn given(&self) -> Fields {
        Fields { picture: self.field.clone(), label: self.label.clone(), classes: self.classes.clone() }
    }
}
