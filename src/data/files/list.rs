//! Lists of images in Caffe's format: one line `path label` per image.

use super::labels::{class_names, label};
use super::listing::text;
use super::{FileSplits, ImageFiles};
use anyhow::{Context, Result};
use std::path::Path;

/// The list of the test split.
const TEST: &str = "val.txt";
/// Upper bound on the size of a list.
const MAX_BYTES: u64 = 8 << 30;

/// `DIR/train.txt` and `DIR/val.txt`; paths are relative to DIR.
pub(super) fn splits(dir: &Path) -> Result<FileSplits> {
    let (mut train, mut test) = (read(dir, "train.txt")?, read(dir, TEST)?);
    train.classes = class_names(dir, train.labels.iter().chain(&test.labels))?;
    test.classes.clone_from(&train.classes);
    Ok(FileSplits { train, test })
}

/// The line of the test list that has this image, as `DIR/val.txt:7`.
pub(super) fn test_line(dir: &Path, image: &str) -> Option<String> {
    let path = dir.join(TEST);
    let text = text(&path, MAX_BYTES).ok()?;
    let number = text.lines().position(|line| parts(line).is_some_and(|(name, _)| name == image))? + 1;
    Some(format!("{}:{number}", path.display()))
}

fn read(dir: &Path, name: &str) -> Result<ImageFiles> {
    let path = dir.join(name);
    let mut files = ImageFiles::default();
    let folder = files.folder(dir.to_owned());
    for (number, line) in (1..).zip(text(&path, MAX_BYTES)?.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let (image, label) = parts(line)
            .with_context(|| format!("{}:{number}: `{line}` is not `path label`", path.display()))?;
        files.push_file(folder, image, label);
    }
    Ok(files)
}

/// The image and the label of a line.
fn parts(line: &str) -> Option<(&str, i64)> {
    let (image, last) = line.trim().rsplit_once(char::is_whitespace)?;
    Some((image.trim_end(), label(last)?))
}
