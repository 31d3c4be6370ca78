//! The labels of ImageNet-1k's validation images, from the ILSVRC 2012 development kit as downloaded.

use super::labels::numbered;
use super::matlab;
use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

const FOLDER: &str = "ILSVRC2012_devkit_t12";
const GROUND_TRUTH: &str = "data/ILSVRC2012_validation_ground_truth.txt";
const META: &str = "data/meta.mat";
/// Upper bound on the bytes read; the kit has less than 10 MB.
const MAX_BYTES: u64 = 256 << 20;

/// The class of each validation image in the order of their numbers, as an index into `synsets`.
///
/// # Errors
/// A kit that is missing or not the one of 2012.
pub(super) fn validation_labels(dir: &Path, synsets: &[String]) -> Result<Vec<i64>> {
    let folder = dir.join(FOLDER);
    if folder.is_dir() {
        let read = |name: &str| -> Result<Vec<u8>> {
            let mut bytes = Vec::new();
            File::open(folder.join(name))
                .context(name.to_owned())?
                .take(MAX_BYTES)
                .read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let labels = || labels(&read(GROUND_TRUTH)?, &read(META)?, synsets);
        return labels().with_context(|| format!("{}: not the devkit of ILSVRC 2012", folder.display()));
    }
    let packed = dir.join(format!("{FOLDER}.tar.gz"));
    let file = File::open(&packed).with_context(|| {
        format!("{}: cannot be opened; it has the labels of the validation images", packed.display())
    })?;
    let labels = || {
        let (truth, meta) = unpack(file)?;
        labels(&truth, &meta, synsets)
    };
    labels().with_context(|| format!("{}: not the devkit of ILSVRC 2012; fetch it again", packed.display()))
}

/// The two files from the compressed kit.
fn unpack(file: File) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut truth, mut meta) = (None, None);
    let reader = MultiGzDecoder::new(BufReader::new(file)).take(MAX_BYTES);
    for entry in tar::Archive::new(reader).entries()? {
        let mut entry = entry?;
        let wanted = match entry.path()? {
            path if path.ends_with(GROUND_TRUTH) => &mut truth,
            path if path.ends_with(META) => &mut meta,
            _ => continue,
        };
        let (size, mut bytes) = (entry.size(), Vec::new());
        entry.read_to_end(&mut bytes)?;
        // A truncated archive yields a short entry without an error.
        ensure!(bytes.len() as u64 == size, "truncated: {} of {size} bytes of a file", bytes.len());
        *wanted = Some(bytes);
    }
    Ok((truth.context(GROUND_TRUTH)?, meta.context(META)?))
}

/// The kit numbers its synsets in its own order, given in `meta.mat`.
fn labels(truth: &[u8], meta: &[u8], synsets: &[String]) -> Result<Vec<i64>> {
    let numbers = numbered(synsets);
    let mut classes = vec![None; synsets.len()];
    for synset in matlab::structs(meta, "synsets").context(META)? {
        let (Some(id), Some(wnid)) = (synset.number("ILSVRC2012_ID"), synset.text("WNID")) else {
            bail!("{META}: a synset without ILSVRC2012_ID or WNID");
        };
        // IDs above 1000 are inner nodes of the hierarchy.
        if let Some(class) = classes.get_mut((id as usize).wrapping_sub(1)) {
            *class = numbers.get(wnid).copied();
        }
    }
    let class = |line: &str| -> Option<i64> {
        let id: usize = line.trim().parse().ok()?;
        *classes.get(id.checked_sub(1)?)?
    };
    let truth = std::str::from_utf8(truth).context(GROUND_TRUTH)?;
    let labels = (1..).zip(truth.lines()).map(|(number, line)| {
        class(line).with_context(|| format!("{GROUND_TRUTH}:{number}: `{line:.20}` is not a synset's ID"))
    });
    labels.collect()
}
