//! The data sets behind public weights, and those that papers speak of without public weights: facts, not files.

use crate::{Usage, nearest, yaml};
use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// One data set of the pretraining world, as `weights/datasets.yaml` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Corpus {
    /// As the catalogue of weights names it.
    pub name: String,
    pub title: String,
    pub about: String,
    /// Other names that [`corpus`] understands.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// About how many pictures there are to train on.
    pub images: Option<u64>,
    /// About how many labels there are; none where pictures come with texts or alone.
    pub classes: Option<u64>,
    pub access: Access,
    /// How one gets it, or why one cannot.
    pub obtained: String,
    pub licence: Option<String>,
    /// arXiv numbers.
    #[serde(default)]
    pub papers: Vec<String>,
    /// What to say to whoever looks for weights where none are public.
    #[serde(skip_serializing)]
    pub no_weights: Option<String>,
}

/// Who may have a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    Open,
    /// There are terms to accept first.
    #[serde(rename = "on request")]
    OnRequest,
    /// It was never released.
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

/// Every one of them.
///
/// # Errors
/// None in a release: the file is part of the program, and tests read it.
pub fn corpora() -> Result<&'static [Corpus]> {
    static CORPORA: LazyLock<Result<Vec<Corpus>>> =
        LazyLock::new(|| yaml::parse(include_str!("../../weights/datasets.yaml"), "weights/datasets.yaml"));
    CORPORA.as_deref().map_err(|e| anyhow!("{e:#}"))
}

/// The data set of this name or alias, in capitals or not.
///
/// # Errors
/// An unknown name, with the nearest ([`Usage`]).
pub fn corpus(name: &str) -> Result<&'static Corpus> {
    let corpora = corpora()?;
    let wanted = name.to_lowercase();
    let names = |corpus: &'static Corpus| corpus.aliases.iter().chain([&corpus.name]).map(String::as_str);
    corpora.iter().find(|corpus| names(corpus).any(|name| name == wanted)).ok_or_else(|| {
        let like = nearest(&wanted, corpora.iter().flat_map(names)).unwrap_or_default();
        Usage(format!("unknown data set `{name}`; did you mean `{like}`? `tchvision data list` has them all"))
            .into()
    })
}
