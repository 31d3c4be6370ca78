//! One shard: where the pictures of its samples are, and their labels.

use super::super::archive::Archive;
use super::super::index::{Entry, Index};
use super::sample::{LabelAt, Sample, parts};
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Shards below this size have no index of their own: reading them takes no time.
const MIN_INDEXED_BYTES: u64 = 1 << 20;

/// What is read of each sample.
pub(super) struct Wanted {
    /// The field of the picture; `None` for the usual ones.
    pub picture: Option<String>,
    pub label: LabelAt,
}

/// A sample's picture in its archive, and its label as a text; empty if it has none.
pub(super) struct Located {
    pub start: u64,
    pub size: u64,
    pub label: String,
}

/// The samples of a shard, in its order. Those of a large shard are kept in an index beside it.
///
/// # Errors
/// An archive that is damaged, a sample without its picture, or a shard in which no sample has a label.
pub(super) fn read(path: &Path, wanted: &Wanted) -> Result<(Archive, Vec<Located>)> {
    let archive = Archive::open(path)?;
    let about =
        format!("samples, picture {:?}, label `{}`", wanted.picture.as_deref().unwrap_or(""), wanted.label);
    let index = Index::of(path, MIN_INDEXED_BYTES, &about);
    if let Some(samples) = index.as_ref().and_then(|index| index.lines(line)) {
        return Ok((archive, samples));
    }
    let samples = samples(&archive, wanted)?;
    if let Some(index) = index {
        index.write_lines(
            samples.iter().map(|Located { start, size, label }| format!("{start} {size} {label}")),
        );
    }
    Ok((archive, samples))
}

/// A line of the index.
fn line(line: &str) -> Option<Located> {
    let mut parts = line.splitn(3, ' ');
    let (start, size) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(Located { start, size, label: parts.next()?.to_owned() })
}

fn samples(archive: &Archive, wanted: &Wanted) -> Result<Vec<Located>> {
    let mut entries = archive.entries()?;
    entries.retain(|entry| parts(&entry.path).is_some());
    let key = |entry: &Entry| parts(&entry.path).map(|(key, _)| key.to_owned());
    let mut found = Vec::new();
    let (mut first_kind, mut unlabelled): (Option<String>, Option<String>) = (None, None);
    let mut is_labelled = false;
    for entries in entries.chunk_by(|a, b| key(a) == key(b)) {
        let at =
            || format!("{}: sample `{}`", archive.path().display(), key(&entries[0]).unwrap_or_default());
        let sample = Sample::of(entries).with_context(at)?;
        let (field, image) = sample.picture(wanted.picture.as_deref()).with_context(at)?;
        let kind = field.rsplit_once('.').map_or("", |(kind, _)| kind).to_owned();
        if let Some(first) = first_kind.as_ref().filter(|first| **first != kind) {
            let plain =
                if first.is_empty() { "jpg, png or the like".to_owned() } else { format!("{first}.*") };
            bail!("{}: its picture is `{field}`, and those of the samples before it are {plain}", at());
        }
        first_kind.get_or_insert(kind);
        let label = sample.label(archive, &wanted.label).with_context(at)?.unwrap_or_else(|why| {
            unlabelled.get_or_insert_with(|| format!("{}: {why}", at()));
            String::new()
        });
        is_labelled |= !label.is_empty();
        found.push(Located { start: image.start, size: image.size, label });
    }
    match unlabelled {
        Some(first) if !is_labelled => {
            bail!("{first}; no sample of the shard has a label: `data.label` names the field that has them")
        }
        _ => Ok(found),
    }
}
