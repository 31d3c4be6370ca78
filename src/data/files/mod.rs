//! Data sets of image files: the location and the label of each image. The loader decodes them.

mod archive;
mod devkit;
mod fields;
mod folder;
mod halves;
#[cfg(feature = "hub")]
mod hub;
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

pub use fields::Fields;
#[cfg(feature = "hub")]
pub use hub::fetch_from_hub;
pub use imagenet::{ImageNet, imagenet};
pub(super) use listing::NAMES;
pub use listing::pictures_below;
pub use pictures::{FileSplits, ImageFiles};
pub(super) use present::check as check_test;

use anyhow::{Result, bail, ensure};
use std::path::Path;

/// The layout and location of a data set of files.
enum Layout<'a> {
    Folder(&'a Path),
    List(&'a Path),
    /// A folder, or names with braces.
    Shards(&'a str),
    Parquet(&'a Path),
    /// A repository of the Hub, without `hf:`.
    #[cfg(feature = "hub")]
    Hub(&'a str),
    /// A file, or a folder.
    Table(&'a Path),
    ImageNet(&'static ImageNet, &'a Path),
}

impl<'a> Layout<'a> {
    fn of(name: &'a str, root: &'a Path) -> Option<Self> {
        Some(match name.split_once(':') {
            Some(("folder", dir)) => Self::Folder(Path::new(dir)),
            Some(("list", dir)) => Self::List(Path::new(dir)),
            Some(("webdataset", dir)) => Self::Shards(dir),
            Some(("parquet", dir)) => Self::Parquet(Path::new(dir)),
            #[cfg(feature = "hub")]
            Some(("hf", name)) => Self::Hub(name),
            Some(("manifest", at)) => Self::Table(Path::new(at)),
            _ => Self::ImageNet(imagenet().iter().find(|known| known.name == name)?, root),
        })
    }

    /// # Errors
    /// A folder that is not there, or fields that the layout does not have.
    fn check(&self, name: &str, fields: &Fields) -> Result<()> {
        match self {
            Self::Folder(dir) | Self::List(dir) | Self::Parquet(dir) if !dir.is_dir() => {
                bail!("{}: there is no such folder", dir.display())
            }
            Self::Table(at) if !at.exists() => bail!("{}: there is no such file or folder", at.display()),
            Self::Folder(_) | Self::ImageNet(..) => fields.fit(name, false, false),
            Self::List(_) => fields.fit(name, false, true),
            _ => Ok(()),
        }
    }

    fn splits(&self, fields: &Fields) -> Result<FileSplits> {
        match self {
            Self::Folder(dir) => folder::splits(dir),
            Self::List(dir) => list::splits(dir, fields),
            Self::Shards(at) => webdataset::splits(at, fields),
            Self::Parquet(dir) => parquet::splits(dir, fields),
            #[cfg(feature = "hub")]
            Self::Hub(name) => hub::splits(name, fields),
            Self::Table(at) => table::splits(at, fields),
            Self::ImageNet(known, root) => known.splits(root),
        }
    }

    /// The test split; the training split is read only as far as its classes are needed.
    fn test(&self, fields: &Fields) -> Result<ImageFiles> {
        match self {
            Self::Folder(dir) => folder::test(dir),
            Self::Shards(at) => webdataset::test(at, fields),
            #[cfg(feature = "hub")]
            Self::Hub(name) => hub::test(name, fields),
            Self::ImageNet(known, root) => known.test(root),
            Self::List(_) | Self::Parquet(_) | Self::Table(_) => Ok(self.splits(fields)?.test),
        }
    }
}

/// Opens the training and test split of a data set of files: `folder:DIR`, `list:DIR`, `webdataset:DIR`, `manifest:FILE`,
/// `parquet:DIR`, `hf:OWNER/NAME`, or one of [`imagenet`] below `root`. `None` for any other name. The test split is empty where shards or
/// tables have none.
///
/// # Errors
/// Files that are missing, truncated or of another format; the message names them.
pub fn open(name: &str, root: &Path) -> Result<Option<FileSplits>> {
    open_with(name, root, &Fields::default())
}

/// Like [`open`], of these fields.
///
/// # Errors
/// Same as [`open`].
pub fn open_with(name: &str, root: &Path, fields: &Fields) -> Result<Option<FileSplits>> {
    let Some(layout) = Layout::of(name, root) else { return Ok(None) };
    layout.check(name, fields)?;
    let FileSplits { train, test } = layout.splits(fields)?;
    ensure!(!train.is_empty(), "{name}: no pictures of the split `train`; name their files or folders train");
    let test = if test.is_empty() { test } else { test.named(name)? };
    Ok(Some(FileSplits { train: train.named(name)?, test }))
}

/// Like [`open`], but the test split only: the training split may be missing if it is not needed for the
/// classes.
///
/// # Errors
/// Same as [`open`], and a data set without a test split.
pub fn open_test(name: &str, root: &Path) -> Result<Option<ImageFiles>> {
    open_test_with(name, root, &Fields::default())
}

/// Like [`open_test`], of these fields.
///
/// # Errors
/// Same as [`open_test`].
pub(super) fn open_test_with(name: &str, root: &Path, fields: &Fields) -> Result<Option<ImageFiles>> {
    let Some(layout) = Layout::of(name, root) else { return Ok(None) };
    layout.check(name, fields)?;
    layout.test(fields)?.named(name).map(Some)
}

/// The number of classes of a data set of files; reads the files only if the name does not determine it.
/// `None` for any other name.
///
/// # Errors
/// Same as [`open`].
pub(super) fn classes(name: &str, root: &Path, fields: &Fields) -> Result<Option<i64>> {
    let Some(layout) = Layout::of(name, root) else { return Ok(None) };
    layout.check(name, fields)?;
    Ok(Some(match layout {
        Layout::ImageNet(known, _) => known.classes,
        Layout::Folder(dir) => folder::classes(&dir.join("train"))?.len() as i64,
        layout => layout.splits(fields)?.train.classes.len() as i64,
    }))
}
