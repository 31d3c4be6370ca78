//! Lists of images in Caffe's format: one line `path label` per image.

use super::labels::{class_names, label};
use super::listing::text;
use super::{FileSplits, ImageFiles};
use anyhow::{Context, Result};
use std::path::Path;

/// Upper bound on the size of a list.
const MAX_BYTES: u64 = 8 << 30;

/// `DIR/train.txt` and `DIR/val.txt`; paths are relative to DIR.
pub(super) fn splits(dir: &Path) -> Result<FileSplits> {
    let (mut train, mut test) = (read(dir, "train.txt")?, read(dir, "val.txt")?);
    train.classes = class_names(dir, train.labels.iter().chain(&test.labels))?;
    test.classes.clone_from(&train.classes);
    Ok(FileSplits { train, test })
}

fn read(dir: &Path, name: &str) -> Result<ImageFiles> {
    let path = dir.join(name);
    let mut files = ImageFiles::default();
    let folder = files.folder(dir.to_owned());
    for (number, line) in (1..).zip(text(&path, MAX_BYTES)?.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let parts = line.trim().rsplit_once(char::is_whitespace);
        let (image, label) = parts
            .and_then(|(image, last)| Some((image.trim_end(), label(last)?)))
            .with_context(|| format!("{}:{number}: `{line}` is not `path label`", path.display()))?;
        files.push_file(folder, image, label);
    }
    Ok(files)
}
