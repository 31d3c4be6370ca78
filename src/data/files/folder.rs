//! A folder with a class a sub-folder or a class a tar archive.

use super::archive::Archive;
use super::index::Entry;
use super::labels::numbered;
use super::listing::{MAX_DEPTH, base, either, is_picture, listing, walk};
use super::{FileSplits, ImageFiles};
use anyhow::{Result, bail, ensure};
use std::collections::HashMap;
use std::path::Path;

/// Which classes a folder may have.
pub(super) enum Classes<'a> {
    /// All that are there, sorted by name; each must have a picture.
    There,
    /// These, in this order; another one is an error.
    These(&'a [String]),
    /// Only these count, in this order; others are passed over.
    Among(&'a [String]),
}

/// `DIR/train` and `DIR/val` (or `DIR/test`), as torchvision's ImageFolder numbers the classes.
pub(super) fn splits(dir: &Path) -> Result<FileSplits> {
    Ok(FileSplits { train: by_class(&dir.join("train"), Classes::There)?, test: test(dir)? })
}

/// The test half alone.
pub(super) fn test(dir: &Path) -> Result<ImageFiles> {
    by_class(&either(dir, &["val", "test"])?, Classes::These(&classes(&dir.join("train"))?))
}

impl ImageFiles {
    /// A folder with a folder of pictures a class, or a tar archive a class, numbered by their sorted names.
    ///
    /// # Errors
    /// A folder that is missing, or a class without pictures.
    pub fn in_classes(dir: &Path) -> Result<Self> {
        let mut files = by_class(dir, Classes::There)?;
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

/// The pictures of a folder, or of a tar archive of tar archives, by class.
pub(super) fn by_class(path: &Path, classes: Classes) -> Result<ImageFiles> {
    let mut files = ImageFiles::default();
    let found = if path.is_dir() {
        Found::Folder(listing(path)?.into_iter().filter_map(class_of).collect())
    } else {
        let archive = Archive::open(path)?;
        Found::Archive(archive.entries()?, archive)
    };
    files.classes = match classes {
        Classes::These(classes) | Classes::Among(classes) => classes.to_vec(),
        Classes::There => {
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
    if let (Classes::These(_), Some(unknown)) = (&classes, numbers.iter().position(Option::is_none)) {
        let name = &found.names()[unknown];
        bail!("{}: `{name}` is none of the {} classes", path.display(), files.classes.len());
    }
    match found {
        Found::Folder(found) => {
            for ((name, packed), number) in found.iter().zip(numbers) {
                let Some(number) = number else { continue };
                if *packed {
                    let archive = Archive::open(&path.join(format!("{name}.tar")))?;
                    let entries = archive.entries()?;
                    let archive = files.archive(archive);
                    for entry in entries.iter().filter(|entry| is_picture(&entry.path)) {
                        files.push_entry(archive, entry, number)?;
                    }
                } else {
                    walk(&path.join(name), MAX_DEPTH, &mut |dir, pictures| {
                        let folder = files.folder(dir.to_owned());
                        pictures.iter().for_each(|name| files.push_file(folder, name, number));
                    })?
                }
            }
        }
        Found::Archive(entries, archive) => {
            let archive = files.archive(archive);
            let names = Found::packed(&entries);
            let numbers: HashMap<&str, Option<i64>> = names.iter().copied().zip(numbers).collect();
            for entry in entries.iter().filter(|entry| is_picture(&entry.path)) {
                let class = entry.path.split_once(".tar/").and_then(|(class, _)| numbers.get(base(class)));
                if let Some(&Some(number)) = class {
                    files.push_entry(archive, entry, number)?;
                }
            }
        }
    }
    if let (Classes::There, Some(empty)) =
        (&classes, files.label_counts().iter().position(|&count| count == 0))
    {
        bail!("{}: class `{}` has no pictures; remove it", path.display(), files.classes[empty]);
    }
    ensure!(!files.is_empty(), "{}: no pictures in classes are there", path.display());
    Ok(files)
}

/// The classes that are there.
enum Found {
    /// Names, and whether each is a tar archive.
    Folder(Vec<(String, bool)>),
    /// The archive's files, and it.
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
    /// The classes that are archives in an archive.
    fn packed(entries: &[Entry]) -> Vec<&str> {
        entries.iter().filter_map(|entry| base(&entry.path).strip_suffix(".tar")).collect()
    }
}

/// The class that something in the folder is, and whether it is packed.
fn class_of((name, is_folder): (String, bool)) -> Option<(String, bool)> {
    match is_folder {
        _ if name.starts_with('.') => None,
        true => Some((name, false)),
        false => Some((name.strip_suffix(".tar")?.to_owned(), true)),
    }
}
