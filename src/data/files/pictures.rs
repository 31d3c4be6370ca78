//! Labelled pictures as files hold them, in folders or in archives.

use super::archive::Archive;
use super::index::Entry;
use super::labels::numbered;
use super::listing::NAMES;
use crate::data::Stream;
use crate::data::dataset::label_counts;
use crate::data::image::{self, RgbImage};
use anyhow::{Context, Result, ensure};
use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

/// A larger file is no picture.
const MAX_BYTES: u64 = 256 << 20;
/// Shards whose pictures mix in one epoch: the disk reads from these alone at a time.
const MIXED_SHARDS: usize = 16;

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

impl ImageFiles {
    pub(super) fn named(self, name: &str) -> Result<Self> {
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
    pub fn read(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        match &self.places[index] {
            Place::File { folder, name } => {
                let file = File::open(self.folders[*folder as usize].join(&**name))?;
                let size = file.metadata()?.len();
                ensure!(size <= MAX_BYTES, "{size} bytes are too many for a picture");
                let mut bytes = Vec::with_capacity(size as usize + 1);
                file.take(MAX_BYTES).read_to_end(&mut bytes)?;
                Ok(bytes.into())
            }
            Place::Entry { archive, size, start } => {
                Ok(self.archives[*archive as usize].bytes(*start, u64::from(*size))?.into())
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
        label_counts(&self.labels, self.classes.len())
    }

    /// Keeps these pictures, in the order of the files.
    pub(super) fn keep(&mut self, indices: &mut [usize]) {
        indices.sort_unstable();
        self.shards = self.shards.iter().map(|&end| indices.partition_point(|&i| i < end)).collect();
        self.labels = indices.iter().map(|&i| self.labels[i]).collect();
        self.places = indices.iter().map(|&i| self.places[i].clone()).collect();
    }

    /// Remembers a folder for the files that follow.
    pub(super) fn folder(&mut self, path: PathBuf) -> u32 {
        self.folders.push(path);
        self.folders.len() as u32 - 1
    }

    pub(super) fn archive(&mut self, archive: Archive) -> u32 {
        self.archives.push(Arc::new(archive));
        self.archives.len() as u32 - 1
    }

    /// The pictures since the last shard are one of their own.
    pub(super) fn end_shard(&mut self) {
        self.shards.push(self.len());
    }

    pub(super) fn push_file(&mut self, folder: u32, name: &str, label: i64) {
        self.places.push(Place::File { folder, name: name.into() });
        self.labels.push(label);
    }

    /// Adds an entry of an archive.
    pub(super) fn push_entry(&mut self, archive: u32, entry: &Entry, label: i64) -> Result<()> {
        let (start, size) = (entry.start, entry.size);
        ensure!(size <= MAX_BYTES, "`{}`: {size} bytes are too many for a picture", entry.path);
        self.places.push(Place::Entry { archive, size: size as u32, start });
        self.labels.push(label);
        Ok(())
    }
}
