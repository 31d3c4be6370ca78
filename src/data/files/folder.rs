//! A folder with a class a sub-folder or a class a tar archive.

use super::archive::Archive;
use super::{FileSplits, ImageFiles, base, either, is_picture, listing, numbered};
use anyhow::{Result, bail, ensure};
use std::path::Path;

/// No data set nests folders deeper; links that lead in circles do.
const DEEPEST: usize = 16;

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
    let train = by_class(&dir.join("train"), Classes::There)?;
    let test = by_class(&either(dir, &["val", "test"])?, Classes::These(&train.classes))?;
    Ok(FileSplits { train, test })
}

/// The pictures of a folder, or of a tar archive of tar archives, by class.
pub(super) fn by_class(path: &Path, classes: Classes) -> Result<ImageFiles> {
    let mut files = ImageFiles::default();
    let found = match path.is_dir() {
        true => Found::Folder(listing(path)?.into_iter().filter_map(class_of).collect()),
        false => {
            let archive = Archive::open(path)?;
            let inner = archive.entries()?.into_iter().filter_map(|entry| {
                let name = base(&entry.path).strip_suffix(".tar")?.to_owned();
                Some((name, entry))
            });
            Found::Archive(inner.collect(), archive)
        }
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
                match packed {
                    false => walk(&mut files, &path.join(name), number, DEEPEST)?,
                    true => {
                        let archive = Archive::open(&path.join(format!("{name}.tar")))?;
                        let entries = archive.entries()?;
                        let archive = files.archive(archive);
                        for entry in entries.iter().filter(|entry| is_picture(&entry.path)) {
                            files.push_entry(archive, entry, number)?;
                        }
                    }
                }
            }
        }
        Found::Archive(found, archive) => {
            let archive = files.archive(archive);
            for ((_, class), number) in found.iter().zip(numbers) {
                let Some(number) = number else { continue };
                let inner = files.archives[archive as usize].inner(class)?;
                for entry in inner.iter().filter(|entry| is_picture(&entry.path)) {
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
    Archive(Vec<(String, super::archive::Entry)>, Archive),
}

impl Found {
    fn names(&self) -> Vec<String> {
        match self {
            Self::Folder(found) => found.iter().map(|(name, _)| name.clone()).collect(),
            Self::Archive(found, _) => found.iter().map(|(name, _)| name.clone()).collect(),
        }
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

/// The pictures of one class at any depth, a folder's own before those of its sub-folders.
fn walk(files: &mut ImageFiles, dir: &Path, label: i64, depth: usize) -> Result<()> {
    ensure!(depth > 0, "{}: folders are nested too deep; is there a link in a circle?", dir.display());
    let names = listing(dir)?;
    let pictures = names.iter().filter(|(name, is_folder)| !is_folder && is_picture(name));
    let folder = files.folder(dir.to_owned());
    pictures.for_each(|(name, _)| files.push_file(folder, name, label));
    for (name, _) in names.iter().filter(|(_, is_folder)| *is_folder) {
        walk(files, &dir.join(name), label, depth - 1)?;
    }
    Ok(())
}
