//! Facts about the data sets behind public weights, and about some that have no public weights.

use crate::names::did_you_mean;
use crate::{Usage, yaml};
use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// One pretraining data set, an entry of `weights/datasets.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Corpus {
    /// The name in the catalogue of weights.
    pub name: String,
    pub title: String,
    pub about: String,
    /// Other names that [`corpus`] accepts.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Approximate number of training images.
    pub images: Option<u64>,
    /// Approximate number of classes; `None` if the images have captions or no labels.
    pub classes: Option<u64>,
    pub access: Access,
    /// How to get it, or why that is impossible.
    pub obtained: String,
    pub licence: Option<String>,
    /// arXiv numbers.
    #[serde(default)]
    pub papers: Vec<String>,
    /// The message if someone asks for weights and none are public.
    #[serde(skip_serializing)]
    pub no_weights: Option<String>,
}

/// Who can get a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    Open,
    /// After accepting its terms.
    #[serde(rename = "on request")]
    OnRequest,
    /// Never released.
    Closed,
}

impl Access {
    /// `open`, `on request` or `closed`.
    pub fn name(self) -> &'static str {
        match self {
            Access::Open => "open",
            Access::OnRequest => "on request",
            Access::Closed => "closed",
        }
    }
}

/// All data sets.
///
/// # Errors
/// None in a release: the file is embedded in the program, and tests parse it.
pub fn corpora() -> Result<&'static [Corpus]> {
    static CORPORA: LazyLock<Result<Vec<Corpus>>> =
        LazyLock::new(|| yaml::parse(include_str!("../../weights/datasets.yaml"), "weights/datasets.yaml"));
    CORPORA.as_deref().map_err(|e| anyhow!("{e:#}"))
}

/// The data set with this name or alias, ignoring case.
///
/// # Errors
/// An unknown name; the message has those that are close ([`Usage`]).
pub fn corpus(name: &str) -> Result<&'static Corpus> {
    let corpora = corpora()?;
    let wanted = name.to_lowercase();
    let names =
        |corpus: &'static Corpus| [&corpus.name].into_iter().chain(&corpus.aliases).map(String::as_str);
    corpora.iter().find(|corpus| names(corpus).any(|name| name == wanted)).ok_or_else(|| {
        let meant =
            did_you_mean(&wanted, corpora.iter().flat_map(names), "`tchvision data list` has them all");
        Usage(format!("unknown data set `{name}`; {meant}")).into()
    })
}
