//! Test sets for models of ImageNet-1k beside its own validation images: other pictures of its classes, or other labels.

use super::ImageFiles;
use super::folder::{Classes, by_class};
use super::imagenet::{ImageNet, imagenet};
use super::listing::{first, listing, spelled, text};
use anyhow::{Context, Result, bail, ensure};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A test set of pictures of ImageNet-1k's classes.
pub struct Variant {
    pub name: &'static str,
    pub about: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A folder of pictures a class, named as its synset or its number, in one of these folders.
    Folder { names: &'static [&'static str], is_masked: bool },
    /// ImageNet-1k's validation images with all labels that are right.
    Real,
}

const fn folder(
    name: &'static str,
    names: &'static [&'static str],
    is_masked: bool,
    about: &'static str,
) -> Variant {
    Variant { name, about, kind: Kind::Folder { names, is_masked } }
}

const KNOWN: [Variant; 5] = [
    folder(
        "imagenet-v2",
        &["imagenet-v2", "imagenetv2-matched-frequency-format-val", "imagenetv2-matched-frequency"],
        false,
        "Ten new pictures of each class (1902.10811)",
    ),
    folder(
        "imagenet-a",
        &["imagenet-a"],
        true,
        "Pictures of 200 classes that ResNet-50 gets wrong (1907.07174)",
    ),
    folder("imagenet-r", &["imagenet-r"], true, "Art, toys and the like of 200 classes (2006.16241)"),
    folder("imagenet-sketch", &["imagenet-sketch", "sketch"], false, "Sketches of each class (1905.13549)"),
    Variant {
        name: "imagenet-real",
        about: "The validation images of imagenet-1k with `real.json`: any of their right labels counts (2006.07159)",
        kind: Kind::Real,
    },
];

/// Names of the file of labels, which lies beside the validation images' folder.
const REAL: &[&str] = &["real.json", "imagenet_real_labels.json"];
/// Upper bound on its size.
const MAX_BYTES: u64 = 64 << 20;

/// The test sets of ImageNet-1k's classes that are known by name.
pub fn variants() -> &'static [Variant] {
    &KNOWN
}

impl Variant {
    /// The pictures below `root`.
    pub(super) fn test(&self, root: &Path) -> Result<ImageFiles> {
        let known = imagenet_1k()?;
        let (synsets, open) = (known.synsets(), || format!("{}: {}", self.name, self.about));
        match self.kind {
            Kind::Folder { names, is_masked } => {
                let inside = first(root, names);
                let dir = inside.as_deref().unwrap_or(root);
                let read = || in_folder(dir, &synsets);
                let mut files = read().with_context(open)?;
                files.is_masked = is_masked;
                Ok(files)
            }
            Kind::Real => real(known, root).with_context(open),
        }
    }

    /// What they are the classes of.
    pub(super) fn classes(&self) -> Result<Vec<String>> {
        Ok(imagenet_1k()?.synsets())
    }
}

fn imagenet_1k() -> Result<&'static ImageNet> {
    imagenet().iter().find(|known| known.name == "imagenet-1k").context("imagenet-1k is known")
}

/// The pictures of a folder by class. ImageNet-V2 names its folders 0 to 999, in the order of the synsets.
fn in_folder(dir: &Path, synsets: &[String]) -> Result<ImageFiles> {
    let is_number = |name: &str| name.parse::<usize>().is_ok_and(|number| number < synsets.len());
    let numbered = listing(dir)?
        .iter()
        .filter(|(_, is_folder)| *is_folder)
        .all(|(name, _)| is_number(&spelled(name.as_bytes())));
    if !numbered {
        return by_class(dir, Classes::Exactly(synsets));
    }
    let numbers: Vec<String> = (0..synsets.len()).map(|number| number.to_string()).collect();
    let mut files = by_class(dir, Classes::Exactly(&numbers))?;
    files.classes = synsets.to_vec();
    Ok(files)
}

/// The validation images, each with all its right labels; those without any are no part of the test.
fn real(known: &ImageNet, root: &Path) -> Result<ImageFiles> {
    let own = root.join(known.folder);
    let path = first(root, REAL).or_else(|| first(&own, REAL)).with_context(|| {
        format!(
            "{}: has no {}, the labels of github.com/google-research/reassessed-imagenet",
            root.display(),
            REAL[0]
        )
    })?;
    let labels = labels(&path, known.classes)?;
    let mut files = known.test(root)?;
    let mut several = Vec::with_capacity(files.len());
    let (mut kept, mut without) = (Vec::new(), None);
    for index in 0..files.len() {
        let title = files.title(index);
        let of_picture = number(&title).and_then(|number| labels.get(number.checked_sub(1)?));
        let of_picture = of_picture.with_context(|| format!("{title}: has no row in {}", path.display()))?;
        if of_picture.is_empty() {
            without.get_or_insert((0, title)).0 += 1;
        } else {
            kept.push(index);
        }
        several.push(of_picture.clone());
    }
    ensure!(!kept.is_empty(), "{}: no picture has a label", path.display());
    files.set_several(several);
    files.keep(&mut kept);
    if let Some((count, first)) = without {
        files.set_aside(count, first, "a picture without a right label");
    }
    Ok(files)
}

/// A list of labels for each of the validation images, in the order of their numbers.
fn labels(path: &Path, classes: i64) -> Result<Vec<Box<[i64]>>> {
    let read = || -> Result<Vec<Box<[i64]>>> {
        let labels: Vec<Box<[i64]>> = serde_json::from_str(&text(path, MAX_BYTES)?)?;
        if let Some(label) = labels.iter().flatten().find(|label| !(0..classes).contains(*label)) {
            bail!("the label {label} is none of the {classes} classes");
        }
        Ok(labels)
    };
    read().with_context(|| format!("{}: not a list of labels for each validation image", path.display()))
}

/// `ILSVRC2012_val_00000007.JPEG`: 7.
fn number(title: &str) -> Option<usize> {
    title.rsplit_once('.')?.0.rsplit_once('_')?.1.parse().ok()
}
