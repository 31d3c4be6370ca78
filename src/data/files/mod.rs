//! Data sets of image files: the location and the label of each image. The loader decodes them.

mod archive;
mod devkit;
mod folder;
mod imagenet;
mod index;
mod list;
mod matlab;
mod webdataset;

pub use imagenet::{ImageNet, imagenet};

use super::Stream;
use super::image::{self, RgbImage};
use anyhow::{Context, Result, ensure};
use archive::{Archive, Entry};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Extensions of image files, in lower or upper case.
const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "bmp", "gif"];
/// Shards whose images are shuffled together, so that the disk reads from few places at a time.
const MIXED_SHARDS: usize = 16;
/// Upper bound on nested folders, against cycles of links.
const MAX_DEPTH: usize = 16;

/// Labelled images of any size in files: in folders, or in tar archives that are read in place.
#[derive(Clone, Default)]
pub struct ImageFiles {
    pub name: String,
    /// One class per image, below `classes.len()`.
    pub labels: Vec<i64>,
    pub classes: Vec<String>,
    locations: Vec<Location>,
    folders: Vec<PathBuf>,
    archives: Vec<Arc<Archive>>,
    /// The end of each WebDataset shard as an index of images; empty for other data sets.
    shards: Vec<usize>,
}

/// The location of the bytes of one image.
#[derive(Clone)]
enum Location {
    File { folder: u32, name: Box<str> },
    Entry { archive: u32, size: u32, start: u64 },
}

/// The training and test split of a data set of files.
pub struct FileSplits {
    pub train: ImageFiles,
    pub test: ImageFiles,
}

/// The file with the class names of lists and shards.
const CLASSES: &str = "classes.txt";

/// The syntax of names of data sets of files, for messages.
pub(super) const NAMES: &str = "`folder:DIR` reads DIR/train and DIR/val with a sub-folder per class, \
     `list:DIR` DIR/train.txt and DIR/val.txt with lines `path label`, `webdataset:DIR` tar shards below DIR";

/// The layout and location of a data set of files.
enum Layout<'a> {
    Folder(&'a Path),
    List(&'a Path),
    Shards(&'a Path),
    ImageNet(&'static ImageNet, &'a Path),
}

impl<'a> Layout<'a> {
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

    /// The test split; the training split is read only as far as its classes are needed.
    fn test(&self) -> Result<ImageFiles> {
        match self {
            Self::Folder(dir) => folder::test(dir),
            Self::List(dir) => Ok(list::splits(dir)?.test),
            Self::Shards(dir) => webdataset::test(dir),
            Self::ImageNet(known, root) => known.test(root),
        }
    }
}

/// Opens the training and test split of a data set of files: `folder:DIR`, `list:DIR`, `webdataset:DIR`, or
/// one of [`imagenet`] below `root`. `None` for any other name.
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
        Some(Layout::Folder(dir)) => Some(folder::classes(&dir.join("train"))?.len() as i64),
        Some(layout) => Some(layout.splits()?.train.classes.len() as i64),
        None => None,
    })
}

impl ImageFiles {
    /// The images of a folder with one sub-folder or tar archive per class; classes are numbered in the order
    /// of their names.
    ///
    /// # Errors
    /// A folder that is missing, or a class without images.
    pub fn in_classes(dir: &Path) -> Result<Self> {
        Ok(Self { name: dir.display().to_string(), ..folder::by_class(dir, folder::Classes::Found)? })
    }

    fn named(self, name: &str) -> Result<Self> {
        ensure!(!self.is_empty(), "{name}: no images in one of the splits; {NAMES}");
        Ok(Self { name: name.to_owned(), ..self })
    }

    /// One image, decoded by [`image::decode`].
    ///
    /// # Errors
    /// Bytes that cannot be read or decoded; the message names the image.
    pub fn picture(&self, index: usize) -> Result<RgbImage> {
        self.read(index).and_then(|bytes| image::decode(&bytes)).with_context(|| self.title(index))
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.locations.len()
    }

    pub fn is_empty(&self) -> bool {
        self.locations.is_empty()
    }

    /// The encoded bytes of one image.
    ///
    /// # Errors
    /// A file that is missing, unreadable or too large for an image.
    pub fn read(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        match &self.locations[index] {
            Location::File { folder, name } => {
                Ok(image::read_file(&self.folders[*folder as usize].join(&**name))?.into())
            }
            Location::Entry { archive, size, start } => {
                Ok(self.archives[*archive as usize].bytes(*start, u64::from(*size))?.into())
            }
        }
    }

    /// The name of an image in messages: its path, or the archive and the entry.
    pub fn title(&self, index: usize) -> String {
        match &self.locations[index] {
            Location::File { folder, name } => {
                self.folders[*folder as usize].join(&**name).display().to_string()
            }
            Location::Entry { archive, start, .. } => self.archives[*archive as usize].title(*start),
        }
    }

    /// The indices in the order of one epoch, decided by (seed, epoch).
    ///
    /// The images of a WebDataset are shuffled within groups of [`MIXED_SHARDS`] random shards, so that the
    /// disk reads from few places at a time.
    pub fn order(&self, seed: u64, epoch: u64) -> Vec<usize> {
        let mut stream = Stream::new(seed, "order", epoch, 0);
        if self.shards.is_empty() {
            let mut order: Vec<usize> = (0..self.len()).collect();
            stream.shuffle(&mut order);
            return order;
        }
        let begins = std::iter::once(0).chain(self.shards.iter().copied());
        let mut shards: Vec<_> = begins.zip(self.shards.iter().copied()).collect();
        stream.shuffle(&mut shards);
        let mut order = Vec::with_capacity(self.len());
        for together in shards.chunks(MIXED_SHARDS) {
            let begin = order.len();
            order.extend(together.iter().flat_map(|&(begin, end)| begin..end));
            stream.shuffle(&mut order[begin..]);
        }
        order
    }

    /// Keeps the first `count` images of a shuffle seeded by `seed`, or all if there are fewer.
    pub fn sample(&mut self, count: usize, seed: u64) {
        let mut order: Vec<usize> = (0..self.len()).collect();
        Stream::new(seed, "sample", 0, 0).shuffle(&mut order);
        order.truncate(count);
        self.keep(&mut order);
    }

    /// The same images with their classes looked up by name in `classes`; `None` if one is not there.
    pub fn relabelled(&self, classes: Vec<String>) -> Option<Self> {
        let numbers = numbered(&classes);
        let new: Vec<Option<i64>> =
            self.classes.iter().map(|class| numbers.get(class.as_str()).copied()).collect();
        let labels = self.labels.iter().map(|&label| new[label as usize]).collect::<Option<_>>()?;
        Some(Self { labels, classes, ..self.clone() })
    }

    /// Images per class.
    pub fn label_counts(&self) -> Vec<usize> {
        super::label_counts(&self.labels, self.classes.len())
    }

    /// Keeps the images at these indices, in ascending order.
    fn keep(&mut self, indices: &mut [usize]) {
        indices.sort_unstable();
        self.shards = self.shards.iter().map(|&end| indices.partition_point(|&i| i < end)).collect();
        self.labels = indices.iter().map(|&i| self.labels[i]).collect();
        self.locations = indices.iter().map(|&i| self.locations[i].clone()).collect();
    }

    /// Adds a folder and returns its index, for [`Self::push_file`].
    fn folder(&mut self, path: PathBuf) -> u32 {
        self.folders.push(path);
        self.folders.len() as u32 - 1
    }

    /// Adds an archive and returns its index, for [`Self::push_entry`].
    fn archive(&mut self, archive: Archive) -> u32 {
        self.archives.push(Arc::new(archive));
        self.archives.len() as u32 - 1
    }

    fn push_file(&mut self, folder: u32, name: &str, label: i64) {
        self.locations.push(Location::File { folder, name: name.into() });
        self.labels.push(label);
    }

    fn push_entry(&mut self, archive: u32, entry: &Entry, label: i64) -> Result<()> {
        let (start, size) = (entry.start, entry.size);
        ensure!(size <= image::MAX_BYTES, "`{}`: {size} bytes are too many for an image", entry.path);
        self.locations.push(Location::Entry { archive, size: size as u32, start });
        self.labels.push(label);
        Ok(())
    }
}

/// Whether a file or an entry is an image, judging by its name.
fn is_image(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    !base(name).starts_with('.') && EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
}

/// The last component of a path.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The names in a folder, sorted, and whether each is a folder; names that are not UTF-8 are ignored.
fn listing(dir: &Path) -> Result<Vec<(String, bool)>> {
    let read = || -> Result<Vec<(String, bool)>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = entry.file_type()?;
            names.push((name, if kind.is_symlink() { entry.path().is_dir() } else { kind.is_dir() }));
        }
        names.sort();
        Ok(names)
    };
    read().with_context(|| format!("{}: cannot be read as a folder", dir.display()))
}

/// The images in a folder and its sub-folders, in the order of their names; a folder's own images come before
/// those of its sub-folders, and hidden files are ignored.
///
/// # Errors
/// A folder that cannot be read, or a cycle of links.
pub fn pictures_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut images = Vec::new();
    walk(dir, MAX_DEPTH, &mut |folder, names| images.extend(names.iter().map(|name| folder.join(name))))?;
    Ok(images)
}

/// Calls `each` with every folder and the names of its images.
fn walk(dir: &Path, depth: usize, each: &mut impl FnMut(&Path, &[String])) -> Result<()> {
    ensure!(depth > 0, "{}: folders are nested too deep; is there a cycle of links?", dir.display());
    let (folders, files): (Vec<_>, Vec<_>) = listing(dir)?.into_iter().partition(|(_, is_folder)| *is_folder);
    let images: Vec<String> = files.into_iter().map(|(name, _)| name).filter(|name| is_image(name)).collect();
    each(dir, &images);
    let mut visible = folders.iter().filter(|(name, _)| !name.starts_with('.'));
    visible.try_for_each(|(name, _)| walk(&dir.join(name), depth - 1, each))
}

/// The index of each name in a list of classes.
fn numbered(classes: &[String]) -> HashMap<&str, i64> {
    classes.iter().map(String::as_str).zip(0..).collect()
}

/// The path of the first of these names that exists in the folder.
fn first(dir: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| dir.join(name)).find(|path| path.exists())
}

/// Like [`first`], but it is an error if none exists.
fn either(dir: &Path, names: &[&str]) -> Result<PathBuf> {
    first(dir, names)
        .with_context(|| format!("{}: has neither {}; {NAMES}", dir.display(), names.join(" nor ")))
}

/// Reads a text file of at most `max` bytes.
fn text(path: &Path, max: u64) -> Result<String> {
    let read = || -> Result<String> {
        let size = fs::metadata(path)?.len();
        ensure!(size <= max, "{size} bytes are too many");
        let mut text = String::new();
        File::open(path)?.take(max).read_to_string(&mut text)?;
        Ok(text)
    };
    read().with_context(|| format!("{}: cannot be read", path.display()))
}

/// The lines of [`CLASSES`] if the folder has that file, else numbers up to the largest label.
fn class_names<'a>(dir: &Path, labels: impl Iterator<Item = &'a i64>) -> Result<Vec<String>> {
    let count = labels.max().map_or(0, |largest| largest + 1);
    let path = dir.join(CLASSES);
    if !path.exists() {
        return Ok((0..count).map(|class| class.to_string()).collect());
    }
    let names: Vec<String> = text(&path, 64 << 20)?.lines().map(|line| line.trim().to_owned()).collect();
    ensure!(
        names.len() as i64 >= count,
        "{}: {} classes are too few for label {}",
        path.display(),
        names.len(),
        count - 1
    );
    Ok(names)
}

/// Parses a label: a non-negative number, small enough for a classifier.
fn label(text: &str) -> Option<i64> {
    text.trim().parse().ok().filter(|label| (0..10_000_000).contains(label))
}
