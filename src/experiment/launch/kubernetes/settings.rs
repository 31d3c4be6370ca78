//! How pods are made, as the user says.

use crate::Usage;
use anyhow::{Error, Result};
use std::path::PathBuf;
use std::str::FromStr;

/// How the pods of trials are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    /// The image that has the program, such as the one of `Dockerfile`.
    pub image: String,
    /// Volumes that hold the run directory and the data, at the paths that they have here.
    pub volumes: Vec<Claim>,
    pub namespace: Option<String>,
    /// A pod template whose settings go into that of the trials: lists by the names of their items.
    pub template: Option<PathBuf>,
}

/// A claim of a volume, and where it is mounted: `CLAIM:/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub name: String,
    pub path: PathBuf,
}

impl FromStr for Claim {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once(':').filter(|(name, path)| !name.is_empty() && path.starts_with('/'));
        let (name, path) =
            parts.ok_or_else(|| Usage(format!("`{text}`: write CLAIM:/PATH, such as runs:/runs")))?;
        Ok(Self { name: name.to_owned(), path: path.into() })
    }
}
