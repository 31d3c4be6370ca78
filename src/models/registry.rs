//! Every model by name: `torchvision/NAME`, `timm/NAME`, `paper/NAME`.

use super::{Config, Entry, FAMILIES};
use crate::names::did_you_mean;
use anyhow::{Result, anyhow, ensure};
use std::sync::{LazyLock, PoisonError, RwLock};

/// Where a bare name is looked for, in this order; then among those that were registered from outside.
const SOURCES: [&str; 3] = ["torchvision", "timm", "paper"];

/// All models, and those that a program has registered, behind ours.
static ENTRIES: LazyLock<RwLock<&'static [&'static Entry]>> = LazyLock::new(|| {
    let ours = FAMILIES.iter().flat_map(|entries| entries()).map(leaked);
    RwLock::new(ours.collect::<Vec<_>>().leak())
});

/// The registry lives as long as the process.
fn leaked(entry: Entry) -> &'static Entry {
    Box::leak(Box::new(entry))
}

/// All registered models, in the order of their families.
pub fn entries() -> &'static [&'static Entry] {
    *ENTRIES.read().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a model to the registry, for this process: `name` is `SOURCE/NAME`, such as `mine/tiny`. From then on it is listed,
/// counted, built, frozen, trained and swept by its name and the fields of its `Config`, like ours.
///
/// # Errors
/// A name of another form, or one that is taken.
pub fn register(name: &str, family: &'static str, config: impl Config) -> Result<()> {
    let is_pair = name.split_once('/').is_some_and(|(source, bare)| {
        let is_word = |word: &str| {
            !word.is_empty() && !word.contains(['/', '.']) && !word.contains(char::is_whitespace)
        };
        is_word(source) && is_word(bare)
    });
    ensure!(is_pair, "`{name}`: a model's name is SOURCE/NAME, without dots and spaces, such as `mine/tiny`");
    let mut entries = ENTRIES.write().unwrap_or_else(PoisonError::into_inner);
    ensure!(entries.iter().all(|entry| entry.name != name), "`{name}`: there is a model of this name");
    let own = leaked(Entry::new(name.to_owned(), family, config));
    *entries = [*entries, &[own]].concat().leak();
    Ok(())
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
    let exact = |name: &str| entries().iter().find(|entry| entry.name == name).copied();
    if name.contains('/') {
        return exact(name);
    }
    let ours = SOURCES.iter().find_map(|source| exact(&format!("{source}/{name}")));
    // Of other sources those that were registered first.
    let is_called = |entry: &&&Entry| entry.name.split_once('/').is_some_and(|(_, bare)| bare == name);
    ours.or_else(|| entries().iter().find(is_called).copied())
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
