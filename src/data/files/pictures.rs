//! Labelled image files, in folders or in archives.

use super::archive::Archive;
use super::index::Entry;
use super::labels::numbered;
use super::listing::{EXTENSIONS, NAMES, base, is_image};
use super::parquet::tables::Tables;
use crate::data::dataset::label_counts;
use crate::data::image::{self, RgbImage};
use crate::data::{Skipped, Stream};
use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

/// Shards whose images are shuffled together, so that the disk reads from few places at a time.
const MIXED_SHARDS: usize = 16;
/// Row groups of Parquet whose images are shuffled together: all of them are in memory.
const MIXED_GROUPS: usize = 4;
/// Why files of classes are left out.
const NO_PICTURE: &str = "no picture by its name";

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
    /// Files of Parquet.
    tables: Arc<Tables>,
    /// The end of each WebDataset shard, or row group of Parquet, as an index of images; empty for other data sets.
    shards: Vec<usize>,
    left_out: Option<LeftOut>,
}

/// What is no part of a data set though it lies there.
#[derive(Clone)]
struct LeftOut {
    count: usize,
    first: String,
    why: &'static str,
}

/// The location of the bytes of one image.
#[derive(Clone)]
enum Location {
    File { folder: u32, name: Box<OsStr> },
    Entry { archive: u32, size: u32, start: u64 },
    Row { table: u32, group: u32, row: u32 },
}

/// The training and test split of a data set of files.
pub struct FileSplits {
    pub train: ImageFiles,
    pub test: ImageFiles,
}

impl ImageFiles {
    /// None yet, of these classes.
    pub(super) fn of_classes(classes: &[String]) -> Self {
        Self { classes: classes.to_vec(), ..Self::default() }
    }

    pub(super) fn named(self, name: &str) -> Result<Self> {
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
    pub fn read(&self, index: usize) -> Result<Vec<u8>> {
        match &self.locations[index] {
            Location::File { folder, name } => {
                image::read_file(&self.folders[*folder as usize].join(&**name))
            }
            Location::Entry { archive, size, start } => {
                self.archives[*archive as usize].bytes(*start, u64::from(*size))
            }
            Location::Row { table, group, row } => self.tables.picture(*table, *group, *row),
        }
    }

    /// The name of an image in messages: its path, or the archive and the entry.
    pub fn title(&self, index: usize) -> String {
        match &self.locations[index] {
            Location::File { folder, name } => {
                self.folders[*folder as usize].join(&**name).display().to_string()
            }
            Location::Entry { archive, start, .. } => self.title_at(*archive, *start),
            Location::Row { table, group, row } => self.tables.title(*table, *group, *row),
        }
    }

    /// The name of what begins there in an archive.
    pub(super) fn title_at(&self, archive: u32, start: u64) -> String {
        self.archives[archive as usize].title(start)
    }

    /// The name of an image that is a file of its own, as the folder or the list has it.
    pub(super) fn file_name(&self, index: usize) -> Option<&OsStr> {
        match &self.locations[index] {
            Location::File { name, .. } => Some(name),
            Location::Entry { .. } | Location::Row { .. } => None,
        }
    }

    /// The indices of images whose files do not exist.
    pub(super) fn missing(&self) -> Vec<usize> {
        let is_missing = |location: &Location| match location {
            Location::File { folder, name } => !self.folders[*folder as usize].join(&**name).exists(),
            Location::Entry { .. } | Location::Row { .. } => false,
        };
        (0..self.len()).filter(|&index| is_missing(&self.locations[index])).collect()
    }

    /// The indices in the order of one epoch, decided by (seed, epoch).
    ///
    /// The images of a WebDataset are shuffled within groups of [`MIXED_SHARDS`] random shards, those of Parquet within
    /// [`MIXED_GROUPS`] row groups, so that the disk reads from few places at a time.
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
        let mixed = if self.tables.is_empty() { MIXED_SHARDS } else { MIXED_GROUPS };
        for together in shards.chunks(mixed) {
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
        label_counts(&self.labels, self.classes.len())
    }

    /// Keeps the images at these indices, in ascending order.
    pub(in crate::data) fn keep(&mut self, indices: &mut [usize]) {
        indices.sort_unstable();
        self.shards = self.shards.iter().map(|&end| indices.partition_point(|&i| i < end)).collect();
        self.labels = indices.iter().map(|&i| self.labels[i]).collect();
        self.locations = indices.iter().map(|&i| self.locations[i].clone()).collect();
    }

    /// What is left out: files of classes whose names are not those of pictures, or rows that are not of the two splits. The
    /// first of them, and how many there are.
    pub fn left_out(&self) -> Option<Skipped> {
        let LeftOut { count, first, why } = self.left_out.as_ref()?;
        let others = if *count > 1 { format!(", and {} others", count - 1) } else { String::new() };
        let known = if *why == NO_PICTURE {
            format!("; those of pictures end in {}", EXTENSIONS.join(", "))
        } else {
            String::new()
        };
        Some(Skipped { name: first.clone(), reason: format!("{why}{others}{known}") })
    }

    /// Notes a file that is left out since its name is not that of a picture.
    pub(super) fn leave_out(&mut self, name: impl FnOnce() -> String) {
        let first = || LeftOut { count: 0, first: name(), why: NO_PICTURE };
        self.left_out.get_or_insert_with(first).count += 1;
    }

    /// Notes so many things that are left out.
    pub(super) fn set_aside(&mut self, count: usize, first: String, why: &'static str) {
        self.left_out = Some(LeftOut { count, first, why });
    }

    /// Adds a folder and returns its index, for [`Self::push_file`].
    pub(super) fn folder(&mut self, path: PathBuf) -> u32 {
        self.folders.push(path);
        self.folders.len() as u32 - 1
    }

    /// Adds an archive and returns its index, for [`Self::push_entry`].
    pub(super) fn archive(&mut self, archive: Archive) -> u32 {
        self.archives.push(Arc::new(archive));
        self.archives.len() as u32 - 1
    }

    /// Files of Parquet, for [`Self::push_row`].
    pub(super) fn set_tables(&mut self, tables: Tables) {
        self.tables = Arc::new(tables);
    }

    pub(super) fn push_row(&mut self, [table, group, row]: [u32; 3], label: i64) {
        self.locations.push(Location::Row { table, group, row });
        self.labels.push(label);
    }

    /// Ends a shard with the images added last.
    pub(super) fn end_shard(&mut self) {
        self.shards.push(self.len());
    }

    pub(super) fn push_file(&mut self, folder: u32, name: &OsStr, label: i64) {
        self.locations.push(Location::File { folder, name: name.into() });
        self.labels.push(label);
    }

    /// Adds an entry if its name is that of a picture, else leaves it out; archives and hidden files are passed over.
    pub(super) fn push_picture(&mut self, archive: u32, entry: &Entry, label: i64) -> Result<()> {
        if is_image(&entry.path) {
            return self.push_entry(archive, entry, label);
        }
        if !base(&entry.path).starts_with('.') && !entry.path.ends_with(".tar") {
            self.leave_out(|| entry.path.clone());
        }
        Ok(())
    }

    pub(super) fn push_entry(&mut self, archive: u32, entry: &Entry, label: i64) -> Result<()> {
        let (start, size) = (entry.start, entry.size);
        ensure!(size <= image::MAX_BYTES, "`{}`: {size} bytes are too many for an image", entry.path);
        self.locations.push(Location::Entry { archive, size: size as u32, start });
        self.labels.push(label);
        Ok(())
    }
}
