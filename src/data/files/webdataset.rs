//! WebDataset: tar shards in which files of the same name and different endings make a sample.

use super::archive::{Archive, Entry};
use super::{CLASSES, FileSplits, ImageFiles, class_names, is_picture, label, listing};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};

/// A larger label is none, in bytes.
const LONGEST_LABEL: u64 = 16 << 20;

/// The shards `*.tar` in `DIR/train` and `DIR/val`, or those in DIR with `train` and `val` in their names.
pub(super) fn splits(dir: &Path) -> Result<FileSplits> {
    let (mut train, mut test) = (shards(dir, "train")?, shards(dir, "val")?);
    train.classes = class_names(dir, train.labels.iter().chain(&test.labels))?;
    test.classes.clone_from(&train.classes);
    Ok(FileSplits { train, test })
}

/// The test half alone, where `classes.txt` tells how many classes there are.
pub(super) fn test(dir: &Path) -> Result<ImageFiles> {
    if !dir.join(CLASSES).exists() {
        return Ok(splits(dir)?.test);
    }
    let test = shards(dir, "val")?;
    Ok(ImageFiles { classes: class_names(dir, test.labels.iter())?, ..test })
}

fn shards(dir: &Path, half: &str) -> Result<ImageFiles> {
    let folder = dir.join(half);
    let inside = folder.is_dir();
    let folder = if inside { folder } else { dir.to_owned() };
    let names = listing(&folder)?.into_iter().map(|(name, _)| name);
    let wanted = |name: &String| name.ends_with(".tar") && (inside || name.contains(half));
    let paths: Vec<PathBuf> = names.filter(wanted).map(|name| folder.join(name)).collect();
    ensure!(
        !paths.is_empty(),
        "{}: no shards of the {half} half; they are {half}/*.tar or *{half}*.tar",
        dir.display()
    );
    let mut files = ImageFiles::default();
    for path in paths {
        shard(&mut files, Archive::open(&path)?)?;
    }
    Ok(files)
}

/// Adds the samples of one shard.
fn shard(files: &mut ImageFiles, archive: Archive) -> Result<()> {
    let entries = archive.entries()?;
    let mut found = Vec::new();
    for sample in entries.chunk_by(|a, b| parts(&a.path).0 == parts(&b.path).0) {
        let (key, _) = parts(&sample[0].path);
        let at = || format!("{}: sample `{key}`", archive.path().display());
        let picture = sample.iter().find(|entry| is_picture(&entry.path));
        let picture = picture.with_context(|| format!("{} has no picture", at()))?;
        found.push((picture, sample_label(&archive, sample).with_context(at)?));
    }
    let number = files.archives.len() as u32;
    for (picture, label) in found {
        files.push_entry(number, picture, label)?;
    }
    files.archive(archive);
    files.shards.push(files.len());
    Ok(())
}

/// The label of a sample: its `.cls`, else `label` or `cls` of its `.json`.
fn sample_label(archive: &Archive, sample: &[Entry]) -> Result<i64> {
    let read = |ending: &str| -> Result<Option<Vec<u8>>> {
        let Some(entry) = sample.iter().find(|entry| parts(&entry.path).1 == ending) else { return Ok(None) };
        ensure!(entry.size <= LONGEST_LABEL, "`{}`: {} bytes are too many", entry.path, entry.size);
        archive.bytes(entry.start, entry.size).map(Some)
    };
    let text = if let Some(bytes) = read("cls")? {
        String::from_utf8_lossy(&bytes).into_owned()
    } else if let Some(bytes) = read("json")? {
        let json: serde_json::Value = serde_json::from_slice(&bytes).context("its .json is none")?;
        let value = json.get("label").or_else(|| json.get("cls"));
        value.context("its .json has no `label` and no `cls`")?.to_string()
    } else {
        bail!("it has no .cls and no .json with a label");
    };
    label(&text).with_context(|| format!("its label {text:.50} is no class number"))
}

/// A path up to the first dot of its last part, and what follows.
fn parts(path: &str) -> (&str, &str) {
    let base = path.rfind('/').map_or(0, |slash| slash + 1);
    path[base..].find('.').map_or((path, ""), |dot| (&path[..base + dot], &path[base + dot + 1..]))
}
