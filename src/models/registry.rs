//! Every model by name: `torchvision/NAME`, `timm/NAME`, `paper/NAME`.

use super::{Entry, FAMILIES};
use crate::names::did_you_mean;
use anyhow::{Result, anyhow};
use std::sync::LazyLock;

/// Where a bare name is looked for, in this order.
const SOURCES: [&str; 3] = ["torchvision", "timm", "paper"];

/// All registered models, in the order of their families.
pub fn entries() -> &'static [Entry] {
    static ENTRIES: LazyLock<Vec<Entry>> =
        LazyLock::new(|| FAMILIES.iter().flat_map(|entries| entries()).collect());
    &ENTRIES
}

/// The model of this name; a bare name is torchvision's if it has one, else timm's, else the paper's.
///
/// # Errors
/// An unknown name; the message has those of all sources that are close.
pub fn find(name: &str) -> Result<&'static Entry> {
    known(name).ok_or_else(|| anyhow!("unknown model `{name}`; {}", meant(name)))
}

/// Whether there is a model of this name.
pub fn is_registered(name: &str) -> bool {
    known(name).is_some()
}

fn known(name: &str) -> Option<&'static Entry> {
    let exact = |name: &str| entries().iter().find(|entry| entry.name == name);
    match name.contains('/') {
        true => exact(name),
        false => SOURCES.iter().find_map(|source| exact(&format!("{source}/{name}"))),
    }
}

/// What an unknown name may stand for.
fn meant(name: &str) -> String {
    if let Some((model, tag)) = name.split_once('.')
        && known(model).is_some()
    {
        return format!("`{tag}` is a tag of weights, and the model is `{model}`");
    }
    let otherwise = "`tchvision models list` has them all";
    let names = || entries().iter().map(|entry| entry.name.as_str());
    let Some((source, _)) = name.split_once('/') else {
        let bare = |name: &'static str| name.split_once('/').map_or("", |(_, bare)| bare);
        return did_you_mean(name, names().map(bare), otherwise);
    };
    // Those of the same source first.
    let of = |wanted: bool| names().filter(move |known| known.starts_with(&format!("{source}/")) == wanted);
    did_you_mean(name, of(true).chain(of(false)), otherwise)
}
