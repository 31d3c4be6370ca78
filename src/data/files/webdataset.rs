//! WebDataset: tar shards in which files of one name form a sample. What follows the first dot of a file's name, in lower
//! case, is its field in the sample; hidden files, and those without a field, belong to none.

mod braces;
mod info;
mod sample;
mod shard;

use super::fields::Fields;
use super::halves::Half;
use super::labels::{CLASSES, Classes};
use super::listing::{listing, spelled};
use super::samples::Samples;
use super::{FileSplits, ImageFiles};
use anyhow::{Context, Result, bail, ensure};
use info::{Info, Shard};
use sample::{LabelAt, parts};
use shard::Wanted;
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
        Some(half) => read(half, fields)?,
        None => bail!("{}", set.lacks("train")),
    };
    let test = set.test.as_ref().map_or(Ok(Samples::default()), |half| read(half, fields))?;
    let classes = set.classes(fields, &train, &test)?;
    Ok(FileSplits { train: train.files(&classes)?, test: test.files(&classes)? })
}

/// These shards, or those of them that an info file in `dir` names, which has its own to say of their labels.
#[cfg(feature = "hub")]
pub(super) fn of(dir: &Path, train: Vec<PathBuf>, test: Vec<PathBuf>, fields: &Fields) -> Result<FileSplits> {
    let listed = |half: Half, paths: Vec<PathBuf>| -> Result<Option<Listed>> {
        if paths.is_empty() {
            return Ok(None);
        }
        let said = Info::read(dir)?.map_or(Ok(None), |info| info.half(dir, half))?;
        Ok(said.or_else(|| Some((paths.into_iter().map(Shard::of).collect(), None))))
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
    let test = read(half, fields)?;
    let train = match &set.train {
        _ if set.says_classes(fields) => Samples::default(),
        Some(half) => read(half, fields)?,
        None => bail!("{}; or name the classes in a file `{CLASSES}` there", set.lacks("train")),
    };
    let classes = set.classes(fields, &train, &test)?;
    test.files(&classes)
}

/// The shards of one half, and the key in `json` that has their labels, where the data set says it.
type Listed = (Vec<Shard>, Option<String>);

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
                None | Some(Half::Train) => train.push(Shard::of(path)),
                Some(half) if half == is_tested => test.push(Shard::of(path)),
                Some(_) => bail!(
                    "{}: of a test half beside a validation half; leave one of both out",
                    path.display()
                ),
            }
        }
        let some = |half: Vec<Shard>| (!half.is_empty()).then_some((half, None));
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

    fn classes(&self, fields: &Fields, train: &Samples, test: &Samples) -> Result<Classes> {
        Classes::of(&self.dir, fields.classes.as_deref(), &train.texts, &test.texts)
    }
}

/// The shards of a half in a folder, by their names; `None` if there are none.
fn in_folder(dir: &Path, half: Half) -> Result<Option<Vec<Shard>>> {
    let split = if half == Half::Train { "train" } else { "val" };
    let inside = Some(dir.join(split)).filter(|folder| folder.is_dir());
    let folder = inside.as_deref().unwrap_or(dir);
    let mut paths = Vec::new();
    for (name, _) in listing(folder)? {
        let text = spelled(name.as_bytes());
        let is_shard = ENDS.iter().any(|end| text.ends_with(end));
        if is_shard && (inside.is_some() || is_of(half, &text, dir)?) {
            paths.push(Shard::of(folder.join(name)));
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

fn read((shards, key): &Listed, fields: &Fields) -> Result<Samples> {
    let label = match (&fields.label, key) {
        (Some(label), _) => LabelAt::of(label),
        (None, Some(key)) => LabelAt::Json { field: "json".to_owned(), path: key.clone() },
        (None, None) => LabelAt::Usual,
    };
    let picture = fields.picture.as_ref().map(|field| field.trim_start_matches('.').to_ascii_lowercase());
    let wanted = Wanted { picture, label };
    let of_shard = |shard: &Shard| {
        let (archive, samples) = shard::read(&shard.path, &wanted)?;
        if let Some(length) = shard.length.filter(|length| *length != samples.len()) {
            bail!(
                "{}: {} samples, and the data set's info file says {length}; fetch it again",
                shard.path.display(),
                samples.len()
            );
        }
        Ok((archive, samples))
    };
    let called = |title: &str| match title.rsplit_once(": ") {
        Some((path, name)) => format!("{path}: sample `{}`", parts(name).map_or(name, |(key, _)| key)),
        None => title.to_owned(),
    };
    Samples::read(shards, fields.classes.is_some(), of_shard, called)
}
