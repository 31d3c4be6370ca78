//! A folder with one sub-folder or one tar archive per class.

use super::archive::Archive;
use super::index::Entry;
use super::labels::numbered;
use super::listing::{MAX_DEPTH, base, either, is_hidden, listing, sort, spelled, walk};
use super::{FileSplits, ImageFiles};
use crate::data::Skipped;
use anyhow::{Result, bail, ensure};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Which classes a folder may have.
pub(super) enum Classes<'a> {
    /// Those in the folder, sorted by name; each must have an image.
    Found,
    /// These, in this order; any other is an error.
    Exactly(&'a [String]),
    /// These, in this order; others are ignored.
    Among(&'a [String]),
}

/// `DIR/train` and `DIR/val` (or `DIR/test`), as torchvision's ImageFolder numbers the classes.
pub(super) fn splits(dir: &Path) -> Result<FileSplits> {
    Ok(FileSplits { train: by_class(&dir.join("train"), Classes::Found)?, test: test(dir)? })
}

/// The test split only.
pub(super) fn test(dir: &Path) -> Result<ImageFiles> {
    by_class(&either(dir, &["val", "test"])?, Classes::Exactly(&classes(&dir.join("train"))?))
}

impl ImageFiles {
    /// The images of a folder with one sub-folder or tar archive per class; classes are numbered in the order
    /// of their names.
    ///
    /// # Errors
    /// A folder that is missing, or a class without images.
    pub fn in_classes(dir: &Path) -> Result<Self> {
        let mut files = by_class(dir, Classes::Found)?;
        files.name = dir.display().to_string();
        Ok(files)
    }
}

/// The names of the classes in a folder, sorted.
pub(super) fn classes(dir: &Path) -> Result<Vec<String>> {
    Ok(Found::in_folder(dir)?.names())
}

/// The images of a folder, or of a tar archive of tar archives, by class.
pub(super) fn by_class(path: &Path, classes: Classes) -> Result<ImageFiles> {
    let mut files = ImageFiles::default();
    let found = if path.is_dir() { Found::in_folder(path)? } else { Found::in_archive(path)? };
    let names = found.names();
    files.classes = match classes {
        Classes::Exactly(classes) | Classes::Among(classes) => classes.to_vec(),
        Classes::Found => names.clone(),
    };
    let numbers: HashMap<String, i64> =
        numbered(&files.classes).into_iter().map(|(name, number)| (name.to_owned(), number)).collect();
    if let (Classes::Exactly(_), Some(unknown)) =
        (&classes, names.iter().find(|name| !numbers.contains_key(*name)))
    {
        bail!("{}: `{unknown}` is not one of the {} classes", path.display(), files.classes.len());
    }
    match found {
        Found::Folder { classes, others } => {
            others.iter().for_each(|name| files.leave_out(|| path.join(name).display().to_string()));
            for (class, packed) in &classes {
                let Some(&number) = numbers.get(&spelled(class.as_bytes())) else { continue };
                if *packed {
                    let mut name = class.clone();
                    name.push(TAR);
                    let archive = Archive::open(&path.join(name))?;
                    let entries = archive.entries()?;
                    let archive = files.archive(archive);
                    for entry in &entries {
                        files.push_picture(archive, entry, number)?;
                    }
                } else {
                    walk(&path.join(class), MAX_DEPTH, &mut |dir, images, others| {
                        let folder = files.folder(dir.to_owned());
                        images.iter().for_each(|name| files.push_file(folder, name, number));
                        others
                            .iter()
                            .for_each(|name| files.leave_out(|| dir.join(name).display().to_string()));
                    })?;
                }
            }
        }
        Found::Archive(entries, archive) => {
            let archive = files.archive(archive);
            for entry in &entries {
                let class = entry.path.split_once(".tar/").map(|(class, _)| base(class));
                if let Some(&number) = class.and_then(|class| numbers.get(class)) {
                    files.push_picture(archive, entry, number)?;
                }
            }
        }
    }
    if let (Classes::Found, Some(empty)) =
        (&classes, files.label_counts().iter().position(|&count| count == 0))
    {
        let left_out =
            files.left_out().map_or(String::new(), |Skipped { name, reason }| format!("; {name}: {reason}"));
        bail!("{}: class `{}` has no images; remove it{left_out}", path.display(), files.classes[empty]);
    }
    ensure!(!files.is_empty(), "{}: no images in sub-folders or archives of classes", path.display());
    Ok(files)
}

const TAR: &str = ".tar";

/// The classes in a folder or an archive.
enum Found {
    /// Their names, sorted, and whether each is a tar archive; and the files beside them.
    Folder { classes: Vec<(OsString, bool)>, others: Vec<OsString> },
    /// The archive and its entries.
    Archive(Vec<Entry>, Archive),
}

impl Found {
    fn in_folder(dir: &Path) -> Result<Self> {
        let (mut classes, mut others) = (Vec::new(), Vec::new());
        for (name, is_folder) in listing(dir)?.into_iter().filter(|(name, _)| !is_hidden(name)) {
            let packed = name.as_bytes().strip_suffix(TAR.as_bytes()).map(OsStr::from_bytes);
            match (is_folder, packed) {
                (true, _) => classes.push((name, false)),
                (false, Some(class)) => classes.push((class.to_owned(), true)),
                (false, None) => others.push(name),
            }
        }
        sort(&mut classes);
        Ok(Self::Folder { classes, others })
    }

    fn in_archive(path: &Path) -> Result<Self> {
        let archive = Archive::open(path)?;
        Ok(Self::Archive(archive.entries()?, archive))
    }

    /// The names of the classes, sorted.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = match self {
            Self::Folder { classes, .. } => {
                classes.iter().map(|(name, _)| spelled(name.as_bytes())).collect()
            }
            Self::Archive(entries, _) => {
                let packed = entries.iter().filter_map(|entry| base(&entry.path).strip_suffix(TAR));
                let mut names: Vec<String> = packed.map(str::to_owned).collect();
                names.sort();
                names
            }
        };
        names.dedup();
        names
    }
}
