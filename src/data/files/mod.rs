//! Data sets of image files: the location and the label of each image. The loader decodes them.

mod archive;
mod devkit;
mod folder;
mod halves;
mod imagenet;
mod index;
mod labels;
mod list;
mod listing;
mod matlab;
mod parquet;
mod pictures;
mod present;
mod table;
mod webdataset;

pub use imagenet::{ImageNet, imagenet};
pub(super) use listing::NAMES;
pub use listing::pictures_below;
pub use pictures::{FileSplits, ImageFiles};
pub(super) use present::check as check_test;

use anyhow::{Result, bail};
use std::path::Path;

/// The layout and location of a data set of files.
enum Layout<'a> {
    Folder(&'a Path),
    List(&'a Path),
    Shards(&'a Path),
    Parquet(&'a Path),
    /// A file, or a folder.
    Table(&'a Path),
    ImageNet(&'static ImageNet, &'a Path),
}

impl<'a> Layout<'a> {
    fn of(name: &'a str, root: &'a Path) -> Option<Self> {
        Some(match name.split_once(':') {
            Some(("folder", dir)) => Self::Folder(Path::new(dir)),
            Some(("list", dir)) => Self::List(Path::new(dir)),
            Some(("webdataset", dir)) => Self::Shards(Path::new(dir)),
            Some(("parquet", dir)) => Self::Parquet(Path::new(dir)),
            Some(("manifest", at)) => Self::Table(Path::new(at)),
            _ => Self::ImageNet(imagenet().iter().find(|known| known.name == name)?, root),
        })
    }

    /// # Errors
    /// A folder that is not there.
    fn check(&self) -> Result<()> {
        match self {
            Self::Folder(dir) | Self::List(dir) | Self::Shards(dir) | Self::Parquet(dir) if !dir.is_dir() => {
                bail!("{}: there is no such folder", dir.display())
            }
            Self::Table(at) if !at.exists() => bail!("{}: there is no such file or folder", at.display()),
            _ => Ok(()),
        }
    }

    fn splits(&self) -> Result<FileSplits> {
        self.check()?;
        match self {
            Self::Folder(dir) => folder::splits(dir),
            Self::List(dir) => list::splits(dir),
            Self::Shards(dir) => webdataset::splits(dir),
            Self::Parquet(dir) => parquet::splits(dir),
            Self::Table(at) => table::splits(at),
            Self::ImageNet(known, root) => known.splits(root),
        }
    }

    /// The test split; the training split is read only as far as its classes are needed.
    fn test(&self) -> Result<ImageFiles> {
        self.check()?;
        match self {
            Self::Folder(dir) => folder::test(dir),
            Self::List(dir) => Ok(list::splits(dir)?.test),
            Self::Shards(dir) => webdataset::test(dir),
            Self::Parquet(dir) => Ok(parquet::splits(dir)?.test),
            Self::Table(at) => Ok(table::splits(at)?.test),
            Self::ImageNet(known, root) => known.test(root),
        }
    }
}

/// Opens the training and test split of a data set of files: `folder:DIR`, `list:DIR`, `webdataset:DIR`, `manifest:FILE`,
/// `parquet:DIR`, or one of [`imagenet`] below `root`. `None` for any other name.
///
/// # Errors
/// Files that are missing, truncated or of another format; the message names them.
pub fn open(name: &str, root: &Path) -> Result<Option<FileSplits>> {
    let Some(layout) = Layout::of(name, root) else { return Ok(None) };
    let FileSplits { train, test } = layout.splits()?;
    Ok(Some(FileSplits { train: train.named(name)?, test: test.named(name)? }))
}

/// Like [`open`], but the test split only: the training split may be missing if it is not needed for the
/// classes.
///
/// # Errors
/// Same as [`open`].
pub fn open_test(name: &str, root: &Path) -> Result<Option<ImageFiles>> {
    Layout::of(name, root).map(|layout| layout.test()?.named(name)).transpose()
}

/// The number of classes of a data set of files; reads the files only if the name does not determine it.
/// `None` for any other name.
///
/// # Errors
/// Same as [`open`].
pub(super) fn classes(name: &str, root: &Path) -> Result<Option<i64>> {
    Ok(match Layout::of(name, root) {
        Some(Layout::ImageNet(known, _)) => Some(known.classes),
        Some(layout) => {
            layout.check()?;
            Some(match layout {
                Layout::Folder(dir) => folder::classes(&dir.join("train"))?.len() as i64,
                layout => layout.splits()?.train.classes.len() as i64,
            })
        }
        None => None,
    })
}
