//! Lists of images in Caffe's format: one line `path label` per image.

use super::fields::Fields;
use super::labels::{class_names, label};
use super::listing::{spelled, text_bytes};
use super::{FileSplits, ImageFiles};
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The list of the test split.
const TEST: &str = "val.txt";
/// Upper bound on the size of a list.
const MAX_BYTES: u64 = 8 << 30;

/// `DIR/train.txt` and `DIR/val.txt`; paths are relative to DIR.
pub(super) fn splits(dir: &Path, fields: &Fields) -> Result<FileSplits> {
    let (mut train, mut test) = (read(dir, "train.txt")?, read(dir, TEST)?);
    train.classes = class_names(dir, fields.classes.as_deref(), train.labels.iter().chain(&test.labels))?;
    test.classes.clone_from(&train.classes);
    Ok(FileSplits { train, test })
}

/// The line of the test list that has this image, as `DIR/val.txt:7`.
pub(super) fn test_line(dir: &Path, image: &OsStr) -> Option<String> {
    let path = dir.join(TEST);
    let text = text_bytes(&path, MAX_BYTES).ok()?;
    let number = lines(&text).position(|line| parts(line).is_some_and(|(name, _)| name == image))? + 1;
    Some(format!("{}:{number}", path.display()))
}

fn read(dir: &Path, name: &str) -> Result<ImageFiles> {
    let path = dir.join(name);
    let mut files = ImageFiles::default();
    let folder = files.folder(dir.to_owned());
    for (number, line) in (1..).zip(lines(&text_bytes(&path, MAX_BYTES)?)) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (image, label) = parts(line).with_context(|| {
            format!("{}:{number}: `{}` is not `path label`", path.display(), spelled(line.trim_ascii()))
        })?;
        files.push_file(folder, image, label);
    }
    Ok(files)
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n')
}

/// The image and the label of a line.
fn parts(line: &[u8]) -> Option<(&OsStr, i64)> {
    let line = line.trim_ascii();
    let space = line.iter().rposition(u8::is_ascii_whitespace)?;
    let (image, last) = line.split_at(space);
    Some((OsStr::from_bytes(image.trim_ascii_end()), label(str::from_utf8(last).ok()?)?))
}
