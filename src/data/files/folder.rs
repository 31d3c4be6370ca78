//! A folder with one sub-folder or one tar archive per class.

use super::archive::Archive;
use super::index::Entry;
use super::labels::numbered;
use super::listing::{MAX_DEPTH, base, either, is_image, listing, walk};
use super::{FileSplits, ImageFiles};
use anyhow::{Result, bail, ensure};
use std::collections::HashMap;
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
    let mut names: Vec<String> =
        listing(dir)?.into_iter().filter_map(class_of).map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// The images of a folder, or of a tar archive of tar archives, by class.
pub(super) fn by_class(path: &Path, classes: Classes) -> Result<ImageFiles> {
    let mut files = ImageFiles::default();
    let found = if path.is_dir() {
        Found::Folder(listing(path)?.into_iter().filter_map(class_of).collect())
    } else {
        let archive = Archive::open(path)?;
        Found::Archive(archive.entries()?, archive)
    };
    files.classes = match classes {
        Classes::Exactly(classes) | Classes::Among(classes) => classes.to_vec(),
        Classes::Found => {
            let mut names = found.names();
            names.sort();
            names.dedup();
            names
        }
    };
    let numbers: Vec<Option<i64>> = {
        let numbers = numbered(&files.classes);
        found.names().iter().map(|name| numbers.get(name.as_str()).copied()).collect()
    };
    if let (Classes::Exactly(_), Some(unknown)) = (&classes, numbers.iter().position(Option::is_none)) {
        let name = &found.names()[unknown];
        bail!("{}: `{name}` is not one of the {} classes", path.display(), files.classes.len());
    }
    match found {
        Found::Folder(found) => {
            for ((name, packed), number) in found.iter().zip(numbers) {
                let Some(number) = number else { continue };
                if *packed {
                    let archive = Archive::open(&path.join(format!("{name}.tar")))?;
                    let entries = archive.entries()?;
                    let archive = files.archive(archive);
                    for entry in entries.iter().filter(|entry| is_image(&entry.path)) {
                        files.push_entry(archive, entry, number)?;
                    }
                } else {
                    walk(&path.join(name), MAX_DEPTH, &mut |dir, images| {
                        let folder = files.folder(dir.to_owned());
                        images.iter().for_each(|name| files.push_file(folder, name, number));
                    })?;
                }
            }
        }
        Found::Archive(entries, archive) => {
            let archive = files.archive(archive);
            let names = Found::packed(&entries);
            let numbers: HashMap<&str, Option<i64>> = names.iter().copied().zip(numbers).collect();
            for entry in entries.iter().filter(|entry| is_image(&entry.path)) {
                let class = entry.path.split_once(".tar/").and_then(|(class, _)| numbers.get(base(class)));
                if let Some(&Some(number)) = class {
                    files.push_entry(archive, entry, number)?;
                }
            }
        }
    }
    if let (Classes::Found, Some(empty)) =
        (&classes, files.label_counts().iter().position(|&count| count == 0))
    {
        bail!("{}: class `{}` has no images; remove it", path.display(), files.classes[empty]);
    }
    ensure!(!files.is_empty(), "{}: no images in sub-folders or archives of classes", path.display());
    Ok(files)
}

/// The classes in a folder or an archive.
enum Found {
    /// Names, and whether each is a tar archive.
    Folder(Vec<(String, bool)>),
    /// The archive and its entries.
    Archive(Vec<Entry>, Archive),
}

impl Found {
    fn names(&self) -> Vec<String> {
        match self {
            Self::Folder(found) => found.iter().map(|(name, _)| name.clone()).collect(),
            Self::Archive(entries, _) => Self::packed(entries).into_iter().map(str::to_owned).collect(),
        }
    }
}

impl Found {
    /// The classes that are tar archives in an archive.
    fn packed(entries: &[Entry]) -> Vec<&str> {
        entries.iter().filter_map(|entry| base(&entry.path).strip_suffix(".tar")).collect()
    }
}

/// The class of a folder's item, and whether it is a tar archive; `None` for other files and hidden items.
fn class_of((name, is_folder): (String, bool)) -> Option<(String, bool)> {
    if name.starts_with('.') {
        None
    } else if is_folder {
        Some((name, false))
    } else {
        Some((name.strip_suffix(".tar")?.to_owned(), true))
    }
}
