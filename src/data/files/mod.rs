//! Data sets of encoded pictures: where each one's bytes are and what its label is. Pixels come later, in the loader.

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
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What file names of pictures end in, in capitals or not.
const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "bmp", "gif"];
/// Shards whose pictures mix in one epoch: the disk reads from these alone at a time.
const MIXED_SHARDS: usize = 16;
/// No data set nests folders deeper; links that lead in circles do.
const DEEPEST: usize = 16;

/// Labelled pictures as files hold them, of any size, in folders or in tar archives that stay packed.
#[derive(Clone, Default)]
pub struct ImageFiles {
    pub name: String,
    /// One class a picture, below `classes.len()`.
    pub labels: Vec<i64>,
    pub classes: Vec<String>,
    places: Vec<Place>,
    folders: Vec<PathBuf>,
    archives: Vec<Arc<Archive>>,
    /// Where each shard of a WebDataset ends among the pictures; empty for other data sets.
    shards: Vec<usize>,
}

/// Where the bytes of one picture are.
#[derive(Clone)]
enum Place {
    File { folder: u32, name: Box<str> },
    Entry { archive: u32, size: u32, start: u64 },
}

/// The two halves of a data set of files.
pub struct FileSplits {
    pub train: ImageFiles,
    pub test: ImageFiles,
}

/// The file that names the classes of lists and shards.
const CLASSES: &str = "classes.txt";

/// What names of data sets of files look like, for messages.
pub(super) const NAMES: &str = "`folder:DIR` reads DIR/train and DIR/val with a sub-folder a class, `list:DIR` \
     DIR/train.txt and DIR/val.txt with lines `path label`, `webdataset:DIR` tar shards below DIR";

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

impl ImageFiles {
    /// A folder with a folder of pictures a class, or a tar archive a class, numbered by their sorted names.
    ///
    /// # Errors
    /// A folder that is missing, or a class without pictures.
    pub fn in_classes(dir: &Path) -> Result<Self> {
        Ok(Self { name: dir.display().to_string(), ..folder::by_class(dir, folder::Classes::There)? })
    }

    fn named(self, name: &str) -> Result<Self> {
        ensure!(!self.is_empty(), "{name}: no pictures in one half; {NAMES}");
        Ok(Self { name: name.to_owned(), ..self })
    }

    /// One picture, as [`image::decode`] gives it.
    ///
    /// # Errors
    /// Bytes that cannot be read or decoded; the message names the picture.
    pub fn picture(&self, index: usize) -> Result<RgbImage> {
        self.read(index).and_then(|bytes| image::decode(&bytes)).with_context(|| self.title(index))
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The encoded bytes of one picture.
    ///
    /// # Errors
    /// A file that is missing, unreadable or too large for a picture.
    pub fn read(&self, index: usize) -> Result<Vec<u8>> {
        match &self.places[index] {
            Place::File { folder, name } => image::read_file(&self.folders[*folder as usize].join(&**name)),
            Place::Entry { archive, size, start } => {
                self.archives[*archive as usize].bytes(*start, u64::from(*size))
            }
        }
    }

    /// What one picture is called in messages: its path, or the archive and its name in there.
    pub fn title(&self, index: usize) -> String {
        match &self.places[index] {
            Place::File { folder, name } => {
                self.folders[*folder as usize].join(&**name).display().to_string()
            }
            Place::Entry { archive, start, .. } => self.archives[*archive as usize].title(*start),
        }
    }

    /// The pictures in the order of one epoch, which (seed, epoch) decide.
    ///
    /// Pictures of a WebDataset mix within [`MIXED_SHARDS`] shards that come together by chance: the disk reads in few
    /// places at a time.
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

    /// Keeps the first `count` pictures of a shuffle that `seed` decides; all where there are no more.
    pub fn sample(&mut self, count: usize, seed: u64) {
        let mut order: Vec<usize> = (0..self.len()).collect();
        Stream::new(seed, "sample", 0, 0).shuffle(&mut order);
        order.truncate(count);
        self.keep(&mut order);
    }

    /// The same pictures with labels among other classes, by the classes' names; `None` where one is not among them.
    pub fn relabelled(&self, classes: Vec<String>) -> Option<Self> {
        let numbers = numbered(&classes);
        let new: Vec<Option<i64>> =
            self.classes.iter().map(|class| numbers.get(class.as_str()).copied()).collect();
        let labels = self.labels.iter().map(|&label| new[label as usize]).collect::<Option<_>>()?;
        Some(Self { labels, classes, ..self.clone() })
    }

    /// How many pictures each class has.
    pub fn label_counts(&self) -> Vec<usize> {
        super::label_counts(&self.labels, self.classes.len())
    }

    /// Keeps these pictures, in the order of the files.
    fn keep(&mut self, indices: &mut [usize]) {
        indices.sort_unstable();
        self.shards = self.shards.iter().map(|&end| indices.partition_point(|&i| i < end)).collect();
        self.labels = indices.iter().map(|&i| self.labels[i]).collect();
        self.places = indices.iter().map(|&i| self.places[i].clone()).collect();
    }

    /// Remembers a folder for the files that follow.
    fn folder(&mut self, path: PathBuf) -> u32 {
        self.folders.push(path);
        self.folders.len() as u32 - 1
    }

    fn archive(&mut self, archive: Archive) -> u32 {
        self.archives.push(Arc::new(archive));
        self.archives.len() as u32 - 1
    }

    fn push_file(&mut self, folder: u32, name: &str, label: i64) {
        self.places.push(Place::File { folder, name: name.into() });
        self.labels.push(label);
    }

    /// Adds an entry of an archive.
    fn push_entry(&mut self, archive: u32, entry: &Entry, label: i64) -> Result<()> {
        let (start, size) = (entry.start, entry.size);
        ensure!(size <= image::MAX_BYTES, "`{}`: {size} bytes are too many for a picture", entry.path);
        self.places.push(Place::Entry { archive, size: size as u32, start });
        self.labels.push(label);
        Ok(())
    }
}

/// Whether a file or an entry is a picture, by its name.
pub fn is_picture(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    !base(name).starts_with('.') && EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
}

/// The last part of a path.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The names in a folder, sorted, and whether each is a folder itself; names that are no UTF-8 are left out.
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
    read().with_context(|| format!("{}: the folder cannot be read", dir.display()))
}

/// The pictures in a folder and those below it, a folder's own before those of its sub-folders, in the order of their
/// names; what is hidden is left out.
///
/// # Errors
/// A folder that cannot be read, or that is nested without end.
pub fn pictures_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut pictures = Vec::new();
    walk(dir, DEEPEST, &mut |folder, names| pictures.extend(names.iter().map(|name| folder.join(name))))?;
    Ok(pictures)
}

/// Calls `each` with every folder and its pictures.
fn walk(dir: &Path, depth: usize, each: &mut impl FnMut(&Path, &[String])) -> Result<()> {
    ensure!(depth > 0, "{}: folders are nested too deep; is there a link in a circle?", dir.display());
    let (folders, files): (Vec<_>, Vec<_>) = listing(dir)?.into_iter().partition(|(_, is_folder)| *is_folder);
    let pictures: Vec<String> =
        files.into_iter().map(|(name, _)| name).filter(|name| is_picture(name)).collect();
    each(dir, &pictures);
    let mut visible = folders.iter().filter(|(name, _)| !name.starts_with('.'));
    visible.try_for_each(|(name, _)| walk(&dir.join(name), depth - 1, each))
}

/// The place of each name in a list of classes.
fn numbered(classes: &[String]) -> HashMap<&str, i64> {
    classes.iter().map(String::as_str).zip(0..).collect()
}

/// The first of these names that is in the folder.
fn first(dir: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| dir.join(name)).find(|path| path.exists())
}

fn either(dir: &Path, names: &[&str]) -> Result<PathBuf> {
    first(dir, names)
        .with_context(|| format!("{}: there is no {}; {NAMES}", dir.display(), names.join(" and no ")))
}

/// Reads a text file that cannot be larger than `most` bytes.
fn text(path: &Path, most: u64) -> Result<String> {
    let read = || -> Result<String> {
        let size = fs::metadata(path)?.len();
        ensure!(size <= most, "{size} bytes are too many");
        let mut text = String::new();
        File::open(path)?.take(most).read_to_string(&mut text)?;
        Ok(text)
    };
    read().with_context(|| format!("{}: cannot be read", path.display()))
}

/// One class name a line from [`CLASSES`], where the folder has it; else numbers up to the largest label.
fn class_names<'a>(dir: &Path, labels: impl Iterator<Item = &'a i64>) -> Result<Vec<String>> {
    let count = labels.max().map_or(0, |largest| largest + 1);
    let path = dir.join(CLASSES);
    if !path.exists() {
        return Ok((0..count).map(|class| class.to_string()).collect());
    }
    let names: Vec<String> = text(&path, 64 << 20)?.lines().map(|line| line.trim().to_owned()).collect();
    ensure!(
        names.len() as i64 >= count,
        "{}: {} classes, and there is a label {}",
        path.display(),
        names.len(),
        count - 1
    );
    Ok(names)
}

/// A label as a text: a number from 0 on, small enough for a classifier.
fn label(text: &str) -> Option<i64> {
    text.trim().parse().ok().filter(|label| (0..10_000_000).contains(label))
}
