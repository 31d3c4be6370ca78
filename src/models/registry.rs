//! Every model by name: `torchvision/NAME`, `timm/NAME`, `paper/NAME`.

use super::{Entry, FAMILIES};
use crate::nearest;
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
/// An unknown name; the message has the nearest.
pub fn find(name: &str) -> Result<&'static Entry> {
    let exact = |name: &str| entries().iter().find(|entry| entry.name == name);
    let found = if name.contains('/') {
        exact(name)
    } else {
        SOURCES.iter().find_map(|source| exact(&format!("{source}/{name}")))
    };
    found.ok_or_else(|| {
        let names = entries().iter().map(|entry| {
            if name.contains('/') {
                entry.name.as_str()
            } else {
                entry.name.split_once('/').map_or("", |(_, bare)| bare)
            }
        });
        let like = nearest(name, names).unwrap_or_default();
        anyhow!("unknown model `{name}`; did you mean `{like}`? `tchvision models list` has them all")
    })
}
