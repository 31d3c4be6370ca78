//! The binary versions of CIFAR-10 and CIFAR-100, from the published `.tar.gz` or the unpacked folder.

use super::{Dataset, Images, Splits};
use anyhow::{Context, Result, ensure};
use flate2::read::MultiGzDecoder;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

const SIDE: usize = 32;
const PIXELS: usize = 3 * SIDE * SIDE;
/// Upper bound on the size of a file in the archives.
const MAX_BYTES: u64 = 256 << 20;

/// What differs between the two data sets.
pub(super) struct Version {
    pub name: &'static str,
    pub archive: &'static str,
    pub folder: &'static str,
    pub train: &'static [&'static str],
    pub test: &'static str,
    /// Label bytes before the pixels; the last is used (CIFAR-100 has the coarse label first).
    pub labels: usize,
    pub class_names: &'static str,
    pub classes: usize,
}

pub(super) const CIFAR10: Version = Version {
    name: "cifar10",
    archive: "cifar-10-binary.tar.gz",
    folder: "cifar-10-batches-bin",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: "test_batch.bin",
    labels: 1,
    class_names: "batches.meta.txt",
    classes: 10,
};

pub(super) const CIFAR100: Version = Version {
    name: "cifar100",
    archive: "cifar-100-binary.tar.gz",
    folder: "cifar-100-binary",
    train: &["train.bin"],
    test: "test.bin",
    labels: 2,
    class_names: "fine_label_names.txt",
    classes: 100,
};

/// Reads both splits below `root`.
///
/// # Errors
/// Files that are missing, truncated or not CIFAR.
pub(super) fn read(version: &Version, root: &Path) -> Result<Splits> {
    let unpacked = root.join(version.folder);
    let (mut files, source) = if unpacked.is_dir() {
        (from_folder(version, &unpacked)?, unpacked)
    } else {
        from_archive(version, &root.join(version.archive))?
    };
    let mut take = |name: &str| {
        files
            .remove(name)
            .with_context(|| format!("{}: `{name}` is missing; fetch it again", source.display()))
    };
    let names = String::from_utf8_lossy(&take(version.class_names)?).into_owned();
    let classes: Vec<String> =
        names.lines().map(str::trim).filter(|l| !l.is_empty()).map(Into::into).collect();
    ensure!(
        classes.len() == version.classes,
        "{}: {} class names, want {}; fetch it again",
        source.display(),
        classes.len(),
        version.classes
    );
    let mut split = |names: &[&str]| {
        let mut images = Images { pixels: Vec::new(), count: 0, channels: 3, height: SIDE, width: SIDE };
        let mut labels = Vec::new();
        let record = version.labels + PIXELS;
        for name in names {
            let bytes = take(name)?;
            ensure!(
                !bytes.is_empty() && bytes.len().is_multiple_of(record),
                "{}: `{name}` is truncated or not CIFAR: its {} bytes are not a multiple of {record}; fetch \
                 it again",
                source.display(),
                bytes.len()
            );
            for record in bytes.chunks_exact(record) {
                labels.push(i64::from(record[version.labels - 1]));
                images.pixels.extend_from_slice(&record[version.labels..]);
                images.count += 1;
            }
        }
        Dataset { name: version.name.to_owned(), images, labels, classes: classes.clone() }
            .checked(&source.display().to_string())
    };
    Ok(Splits { train: split(version.train)?, test: split(&[version.test])? })
}

fn wanted(version: &Version) -> impl Iterator<Item = &str> {
    version.train.iter().copied().chain([version.test, version.class_names])
}

fn from_folder(version: &Version, folder: &Path) -> Result<HashMap<String, Vec<u8>>> {
    let read = |name: &str| {
        let path = folder.join(name);
        let size = fs::metadata(&path).with_context(|| format!("{}: cannot be read", path.display()))?.len();
        ensure!(size <= MAX_BYTES, "{}: not a file of CIFAR: {size} bytes are too many", path.display());
        Ok((name.to_owned(), fs::read(&path).with_context(|| format!("{}", path.display()))?))
    };
    wanted(version).map(read).collect()
}

fn from_archive(version: &Version, path: &PathBuf) -> Result<(HashMap<String, Vec<u8>>, PathBuf)> {
    ensure!(path.exists(), "{} is missing; `tchvision data fetch {}` gets it", path.display(), version.name);
    let file = File::open(path).with_context(|| format!("{}: cannot be opened", path.display()))?;
    let unpack = || -> Result<HashMap<String, Vec<u8>>> {
        let mut files = HashMap::new();
        let mut archive = tar::Archive::new(MultiGzDecoder::new(BufReader::new(file)));
        for entry in archive.entries()? {
            let entry = entry?;
            let name = entry.path()?.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !wanted(version).any(|wanted| wanted == name) {
                continue;
            }
            let size = entry.size();
            ensure!(size <= MAX_BYTES, "`{name}`: {size} bytes are too many for CIFAR");
            let mut bytes = Vec::new();
            entry.take(size).read_to_end(&mut bytes)?;
            // A truncated archive yields a short entry without an error.
            ensure!(bytes.len() as u64 == size, "`{name}` is truncated: {} of {size} bytes", bytes.len());
            files.insert(name, bytes);
        }
        Ok(files)
    };
    let files = unpack()
        .with_context(|| format!("{}: not a valid archive; remove it and fetch it again", path.display()))?;
    Ok((files, path.clone()))
}
