//! WebDataset: tar shards in which files of one name with different extensions form a sample.

use super::archive::Archive;
use super::index::Entry;
use super::labels::{CLASSES, class_names, label};
use super::listing::{is_image, listing};
use super::{FileSplits, ImageFiles};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};

/// Upper bound on the size of a label file.
const MAX_LABEL_BYTES: u64 = 16 << 20;

/// The shards `*.tar` in `DIR/train` and `DIR/val`, or those in DIR with `train` and `val` in their names.
pub(super) fn splits(dir: &Path) -> Result<FileSplits> {
    let (mut train, mut test) = (shards(dir, "train")?, shards(dir, "val")?);
    train.classes = class_names(dir, train.labels.iter().chain(&test.labels))?;
    test.classes.clone_from(&train.classes);
    Ok(FileSplits { train, test })
}

/// The test split; without `classes.txt` the training split is read, too, to find the number of classes.
pub(super) fn test(dir: &Path) -> Result<ImageFiles> {
    if !dir.join(CLASSES).exists() {
        return Ok(splits(dir)?.test);
    }
    let mut test = shards(dir, "val")?;
    test.classes = class_names(dir, test.labels.iter())?;
    Ok(test)
}

fn shards(dir: &Path, split: &str) -> Result<ImageFiles> {
    let folder = dir.join(split);
    let inside = folder.is_dir();
    let folder = if inside { folder } else { dir.to_owned() };
    let names = listing(&folder)?.into_iter().map(|(name, _)| name);
    let wanted = |name: &String| name.ends_with(".tar") && (inside || name.contains(split));
    let paths: Vec<PathBuf> = names.filter(wanted).map(|name| folder.join(name)).collect();
    ensure!(
        !paths.is_empty(),
        "{}: no shards of the split `{split}`; name them {split}/*.tar or *{split}*.tar",
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
        let image = sample.iter().find(|entry| is_image(&entry.path));
        let image = image.with_context(|| format!("{} has no image", at()))?;
        found.push((image, sample_label(&archive, sample).with_context(at)?));
    }
    let number = files.archive(archive);
    for (image, label) in found {
        files.push_entry(number, image, label)?;
    }
    files.end_shard();
    Ok(())
}

/// The label of a sample: its `.cls`, else `label` or `cls` of its `.json`.
fn sample_label(archive: &Archive, sample: &[Entry]) -> Result<i64> {
    let read = |extension: &str| -> Result<Option<Vec<u8>>> {
        let Some(entry) = sample.iter().find(|entry| parts(&entry.path).1 == extension) else {
            return Ok(None);
        };
        ensure!(entry.size <= MAX_LABEL_BYTES, "`{}`: {} bytes are too many", entry.path, entry.size);
        archive.bytes(entry.start, entry.size).map(Some)
    };
    let text = if let Some(bytes) = read("cls")? {
        String::from_utf8_lossy(&bytes).into_owned()
    } else if let Some(bytes) = read("json")? {
        let json: serde_json::Value =
            serde_json::from_slice(&bytes).context("its .json is not valid JSON")?;
        let value = json.get("label").or_else(|| json.get("cls"));
        value.context("its .json has neither `label` nor `cls`")?.to_string()
    } else {
        bail!("it has neither a .cls nor a .json with a label");
    };
    label(&text).with_context(|| format!("its label {text:.50} is not a class number"))
}

/// Splits a path at the first dot of its last component: the sample's key and the extension.
fn parts(path: &str) -> (&str, &str) {
    let base = path.rfind('/').map_or(0, |slash| slash + 1);
    path[base..].find('.').map_or((path, ""), |dot| (&path[..base + dot], &path[base + dot + 1..]))
}
