//! The contents of folders: images by their extension, files by name, and text files of bounded size.

use anyhow::{Context, Result, ensure};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Extensions of image files, in lower or upper case.
pub(super) const EXTENSIONS: [&str; 11] =
    ["jpg", "jpeg", "png", "webp", "bmp", "gif", "ppm", "pgm", "pbm", "tif", "tiff"];
/// What some editors write before a text.
pub(super) const BYTE_ORDER_MARK: &str = "\u{feff}";
/// Upper bound on nested folders, against cycles of links.
pub(super) const MAX_DEPTH: usize = 16;

/// The syntax of names of data sets of files, for messages.
pub(in crate::data) const NAMES: &str = "`folder:DIR` reads DIR/train and DIR/val with a sub-folder per class, \
     `list:DIR` DIR/train.txt and DIR/val.txt with lines `path label`, `webdataset:DIR` tar shards below DIR, \
     `manifest:FILE` a table with columns `path`, `label`, `split`, `parquet:DIR` files as the Hugging Face Hub has them, \
     `hf:OWNER/NAME` a data set of that Hub";

/// Whether a file or an entry is an image, judging by its name.
pub(super) fn is_image(name: impl AsRef<[u8]>) -> bool {
    let name = Path::new(OsStr::from_bytes(name.as_ref()));
    let is_known = |extension: &OsStr| EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known));
    !name.file_name().is_none_or(is_hidden) && name.extension().is_some_and(is_known)
}

/// Whether a name begins with a dot.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".")
}

/// The last component of a path.
pub(super) fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// A name as text: bytes that are not UTF-8 as `\xf6`, so that no two names become one.
pub(super) fn spelled(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// Sorts names as Python does: by characters, a byte that is not UTF-8 counting as U+DC00 plus its value.
pub(super) fn sort(names: &mut [(OsString, bool)]) {
    fn characters(name: &OsStr) -> impl Iterator<Item = u32> {
        name.as_bytes().utf8_chunks().flat_map(|chunk| {
            let invalid = chunk.invalid().iter().map(|&byte| 0xdc00 + u32::from(byte));
            chunk.valid().chars().map(u32::from).chain(invalid)
        })
    }
    names.sort();
    if names.iter().any(|(name, _)| name.to_str().is_none()) {
        names.sort_by(|(a, _), (b, _)| characters(a).cmp(characters(b)));
    }
}

/// The names in a folder, sorted, and whether each is a folder.
pub(super) fn listing(dir: &Path) -> Result<Vec<(OsString, bool)>> {
    let read = || -> Result<Vec<(OsString, bool)>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            names.push((
                entry.file_name(),
                if kind.is_symlink() { entry.path().is_dir() } else { kind.is_dir() },
            ));
        }
        sort(&mut names);
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
    walk(dir, MAX_DEPTH, &mut |folder, names, _| images.extend(names.iter().map(|name| folder.join(name))))?;
    Ok(images)
}

/// Calls `each` with every folder, the names of its images and those of its other files, without hidden ones.
pub(super) fn walk(
    dir: &Path,
    depth: usize,
    each: &mut impl FnMut(&Path, &[OsString], &[OsString]),
) -> Result<()> {
    ensure!(depth > 0, "{}: folders are nested too deep; is there a cycle of links?", dir.display());
    let visible = listing(dir)?.into_iter().filter(|(name, _)| !is_hidden(name));
    let (folders, files): (Vec<_>, Vec<_>) = visible.partition(|(_, is_folder)| *is_folder);
    let (images, others): (Vec<_>, Vec<_>) =
        files.into_iter().map(|(name, _)| name).partition(|name| is_image(name.as_bytes()));
    each(dir, &images, &others);
    folders.iter().try_for_each(|(name, _)| walk(&dir.join(name), depth - 1, each))
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

/// The bytes of a text file of at most `max` bytes, without a byte order mark.
pub(super) fn text_bytes(path: &Path, max: u64) -> Result<Vec<u8>> {
    let read = || -> Result<Vec<u8>> {
        let size = fs::metadata(path)?.len();
        ensure!(size <= max, "{size} bytes are too many");
        let mut bytes = Vec::new();
        File::open(path)?.take(max).read_to_end(&mut bytes)?;
        let is_utf16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
        ensure!(!is_utf16, "it is UTF-16; save it as UTF-8");
        if bytes.starts_with(BYTE_ORDER_MARK.as_bytes()) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(bytes)
    };
    read().with_context(|| format!("{}: cannot be read", path.display()))
}

/// Reads a text file of at most `max` bytes, without a byte order mark.
pub(super) fn text(path: &Path, max: u64) -> Result<String> {
    let text = String::from_utf8(text_bytes(path, max)?);
    text.with_context(|| format!("{}: not UTF-8; save it as UTF-8", path.display()))
}
