//! Data sets of encoded pictures: where each one's bytes are and what its label is. Pixels come later, in the loader.

mod archive;
mod devkit;
mod folder;
mod imagenet;
mod index;
mod labels;
mod list;
mod listing;
mod matlab;
mod pictures;
mod webdataset;

pub use imagenet::{ImageNet, imagenet};
pub(super) use listing::NAMES;
pub use listing::pictures_below;
pub use pictures::{FileSplits, ImageFiles};

use anyhow::Result;
use std::path::Path;

/// How a data set of files is kept, and where.
enum Kept<'a> {
    Folder(&'a Path),
    List(&'a Path),
    Shards(&'a Path),
    ImageNet(&'static ImageNet, &'a Path),
}

impl<'a> Kept<'a> {
    fn of(name: &'a str, root: &'a Path) -> Option<Self> {
        Some(match name.split_once(':') {
            Some(("folder", dir)) => Self::Folder(Path::new(dir)),
            Some(("list", dir)) => Self::List(Path::new(dir)),
            Some(("webdataset", dir)) => Self::Shards(Path::new(dir)),
            _ => Self::ImageNet(imagenet().iter().find(|known| known.name == name)?, root),
        })
    }

    fn splits(&self) -> Result<FileSplits> {
        match self {
            Self::Folder(dir) => folder::splits(dir),
            Self::List(dir) => list::splits(dir),
            Self::Shards(dir) => webdataset::splits(dir),
            Self::ImageNet(known, root) => known.splits(root),
        }
    }

    /// The test half; of the training half only what its classes need.
    fn test(&self) -> Result<ImageFiles> {
        match self {
            Self::Folder(dir) => folder::test(dir),
            Self::List(dir) => Ok(list::splits(dir)?.test),
            Self::Shards(dir) => webdataset::test(dir),
            Self::ImageNet(known, root) => known.test(root),
        }
    }
}

/// Opens a data set of files, training and test half: `folder:DIR`, `list:DIR`, `webdataset:DIR`, or one of
/// [`imagenet`] below `root`. `None` where the name is none of these.
///
/// # Errors
/// Files that are missing, cut, or not of that kind; the message names them.
pub fn open(name: &str, root: &Path) -> Result<Option<FileSplits>> {
    let Some(kept) = Kept::of(name, root) else { return Ok(None) };
    let FileSplits { train, test } = kept.splits()?;
    Ok(Some(FileSplits { train: train.named(name)?, test: test.named(name)? }))
}

/// As [`open`], the test half alone: the training half need not be there where the classes are known without it.
///
/// # Errors
/// As [`open`].
pub fn open_test(name: &str, root: &Path) -> Result<Option<ImageFiles>> {
    Kept::of(name, root).map(|kept| kept.test()?.named(name)).transpose()
}

/// The number of classes of a data set of files, without looking at the files where the name tells. `None` where the
/// name is none of these.
///
/// # Errors
/// As [`open`].
pub(super) fn classes(name: &str, root: &Path) -> Result<Option<i64>> {
    Ok(match Kept::of(name, root) {
        Some(Kept::ImageNet(known, _)) => Some(known.classes),
        Some(Kept::Folder(dir)) => Some(folder::classes(&dir.join("train"))?.len() as i64),
        Some(kept) => Some(kept.splits()?.train.classes.len() as i64),
        None => None,
    })
}
