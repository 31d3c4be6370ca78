//! ImageNet as downloaded: folders or tar archives of synsets; validation images with the devkit's labels.
//!
//! The hierarchy of synsets is ignored: each synset is a class of its own.

use super::archive::Archive;
use super::folder::{Classes, by_class};
use super::listing::{either, first, is_image, listing, spelled};
use super::{FileSplits, ImageFiles, devkit};
use crate::data::Stream;
use anyhow::{Context, Result, ensure};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// All synsets, sorted, with a letter for each list that contains them; written by `weights/make_synsets.py`.
const SYNSETS: &str = include_str!("../../../weights/synsets.txt");
/// Without a validation split, one of this many images is held out for testing.
const HELD_OUT: u64 = 100;

/// A version of ImageNet: the data set with one list of classes.
pub struct ImageNet {
    pub name: &'static str,
    pub about: &'static str,
    pub classes: i64,
    /// The letter of the list in [`SYNSETS`]; `None` for Microsoft's, which is made of two others.
    list: Option<char>,
    /// The folder below the root.
    pub(in crate::data) folder: &'static str,
}

const fn imagenet_21k(name: &'static str, classes: i64, list: Option<char>, about: &'static str) -> ImageNet {
    ImageNet { name, about, classes, list, folder: "imagenet-21k" }
}

const KNOWN: [ImageNet; 7] = [
    ImageNet {
        name: "imagenet-1k",
        about: "ILSVRC 2012 (1409.0575): `train` and `val`, or the archives as downloaded with the devkit",
        classes: 1000,
        list: Some('k'),
        folder: "imagenet-1k",
    },
    imagenet_21k("imagenet-21k", 21_841, Some('f'), "Synsets of fall 2011, sorted"),
    imagenet_21k("imagenet-21k-goog", 21_843, Some('g'), "Classes of Google's heads (BiT, AugReg)"),
    imagenet_21k("imagenet-21k-p", 11_221, Some('p'), "Classes with enough images (2104.10972)"),
    imagenet_21k("imagenet-21k-p-winter21", 10_450, Some('w'), "The same from the winter 2021 release"),
    imagenet_21k("imagenet-22k-ms", 21_842, None, "Classes of Microsoft's heads (Swin): ImageNet-1k first"),
    imagenet_21k("imagenet-12k", 11_821, Some('t'), "timm's selection of synsets"),
];

/// The versions of ImageNet known by name.
pub fn imagenet() -> &'static [ImageNet] {
    &KNOWN
}

impl ImageNet {
    /// The synsets of the classes, in the order of the logits of public weights.
    pub fn synsets(&self) -> Vec<String> {
        let rows = || SYNSETS.lines().filter_map(|line| line.split_once(' '));
        let names = |wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
            rows().filter(|(_, lists)| wanted(lists)).map(|(name, _)| name.to_owned()).collect()
        };
        match self.list {
            Some(list) => names(&|lists| lists.contains(list)),
            None => {
                let mut all = names(&|lists| lists.contains('k'));
                all.extend(names(&|lists| lists.contains('f') && !lists.contains('k')));
                all
            }
        }
    }

    /// The files in the data set's folder below `root`, or in `root` itself if that folder does not exist.
    pub(super) fn splits(&self, root: &Path) -> Result<FileSplits> {
        self.opened(root, |dir, synsets| match self.list {
            Some('k') => Ok(FileSplits { train: train_1k(dir, synsets)?, test: val_1k(dir, synsets)? }),
            _ => subset(dir, synsets),
        })
    }

    /// The test split; the training split is read only if the test images are held out of it.
    pub(super) fn test(&self, root: &Path) -> Result<ImageFiles> {
        self.opened(root, |dir, synsets| match (self.list, first(dir, &VAL_21K)) {
            (Some('k'), _) => val_1k(dir, synsets),
            (_, Some(val)) => by_class(&val, Classes::Among(synsets)),
            (_, None) => Ok(subset(dir, synsets)?.test),
        })
    }

    fn opened<T>(&self, root: &Path, open: impl FnOnce(&Path, &[String]) -> Result<T>) -> Result<T> {
        let folder = root.join(self.folder);
        let dir = if folder.exists() { folder } else { root.to_owned() };
        open(&dir, &self.synsets()).with_context(|| {
            format!("{}: {}; request it at image-net.org and use it as downloaded", self.name, self.about)
        })
    }
}

/// Possible names of the validation split of ImageNet-21k.
const VAL_21K: [&str; 2] = ["val", "imagenet21k_val"];

fn train_1k(dir: &Path, synsets: &[String]) -> Result<ImageFiles> {
    let train = either(dir, &["train", "ILSVRC2012_img_train.tar", "ILSVRC2012_img_train"])?;
    by_class(&train, Classes::Exactly(synsets))
}

fn val_1k(dir: &Path, synsets: &[String]) -> Result<ImageFiles> {
    let val = either(dir, &["val", "ILSVRC2012_img_val.tar", "ILSVRC2012_img_val"])?;
    if val.is_dir() && listing(&val)?.iter().any(|(_, is_folder)| *is_folder) {
        by_class(&val, Classes::Exactly(synsets))
    } else {
        numbered_images(&val, synsets, &devkit::validation_labels(dir, synsets)?)
    }
}

/// `ILSVRC2012_val_00000001.JPEG` and so on, in a folder or an archive.
fn numbered_images(val: &Path, synsets: &[String], labels: &[i64]) -> Result<ImageFiles> {
    let label = |name: &str| -> Result<i64> {
        let number = name.rsplit_once('.').and_then(|(stem, _)| stem.rsplit_once('_'));
        let number = number.and_then(|(_, digits)| digits.parse::<usize>().ok());
        let label = number.and_then(|number| labels.get(number.checked_sub(1)?)).copied();
        label.with_context(|| format!("{}: `{name}` has no label in the devkit", val.display()))
    };
    let mut files = ImageFiles::default();
    files.classes = synsets.to_vec();
    if val.is_dir() {
        let folder = files.folder(val.to_owned());
        for (name, _) in listing(val)?.iter().filter(|(name, _)| is_image(name.as_bytes())) {
            files.push_file(folder, name, label(&spelled(name.as_bytes()))?);
        }
    } else {
        let archive = Archive::open(val)?;
        let entries = archive.entries()?;
        let archive = files.archive(archive);
        for entry in entries.iter().filter(|entry| is_image(&entry.path)) {
            files.push_entry(archive, entry, label(&entry.path)?)?;
        }
    }
    Ok(files)
}

/// The images of these synsets; others are ignored.
fn subset(dir: &Path, synsets: &[String]) -> Result<FileSplits> {
    let whole = first(dir, &["train", "imagenet21k_train", "fall11_whole.tar", "winter21_whole.tar"]);
    let train = by_class(whole.as_deref().unwrap_or(dir), Classes::Among(synsets))?;
    if let Some(val) = first(dir, &VAL_21K) {
        return Ok(FileSplits { train, test: by_class(&val, Classes::Among(synsets))? });
    }
    let held_out = |i: &usize| Stream::new(0, "hold out", 0, *i as u64).below(HELD_OUT) == 0;
    let (mut test, mut rest): (Vec<usize>, Vec<usize>) = (0..train.len()).partition(held_out);
    ensure!(!test.is_empty(), "{}: too few images to hold some out for testing", dir.display());
    let (mut train, mut split) = (train.clone(), train);
    train.keep(&mut rest);
    split.keep(&mut test);
    Ok(FileSplits { train, test: split })
}
