//! What a data set of shards says of itself in `_info.json` or `info.json`, as timm writes and reads them.

use super::super::halves::Half;
use super::super::listing::{first, text};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const NAMES: &[&str] = &["_info.json", "info.json"];
/// Upper bound on the size of the file.
const MAX_BYTES: u64 = 256 << 20;

/// Unknown fields are the owner's own.
#[derive(Deserialize)]
pub(super) struct Info {
    splits: BTreeMap<String, Split>,
}

#[derive(Deserialize)]
pub(super) struct Split {
    filenames: Vec<String>,
    /// The number of samples of each; may be left out.
    #[serde(default)]
    shard_lengths: Vec<usize>,
    /// The key in `json` that has the label, where it is not `cls`.
    #[serde(default)]
    alt_label: String,
}

/// A shard and how many samples it has, where that is known.
pub(super) type Shards = Vec<(PathBuf, Option<usize>)>;

impl Info {
    /// `None` if the folder has none.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let Some(path) = first(dir, NAMES) else { return Ok(None) };
        let read = || -> Result<Self> {
            let info: Self = serde_json::from_str(&text(&path, MAX_BYTES)?)?;
            for (name, Split { filenames, shard_lengths, .. }) in &info.splits {
                let (files, lengths) = (filenames.len(), shard_lengths.len());
                ensure!(
                    lengths == 0 || lengths == files,
                    "split `{name}`: {lengths} `shard_lengths` for {files} `filenames`"
                );
                let outside = |file: &&String| {
                    Path::new(file).is_absolute() || file.split('/').any(|part| part == "..")
                };
                if let Some(file) = filenames.iter().find(outside) {
                    bail!("split `{name}`: `{file:.200}` is not below the folder");
                }
            }
            Ok(info)
        };
        let at = || format!("{}: not as timm writes it: `splits`, each with `filenames`", path.display());
        read().with_context(at).map(Some)
    }

    /// The shards of a half and the key of their labels; without a validation half the test half is tested on.
    pub fn half(&self, dir: &Path, half: Half) -> Result<Option<(Shards, Option<String>)>> {
        let wanted = if half == Half::Train { &[Half::Train][..] } else { &[Half::Val, Half::Test] };
        for wanted in wanted {
            for (name, split) in &self.splits {
                if Half::of(name)? == Some(*wanted) && !split.filenames.is_empty() {
                    let lengths =
                        split.shard_lengths.iter().copied().map(Some).chain(std::iter::repeat(None));
                    let paths = split.filenames.iter().map(|name| dir.join(name));
                    let alt = Some(split.alt_label.clone()).filter(|alt| !alt.is_empty());
                    return Ok(Some((paths.zip(lengths).collect(), alt)));
                }
            }
        }
        Ok(None)
    }
}
