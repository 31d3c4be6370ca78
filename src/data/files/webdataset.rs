//! WebDataset: tar shards in which files of one name form a sample. What follows the first dot of a file's name, in lower
//! case, is its field in the sample; hidden files, and those without a field, belong to none.

mod braces;
mod info;
mod sample;
mod shard;

use super::archive::Archive;
use super::fields::Fields;
use super::halves::Half;
use super::index::Entry;
use super::labels::{CLASSES, Classes, label};
use super::listing::{listing, spelled};
use super::{FileSplits, ImageFiles};
use crate::machine;
use anyhow::{Context, Result, bail, ensure};
use info::{Info, Shards};
use rayon::prelude::*;
use sample::{LabelAt, parts};
use shard::{Located, Wanted};
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How shards are called; compressed ones are refused when they are opened.
const ENDS: [&str; 6] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2"];

/// The shards of a data set, in halves. `DIR`: those that `_info.json` names, else `*.tar` in `DIR/train` and `DIR/val`, else
/// those in DIR with `train` and `val` among the parts of their names. `PATTERN`: names with braces.
pub(super) fn splits(at: &str, fields: &Fields) -> Result<FileSplits> {
    halves(&Set::of(at)?, fields)
}

fn halves(set: &Set, fields: &Fields) -> Result<FileSplits> {
    let train = match &set.train {
        Some(half) => Rows::read(half, fields)?,
        None => bail!("{}", set.lacks("train")),
    };
    let test = set.test.as_ref().map_or(Ok(Rows::default()), |half| Rows::read(half, fields))?;
    let classes = set.classes(fields, &train, &test)?;
    Ok(FileSplits { train: train.files(&classes)?, test: test.files(&classes)? })
}

/// These shards, or those of them that an info file in `dir` names, which has its own to say of their labels.
pub(super) fn of(dir: &Path, train: Vec<PathBuf>, test: Vec<PathBuf>, fields: &Fields) -> Result<FileSplits> {
    let listed = |half: Half, paths: Vec<PathBuf>| -> Result<Option<Listed>> {
        if paths.is_empty() {
            return Ok(None);
        }
        let said = Info::read(dir)?.map_or(Ok(None), |info| info.half(dir, half))?;
        Ok(said.or_else(|| Some((paths.into_iter().map(|path| (path, None)).collect(), None))))
    };
    let set = Set { dir: dir.to_owned(), train: listed(Half::Train, train)?, test: listed(Half::Val, test)? };
    if set.train.is_none() {
        let test = tested(&set, fields)?;
        return Ok(FileSplits { train: ImageFiles::of_classes(&test.classes), test });
    }
    halves(&set, fields)
}

/// The test split; where no file says the classes the training split is read, too, to find their number.
pub(super) fn test(at: &str, fields: &Fields) -> Result<ImageFiles> {
    tested(&Set::of(at)?, fields)
}

fn tested(set: &Set, fields: &Fields) -> Result<ImageFiles> {
    let Some(half) = &set.test else { bail!("{}", set.lacks("val")) };
    let test = Rows::read(half, fields)?;
    let train = match &set.train {
        _ if set.says_classes(fields) => Rows::default(),
        Some(half) => Rows::read(half, fields)?,
        None => bail!("{}; or name the classes in a file `{CLASSES}` there", set.lacks("train")),
    };
    let classes = set.classes(fields, &train, &test)?;
    test.files(&classes)
}

/// The shards of one half, and the key in `json` that has their labels, where the data set says it.
type Listed = (Shards, Option<String>);

struct Set {
    /// The folder that may have `classes.txt`.
    dir: PathBuf,
    train: Option<Listed>,
    test: Option<Listed>,
}

impl Set {
    fn of(at: &str) -> Result<Self> {
        if at.contains(['{', '}']) || at.contains("::") || ENDS.iter().any(|end| at.ends_with(end)) {
            return Self::named(braces::expand(at)?.into_iter().map(PathBuf::from).collect());
        }
        let dir = Path::new(at);
        ensure!(dir.is_dir(), "{}: there is no such folder", dir.display());
        if let Some(info) = Info::read(dir)? {
            let half = |half| info.half(dir, half);
            return Ok(Self { dir: dir.to_owned(), train: half(Half::Train)?, test: half(Half::Val)? });
        }
        let half = |half| in_folder(dir, half).map(|paths| paths.map(|paths| (paths, None)));
        let set = Self { dir: dir.to_owned(), train: half(Half::Train)?, test: half(Half::Val)? };
        ensure!(set.train.is_some() || set.test.is_some(), set.lacks("train"));
        Ok(set)
    }

    /// The half of each shard is a word of its name, else of its folder's; where no name says it all are to train on.
    fn named(paths: Vec<PathBuf>) -> Result<Self> {
        let halves: Vec<_> =
            paths.iter().map(|path| Half::of_path(Path::new(""), path)).collect::<Result<_>>()?;
        let none_says = halves.iter().all(Option::is_none);
        let dir = paths.first().and_then(|path| path.parent()).unwrap_or(Path::new("")).to_owned();
        let is_tested = if halves.contains(&Some(Half::Val)) { Half::Val } else { Half::Test };
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for (path, half) in paths.into_iter().zip(halves) {
            ensure!(
                half.is_some() || none_says,
                "{}: neither its name nor those of its folders say which split it is of, as others do: train, val or test",
                path.display()
            );
            match half {
                None | Some(Half::Train) => train.push((path, None)),
                Some(half) if half == is_tested => test.push((path, None)),
                Some(_) => bail!(
                    "{}: of a test half beside a validation half; leave one of both out",
                    path.display()
                ),
            }
        }
        let some = |half: Shards| (!half.is_empty()).then_some((half, None));
        Ok(Self { dir, train: some(train), test: some(test) })
    }

    fn lacks(&self, split: &str) -> String {
        format!(
            "{}: no shards of the split `{split}`; name them {split}/*.tar, or {split}-0000.tar and so on",
            self.dir.display()
        )
    }

    fn says_classes(&self, fields: &Fields) -> bool {
        fields.classes.is_some() || self.dir.join(CLASSES).exists()
    }

    fn classes(&self, fields: &Fields, train: &Rows, test: &Rows) -> Result<Classes> {
        Classes::of(&self.dir, fields.classes.as_deref(), &train.texts, &test.texts)
    }
}

/// The shards of a half in a folder, by their names; `None` if there are none.
fn in_folder(dir: &Path, half: Half) -> Result<Option<Shards>> {
    let split = if half == Half::Train { "train" } else { "val" };
    let inside = Some(dir.join(split)).filter(|folder| folder.is_dir());
    let folder = inside.as_deref().unwrap_or(dir);
    let mut paths = Vec::new();
    for (name, _) in listing(folder)? {
        let text = spelled(name.as_bytes());
        let is_shard = ENDS.iter().any(|end| text.ends_with(end));
        if is_shard && (inside.is_some() || is_of(half, &text, dir)?) {
            paths.push((folder.join(name), None));
        }
    }
    Ok(Some(paths).filter(|paths| !paths.is_empty()))
}

/// Whether a shard belongs to a half by its name.
fn is_of(half: Half, name: &str, dir: &Path) -> Result<bool> {
    let own =
        Half::of(name).with_context(|| format!("{}: move it to train/ or val/ there", dir.display()))?;
    Ok(own == Some(half))
}

/// The samples of a half.
#[derive(Default)]
struct Rows {
    /// Their labels are places in `texts`.
    files: ImageFiles,
    /// Each label once.
    texts: Vec<String>,
    /// Samples without a label, and the first of them.
    unlabelled: Option<(usize, String)>,
}

impl Rows {
    fn read((shards, key): &Listed, fields: &Fields) -> Result<Self> {
        let label = match (&fields.label, key) {
            (Some(label), _) => LabelAt::of(label),
            (None, Some(key)) => LabelAt::Json { field: "json".to_owned(), path: key.clone() },
            (None, None) => LabelAt::Usual,
        };
        let wanted = Wanted {
            picture: fields.picture.as_ref().map(|field| field.trim_start_matches('.').to_ascii_lowercase()),
            label,
        };
        let (mut rows, mut known) = (Self::default(), HashMap::new());
        // As many at a time as cores read: the samples of all of them at once would be in memory twice.
        for together in shards.chunks(machine::cores()) {
            let read: Vec<_> = together.par_iter().map(|(path, _)| shard::read(path, &wanted)).collect();
            for (read, (path, length)) in read.into_iter().zip(together) {
                let (archive, samples) = read?;
                if let Some(length) = length.filter(|length| *length != samples.len()) {
                    bail!(
                        "{}: {} samples, and the data set's info file says {length}; fetch it again",
                        path.display(),
                        samples.len()
                    );
                }
                rows.add(archive, samples, &mut known, fields)?;
            }
        }
        Ok(rows)
    }

    fn add(
        &mut self,
        archive: Archive,
        samples: Vec<Located>,
        known: &mut HashMap<String, i64>,
        fields: &Fields,
    ) -> Result<()> {
        let path = archive.path().display().to_string();
        let number = self.files.archive(archive);
        for Located { start, size, label: text } in samples {
            if text.is_empty() {
                let title = || self.files.title_at(number, start);
                self.unlabelled.get_or_insert_with(|| (0, title())).0 += 1;
                continue;
            }
            let at = match known.get(&text) {
                Some(&at) => at,
                None => {
                    let first_is_number = self.texts.first().map(|first| label(first).is_some());
                    let is_other = first_is_number.is_some_and(|is| is != label(&text).is_some());
                    if is_other && fields.classes.is_none() {
                        let title = self.files.title_at(number, start);
                        let key =
                            title.rsplit_once(": ").and_then(|(_, name)| parts(name)).map(|(key, _)| key);
                        let key = key.unwrap_or_default();
                        let is = if first_is_number == Some(true) {
                            "is not a class number"
                        } else {
                            "is not a name"
                        };
                        bail!(
                            "{path}: sample `{key}`: its label {text:.50} {is}, as those before it are; `data.classes` \
                             names a file with both"
                        );
                    }
                    let at = self.texts.len() as i64;
                    self.texts.push(text.clone());
                    known.insert(text, at);
                    at
                }
            };
            self.files.push_entry(number, &Entry { path: String::new(), start, size }, at)?;
        }
        self.files.end_shard();
        Ok(())
    }

    fn files(self, classes: &Classes) -> Result<ImageFiles> {
        let Self { mut files, texts, unlabelled } = self;
        let numbers: Vec<Option<i64>> = texts.iter().map(|text| classes.number(text)).collect();
        for index in 0..files.len() {
            let at = files.labels[index] as usize;
            files.labels[index] = numbers[at].with_context(|| {
                format!(
                    "{}: its label `{:.80}` is not one of the {} classes",
                    files.title(index),
                    texts[at],
                    classes.names.len()
                )
            })?;
        }
        files.classes.clone_from(&classes.names);
        if let Some((count, first)) = unlabelled {
            files.set_aside(count, first, "a sample without a label");
        }
        Ok(files)
    }
}
