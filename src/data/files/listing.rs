//! What is in a folder: pictures by their names, files by name, and texts of bounded size.

use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What file names of pictures end in, in capitals or not.
const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "bmp", "gif"];
/// No data set nests folders deeper; links that lead in circles do.
pub(super) const MAX_DEPTH: usize = 16;

/// What names of data sets of files look like, for messages.
pub(in crate::data) const NAMES: &str = "`folder:DIR` reads DIR/train and DIR/val with a sub-folder a class, `list:DIR` \
     DIR/train.txt and DIR/val.txt with lines `path label`, `webdataset:DIR` tar shards below DIR";

/// Whether a file or an entry is a picture, by its name.
pub fn is_picture(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    !base(name).starts_with('.') && EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
}

/// The last part of a path.
pub(super) fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The names in a folder, sorted, and whether each is a folder itself; names that are no UTF-8 are left out.
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
    read().with_context(|| format!("{}: the folder cannot be read", dir.display()))
}

/// The pictures in a folder and those below it, a folder's own before those of its sub-folders, in the order of their
/// names; what is hidden is left out.
///
/// # Errors
/// A folder that cannot be read, or that is nested without end.
pub fn pictures_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut pictures = Vec::new();
    walk(dir, MAX_DEPTH, &mut |folder, names| pictures.extend(names.iter().map(|name| folder.join(name))))?;
    Ok(pictures)
}

/// Calls `each` with every folder and its pictures.
pub(super) fn walk(dir: &Path, depth: usize, each: &mut impl FnMut(&Path, &[String])) -> Result<()> {
    ensure!(depth > 0, "{}: folders are nested too deep; is there a link in a circle?", dir.display());
    let (folders, files): (Vec<_>, Vec<_>) = listing(dir)?.into_iter().partition(|(_, is_folder)| *is_folder);
    let pictures: Vec<String> =
        files.into_iter().map(|(name, _)| name).filter(|name| is_picture(name)).collect();
    each(dir, &pictures);
    let mut visible = folders.iter().filter(|(name, _)| !name.starts_with('.'));
    visible.try_for_each(|(name, _)| walk(&dir.join(name), depth - 1, each))
}

/// The first of these names that is in the folder.
pub(super) fn first(dir: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| dir.join(name)).find(|path| path.exists())
}

pub(super) fn either(dir: &Path, names: &[&str]) -> Result<PathBuf> {
    first(dir, names)
        .with_context(|| format!("{}: there is no {}; {NAMES}", dir.display(), names.join(" and no ")))
}

/// Reads a text file that cannot be larger than `most` bytes.
pub(super) fn text(path: &Path, most: u64) -> Result<String> {
    let read = || -> Result<String> {
        let size = fs::metadata(path)?.len();
        ensure!(size <= most, "{size} bytes are too many");
        let mut text = String::new();
        File::open(path)?.take(most).read_to_string(&mut text)?;
        Ok(text)
    };
    read().with_context(|| format!("{}: cannot be read", path.display()))
}
