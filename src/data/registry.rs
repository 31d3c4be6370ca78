//! The data sets known by name.

use super::cifar::{self, CIFAR10, CIFAR100};
use super::{Corpus, Dataset, Splits, corpus, files, idx};
use crate::Usage;
use crate::names::did_you_mean;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// A data set that can be fetched and read by name.
pub struct Known {
    pub name: &'static str,
    pub about: &'static str,
    /// Channels, height, width.
    pub shape: [i64; 3],
    pub classes: i64,
    pub train: usize,
    pub test: usize,
    /// The published files, stored in the folder `name` below the root.
    pub files: &'static [KnownFile],
    /// Base URLs in order of preference; the file's name is appended.
    #[cfg_attr(not(feature = "hub"), expect(dead_code))]
    pub(super) urls: &'static [&'static str],
    /// A Debian package with the files, and the folder that it installs them in.
    #[cfg_attr(not(feature = "hub"), expect(dead_code))]
    pub(super) debian: Option<(&'static str, &'static str)>,
    pub(super) format: Format,
}

/// One file and its checksum.
pub struct KnownFile {
    pub name: &'static str,
    pub checksum: Checksum,
}

/// A published checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Of the decompressed content, which does not depend on the compressor.
    Sha256OfContent(&'static str),
    /// Of the file as published by its authors.
    Md5(&'static str),
}

#[derive(Clone, Copy)]
pub(super) enum Format {
    Idx(&'static [&'static str]),
    Cifar(&'static cifar::Version),
}

const fn sha256(name: &'static str, sum: &'static str) -> KnownFile {
    KnownFile { name, checksum: Checksum::Sha256OfContent(sum) }
}

const fn md5(name: &'static str, sum: &'static str) -> KnownFile {
    KnownFile { name, checksum: Checksum::Md5(sum) }
}

const FASHION: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

const KNOWN: [Known; 5] = [
    Known {
        name: "fashion-mnist",
        about: "Clothes in Zalando's catalogue (1708.07747)",
        shape: [1, 28, 28],
        classes: 10,
        train: 60_000,
        test: 10_000,
        files: &[
            sha256(
                "train-images-idx3-ubyte.gz",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            sha256(
                "train-labels-idx1-ubyte.gz",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            sha256(
                "t10k-images-idx3-ubyte.gz",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            sha256(
                "t10k-labels-idx1-ubyte.gz",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ],
        urls: &[
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ],
        debian: Some(("dataset-fashion-mnist", "/usr/share/datasets/fashion-mnist")),
        format: Format::Idx(&FASHION),
    },
    Known {
        name: "mnist",
        about: "Handwritten digits (LeCun, Cortes, Burges)",
        shape: [1, 28, 28],
        classes: 10,
        train: 60_000,
        test: 10_000,
        files: &[
            md5("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            md5("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
            md5("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
            md5("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
        ],
        urls: &["https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"],
        debian: None,
        format: Format::Idx(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]),
    },
    Known {
        name: "kmnist",
        about: "Cursive Japanese characters (1812.01718)",
        shape: [1, 28, 28],
        classes: 10,
        train: 60_000,
        test: 10_000,
        files: &[
            md5("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
            md5("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
            md5("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
            md5("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
        ],
        urls: &["http://codh.rois.ac.jp/kmnist/dataset/kmnist/"],
        debian: None,
        format: Format::Idx(&["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]),
    },
    Known {
        name: "cifar10",
        about: "Tiny photographs of 10 things (Krizhevsky 2009)",
        shape: [3, 32, 32],
        classes: 10,
        train: 50_000,
        test: 10_000,
        files: &[md5("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530")],
        urls: &["https://www.cs.toronto.edu/~kriz/"],
        debian: None,
        format: Format::Cifar(&CIFAR10),
    },
    Known {
        name: "cifar100",
        about: "Tiny photographs of 100 things, fine labels (Krizhevsky 2009)",
        shape: [3, 32, 32],
        classes: 100,
        train: 50_000,
        test: 10_000,
        files: &[md5("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8")],
        urls: &["https://www.cs.toronto.edu/~kriz/"],
        debian: None,
        format: Format::Cifar(&CIFAR100),
    },
];

/// All known data sets.
pub fn known() -> &'static [Known] {
    &KNOWN
}

/// The known data set with this name.
///
/// # Errors
/// An unknown name ([`Usage`]); the message has those that are close.
pub(super) fn find(name: &str) -> Result<&'static Known> {
    let Some(found) = KNOWN.iter().find(|known| known.name == name) else {
        let names =
            KNOWN.iter().map(|known| known.name).chain(files::imagenet().iter().map(|known| known.name));
        if Path::new(name).is_dir() {
            bail!(Usage(format!("`{name}` is a folder, not the name of a data set; write `folder:{name}`")));
        }
        if let Some(message) = not_fetched(name) {
            bail!(Usage(message));
        }
        let all = format!("`tchvision data list` has them all; of your own, {}", files::NAMES);
        bail!(Usage(format!("unknown data set `{name}`; {}", did_you_mean(name, names, &all))));
    };
    Ok(found)
}

/// What is known of a data set that nobody can fetch by its name: what it is, who may have it, and how a copy is opened.
fn not_fetched(name: &str) -> Option<String> {
    if let Some(known) = files::imagenet().iter().find(|known| known.name == name) {
        let Corpus { title, obtained, access, .. } = corpus(name).or_else(|_| corpus(known.folder)).ok()?;
        let (access, folder) = (access.name(), known.folder);
        return Some(format!(
            "`{name}` is not fetched; {title} is {access}: {obtained}. A copy is read as downloaded, from the folder \
             `{folder}` of the data sets ($TCHVISION_DATA, else `datasets`), or from `--root` itself; look at it with \
             `tchvision data inspect {name}`, and write `dataset: {name}` in a run"
        ));
    }
    let corpus = corpus(name).ok()?;
    let Corpus { name: own, title, about, access, obtained, .. } = corpus;
    if files::imagenet().iter().any(|known| known.name == own) {
        return None;
    }
    Some(format!(
        "`{name}` is not fetched: {title} is {access}. {about}. {obtained}. A copy that you have is opened by its layout: \
         {names}. What was trained on it: `tchvision weights list --data {own}`",
        access = access.name(),
        about = about.trim_end_matches('.'),
        names = files::NAMES,
    ))
}

/// The folder of the data sets: `$TCHVISION_DATA`, else `datasets` in the current folder.
pub fn root() -> PathBuf {
    std::env::var_os("TCHVISION_DATA").map_or_else(|| PathBuf::from("datasets"), PathBuf::from)
}

/// Reads the training and test split of a data set: a known name below `root`, or `idx:DIR`.
///
/// # Errors
/// An unknown name, or files that are missing or damaged; the message says how to get them.
pub fn load(name: &str, root: &Path) -> Result<Splits> {
    let idx = |name: &str, folder: &Path, classes: &[&str]| {
        let split =
            |prefix| idx::read(name, folder, prefix, classes.iter().map(ToString::to_string).collect());
        let (train, mut test) = (split("train")?, split("t10k")?);
        // Without class names, one split may lack the last classes of the other.
        let classes =
            if train.classes.len() >= test.classes.len() { &train.classes } else { &test.classes }.clone();
        test.classes.clone_from(&classes);
        anyhow::Ok(Splits { train: Dataset { classes, ..train }, test })
    };
    if let Some(folder) = name.strip_prefix("idx:") {
        return idx(name, Path::new(folder), &[]);
    }
    let known = find(name)?;
    let folder = root.join(known.name);
    match &known.format {
        Format::Idx(classes) => idx(name, &folder, classes),
        Format::Cifar(version) => cifar::read(version, &folder),
    }
}

/// Channels, height and width of a data set's images, and its number of classes. Only `idx:DIR` is read.
///
/// # Errors
/// As [`load`].
pub fn shape(name: &str, root: &Path) -> Result<([i64; 3], i64)> {
    if name.starts_with("idx:") {
        let train = load(name, root)?.train;
        let images = &train.images;
        let shape = [images.channels, images.height, images.width].map(|n| n as i64);
        return Ok((shape, train.classes.len() as i64));
    }
    find(name).map(|known| (known.shape, known.classes))
}
