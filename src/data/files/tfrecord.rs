//! TFRecord as TensorFlow Datasets and Big Vision have it: records of `tf.train.Example` with an encoded picture and a label,
//! read in place.

mod crc32c;
mod example;
mod record;

use super::archive::Archive;
use super::fields::Fields;
use super::halves::Half;
use super::labels::Classes;
use super::listing::files_below;
use super::samples::{Located, Samples, indexed};
use super::{FileSplits, ImageFiles};
use anyhow::{Context, Result, ensure};
use example::Wanted;
use record::Records;
use std::path::{Path, PathBuf};

/// Where TensorFlow Datasets keeps the names of the classes, beside the records.
const NAMES: &str = "label.labels.txt";

/// The files `*.tfrecord*` in DIR and below it; the split is a word of their names, else of their folders'.
pub(super) fn splits(dir: &Path, fields: &Fields) -> Result<FileSplits> {
    let is_wanted = |name: &[u8]| {
        let is_record = name.windows(9).any(|part| part == b".tfrecord");
        is_record && !name.ends_with(b".index")
    };
    let found = files_below(dir, &is_wanted)?;
    ensure!(!found.is_empty(), "{}: no files *.tfrecord* there or below", dir.display());
    let beside = found[0].parent().unwrap_or(dir).to_owned();
    let (mut train, mut val, mut test) = (Vec::new(), Vec::new(), Vec::new());
    for path in found {
        match Half::of_path(dir, &path)?.with_context(|| {
            format!("{}: neither its name nor those of its folders say which split it is of", path.display())
        })? {
            Half::Train => train.push(path),
            Half::Val => val.push(path),
            Half::Test => test.push(path),
        }
    }
    let tested = if val.is_empty() { test } else { val };
    let (train, test) = (read(&train, fields)?, read(&tested, fields)?);
    let said = beside.join(NAMES);
    let map = fields.classes.clone().or_else(|| said.exists().then_some(said));
    let classes = Classes::of(&beside, map.as_deref(), &train.texts, &test.texts)?;
    let files = |half: Samples| -> Result<ImageFiles> { half.files(&classes) };
    Ok(FileSplits { train: files(train)?, test: files(test)? })
}

fn read(paths: &[PathBuf], fields: &Fields) -> Result<Samples> {
    let wanted = Wanted::of(fields);
    let of_file = |path: &PathBuf| {
        let archive = Archive::open(path)?.without_names();
        let about = format!("records, {wanted}");
        let samples = indexed(path, &about, || located(&archive, &wanted))?;
        Ok((archive, samples))
    };
    Samples::read(paths, fields.classes.is_some(), of_file, str::to_owned)
}

/// The picture and the label of every record, whose checksums are compared.
fn located(archive: &Archive, wanted: &Wanted) -> Result<Vec<Located>> {
    let mut located = Vec::new();
    for record in Records::of(archive) {
        let (start, bytes) = record?;
        let at = || format!("{}: the record at byte {start}", archive.path().display());
        let (picture, label) = wanted.find(&bytes).with_context(at)?;
        located.push(Located { start: start + picture.start as u64, size: picture.len() as u64, label });
    }
    Ok(located)
}
