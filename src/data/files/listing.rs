//! The contents of folders: images by their extension, files by name, and text files of bounded size.

use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Extensions of image files, in lower or upper case.
const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "bmp", "gif"];
/// Upper bound on nested folders, against cycles of links.
pub(super) const MAX_DEPTH: usize = 16;

/// The syntax of names of data sets of files, for messages.
pub(in crate::data) const NAMES: &str = "`folder:DIR` reads DIR/train and DIR/val with a sub-folder per class, \
     `list:DIR` DIR/train.txt and DIR/val.txt with lines `path label`, `webdataset:DIR` tar shards below DIR";

/// Whether a file or an entry is an image, judging by its name.
pub(super) fn is_image(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    !base(name).starts_with('.') && EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
}

/// The last component of a path.
pub(super) fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The names in a folder, sorted, and whether each is a folder; names that are not UTF-8 are ignored.
pub(super) fn listing(dir: &Path) -> Result<Vec<(String, bool)>> {
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
    read().with_context(|| format!("{}: cannot be read as a folder", dir.display()))
}

/// The images in a folder and its sub-folders, in the order of their names; a folder's own images come before
/// those of its sub-folders, and hidden files are ignored.
///
/// # Errors
/// A folder that cannot be read, or a cycle of links.
pub fn pictures_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut images = Vec::new();
    walk(dir, MAX_DEPTH, &mut |folder, names| images.extend(names.iter().map(|name| folder.join(name))))?;
    Ok(images)
}

/// Calls `each` with every folder and the names of its images.
pub(super) fn walk(dir: &Path, depth: usize, each: &mut impl FnMut(&Path, &[String])) -> Result<()> {
    ensure!(depth > 0, "{}: folders are nested too deep; is there a cycle of links?", dir.display());
    let (folders, files): (Vec<_>, Vec<_>) = listing(dir)?.into_iter().partition(|(_, is_folder)| *is_folder);
    let images: Vec<String> = files.into_iter().map(|(name, _)| name).filter(|name| is_image(name)).collect();
    each(dir, &images);
    let mut visible = folders.iter().filter(|(name, _)| !name.starts_with('.'));
    visible.try_for_each(|(name, _)| walk(&dir.join(name), depth - 1, each))
}

/// The path of the first of these names that exists in the folder.
pub(super) fn first(dir: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| dir.join(name)).find(|path| path.exists())
}

/// Like [`first`], but it is an error if none exists.
pub(super) fn either(dir: &Path, names: &[&str]) -> Result<PathBuf> {
    first(dir, names)
        .with_context(|| format!("{}: has neither {}; {NAMES}", dir.display(), names.join(" nor ")))
}

/// Reads a text file of at most `max` bytes.
pub(super) fn text(path: &Path, max: u64) -> Result<String> {
    let read = || -> Result<String> {
        let size = fs::metadata(path)?.len();
        ensure!(size <= max, "{size} bytes are too many");
        let mut text = String::new();
        File::open(path)?.take(max).read_to_string(&mut text)?;
        Ok(text)
    };
    read().with_context(|| format!("{}: cannot be read", path.display()))
}
