//! The file of weights that a path means: itself, the one of a folder, or an index with its shards.

use super::foreign;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const INDEX: &str = ".index.json";
/// Far longer than the index of any network, and more shards than any.
const MAX_INDEX: u64 = 1 << 26;
const MAX_SHARDS: usize = 1000;
/// What files of weights are called.
const ENDS: [&str; 9] =
    [".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".pth.tar", ".pt.tar", ".npz", ".npy"];
/// What training leaves beside them.
const OTHERS: [&str; 6] = ["training_args", "optimizer", "scheduler", "rng_state", "random_states", "scaler"];

/// Which shard has which tensor, in the form that Hugging Face's libraries write.
#[derive(Deserialize)]
pub(super) struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Index {
    /// # Errors
    /// A file that is no index, or names shards in other folders.
    pub fn read(path: &Path) -> Result<Self> {
        let length = fs::metadata(path).context("cannot be opened")?.len();
        ensure!(length <= MAX_INDEX, "an index of {length} bytes");
        let index: Self = serde_json::from_slice(&fs::read(path)?).context("not an index of shards")?;
        for shard in index.weight_map.values() {
            let plain = Path::new(shard).file_name().is_some_and(|name| name == shard.as_str());
            ensure!(plain, "its shard `{shard}` is not a file beside it");
        }
        Ok(index)
    }

    /// The shards' files, in the order of their names.
    ///
    /// # Errors
    /// One that is not there.
    pub fn shards(&self, path: &Path) -> Result<Vec<PathBuf>> {
        let mut names: Vec<&String> = self.weight_map.values().collect();
        names.sort();
        names.dedup();
        ensure!(!names.is_empty() && names.len() <= MAX_SHARDS, "an index of {} shards", names.len());
        let files: Vec<PathBuf> = names.iter().map(|name| path.with_file_name(name)).collect();
        let missing: Vec<&str> = names
            .iter()
            .zip(&files)
            .filter(|(_, file)| !file.exists())
            .map(|(name, _)| name.as_str())
            .collect();
        ensure!(
            missing.is_empty(),
            "{} of {} shards are missing: {}; fetch them into the same folder",
            missing.len(),
            names.len(),
            shown(&missing)
        );
        Ok(files)
    }

    /// The tensors that it names, and their shards.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &str)> {
        self.weight_map.iter().map(|(name, shard)| (name.as_str(), shard.as_str()))
    }
}

pub(super) fn is_index(path: &Path) -> bool {
    path.to_string_lossy().ends_with(INDEX)
}

/// The file itself, or what a folder holds: an index, or its only file of weights.
///
/// # Errors
/// A folder with none or several, and a shard whose index lies beside it.
pub(crate) fn find(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        if let Some(index) = index_of(path) {
            bail!("a part of `{0}`; give `{0}` or the folder", index.display());
        }
        return Ok(path.to_owned());
    }
    let entries = fs::read_dir(path).context("cannot be opened")?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| !path.join(name).is_dir()).collect();
    names.sort();
    let ending = |end: &str| names.iter().filter(|name| name.ends_with(end)).collect::<Vec<_>>();
    for end in [".safetensors.index.json", INDEX] {
        match ending(end).as_slice() {
            [] => {}
            [one] => return Ok(path.join(one)),
            several => bail!("several indices; give one of {}", shown(several)),
        }
    }
    let is_weights = |name: &&String| {
        ENDS.iter().any(|end| name.ends_with(end)) && !OTHERS.iter().any(|other| name.starts_with(other))
    };
    let mut found: Vec<&String> = names.iter().filter(is_weights).collect();
    if found.iter().any(|name| name.ends_with(".safetensors")) {
        found.retain(|name| !name.ends_with(".bin"));
    }
    let deepspeed = found.iter().any(|name| name.ends_with("_optim_states.pt"));
    match found.as_slice() {
        [one] if !deepspeed => Ok(path.join(one)),
        [_, _, ..] if !deepspeed => bail!("several files of weights; give one of {}", shown(&found)),
        _ => bail!("{}", foreign::folder(&names)),
    }
}

/// The index beside a file that is called one of several shards, `model-00001-of-00003.safetensors`, if it names it.
fn index_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let (stem, end) = name.rsplit_once('.')?;
    let (stem, _count) = stem.rsplit_once("-of-")?;
    let (stem, _number) = stem.rsplit_once('-')?;
    let index = path.with_file_name(format!("{stem}.{end}{INDEX}"));
    let named = Index::read(&index).ok()?.weight_map.values().any(|shard| shard == name);
    named.then_some(index)
}

/// The first of some names.
pub(super) fn shown(names: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 5;
    let first: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{}`", name.as_ref())).collect();
    let more = names.len().saturating_sub(SHOWN);
    first.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}
