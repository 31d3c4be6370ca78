//! What an evaluation looks at, batch by batch.

use super::Protocol;
use crate::data::image::{self, RgbImage};
use crate::data::{Dataset, ImageFiles, Loader, Preprocess, Skipped, TestSet, prepare};
use crate::{brief, machine};
use anyhow::Result;
use std::ops::ControlFlow;
use std::path::PathBuf;
use tch::Tensor;

/// Where an evaluation takes its pictures from.
pub trait Source {
    /// Hands every batch to `each`, in order, until it breaks off; meanwhile the next one is made.
    ///
    /// # Errors
    /// Those of `each`, and data with which it makes no sense to go on.
    fn batches(&self, each: &mut dyn FnMut(Batch) -> Result<ControlFlow<()>>) -> Result<()>;
}

/// Pictures that go through the network together.
pub struct Batch {
    pub input: Input,
    /// One a picture (N), int64.
    pub labels: Tensor,
    /// The place of each picture in the source.
    pub places: Vec<usize>,
    /// Pictures that cannot be read and are missing here.
    pub skipped: Vec<Skipped>,
}

/// What a network sees of the pictures of a batch.
pub enum Input {
    /// uint8 (N, C, H, W): each as it is.
    Images(Tensor),
    /// For each preprocess of the source, the views of each picture by a [`Protocol`].
    Views(Vec<Vec<Vec<RgbImage>>>),
}

/// The images of a data set in its order, each as the loader makes it.
impl Source for Loader {
    fn batches(&self, each: &mut dyn FnMut(Batch) -> Result<ControlFlow<()>>) -> Result<()> {
        let mut places = 0..;
        for batch in self.epoch(0, 0) {
            let crate::data::Batch { images, labels, skipped, .. } = batch?;
            // Behind images that cannot be read the places are those among the rest.
            let places = places.by_ref().take(labels.numel()).collect();
            if each(Batch { input: Input::Images(images), labels, places, skipped })?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Pictures of any size that are read one by one, on several threads.
pub trait ReadPictures: Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// One of them.
    ///
    /// # Errors
    /// A picture that cannot be read; the message need not name it.
    fn decode(&self, index: usize) -> Result<RgbImage>;

    /// What it is called in messages.
    fn title(&self, index: usize) -> String;
}

impl ReadPictures for ImageFiles {
    fn count(&self) -> usize {
        self.len()
    }

    fn decode(&self, index: usize) -> Result<RgbImage> {
        image::decode(&self.read(index)?)
    }

    fn title(&self, index: usize) -> String {
        ImageFiles::title(self, index)
    }
}

/// The images as pictures, grey ones with three channels that are the same.
impl ReadPictures for Dataset {
    fn count(&self) -> usize {
        self.images.count
    }

    fn decode(&self, index: usize) -> Result<RgbImage> {
        RgbImage::from_planes(self.images.width, self.images.height, self.images.get(index))
    }

    fn title(&self, index: usize) -> String {
        format!("{}: image {index}", self.name)
    }
}

impl ReadPictures for TestSet {
    fn count(&self) -> usize {
        match self {
            Self::Files(files) => files.count(),
            Self::Images(images, _) => images.count(),
        }
    }

    fn decode(&self, index: usize) -> Result<RgbImage> {
        match self {
            Self::Files(files) => files.decode(index),
            Self::Images(images, _) => images.decode(index),
        }
    }

    fn title(&self, index: usize) -> String {
        match self {
            Self::Files(files) => ReadPictures::title(files, index),
            Self::Images(images, _) => images.title(index),
        }
    }
}

impl ReadPictures for Vec<PathBuf> {
    fn count(&self) -> usize {
        self.len()
    }

    fn decode(&self, index: usize) -> Result<RgbImage> {
        image::decode(&image::read_file(&self[index])?)
    }

    fn title(&self, index: usize) -> String {
        self[index].display().to_string()
    }
}

/// Pictures of any size by the views of a protocol.
pub struct Views<'a> {
    pub pictures: &'a dyn ReadPictures,
    /// Each one's label; its place, where it has none.
    pub label: &'a dyn Fn(usize) -> i64,
    /// How pictures become views: one way, or one for each network that has its own.
    pub ways: &'a [Preprocess],
    pub protocol: &'a Protocol,
    /// Views that go through the network together, about; those of one picture always do.
    pub batch_size: usize,
}

impl Source for Views<'_> {
    fn batches(&self, each: &mut dyn FnMut(Batch) -> Result<ControlFlow<()>>) -> Result<()> {
        let Self { pictures, label, ways, protocol, batch_size } = *self;
        let views = |&index: &usize| {
            let views = pictures
                .decode(index)
                .and_then(|picture| ways.iter().map(|way| protocol.views(way, &picture)).collect());
            views.map_err(|error| Skipped { name: pictures.title(index), reason: brief(&error) })
        };
        let all: Vec<usize> = (0..pictures.count()).collect();
        prepare(&all, batch_size / protocol.count(), machine::cores(), views, |indices, prepared| {
            let mut read = vec![Vec::new(); ways.len()];
            let (mut labels, mut places, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
            for (&index, views) in indices.iter().zip(prepared) {
                let views: Vec<Vec<RgbImage>> = match views {
                    Ok(views) => views,
                    Err(picture) => {
                        skipped.push(picture);
                        continue;
                    }
                };
                read.iter_mut().zip(views).for_each(|(way, views)| way.push(views));
                labels.push(label(index));
                places.push(index);
            }
            each(Batch { input: Input::Views(read), labels: Tensor::f_from_slice(&labels)?, places, skipped })
        })
    }
}
