//! IDX files, the format of MNIST: a magic number, the dimensions, the bytes.

use super::{Dataset, Images};
use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// Upper bound on the bytes of an MNIST-like data set; a header that claims more is refused.
const MAX_BYTES: usize = 4 << 30;

/// Reads `PREFIX-images-idx3-ubyte` and `PREFIX-labels-idx1-ubyte`, plain or `.gz`, from a folder.
///
/// # Errors
/// A file that is missing, truncated, too long or not IDX.
pub(super) fn read(name: &str, folder: &Path, prefix: &str, classes: Vec<String>) -> Result<Dataset> {
    let (sizes, pixels, _) = file(folder, &format!("{prefix}-images-idx3-ubyte"), 3)?;
    let (_, labels, path) = file(folder, &format!("{prefix}-labels-idx1-ubyte"), 1)?;
    let images = Images { pixels, count: sizes[0], channels: 1, height: sizes[1], width: sizes[2] };
    let labels: Vec<i64> = labels.into_iter().map(i64::from).collect();
    let classes = if classes.is_empty() {
        (0..=labels.iter().copied().max().unwrap_or(0)).map(|class| class.to_string()).collect()
    } else {
        classes
    };
    Dataset { name: name.to_owned(), images, labels, classes }.checked(&path.display().to_string())
}

/// The dimensions, bytes and path of one file.
fn file(folder: &Path, name: &str, dimensions: usize) -> Result<(Vec<usize>, Vec<u8>, PathBuf)> {
    let (plain, gz) = (folder.join(name), folder.join(format!("{name}.gz")));
    let path = if plain.exists() { plain } else { gz };
    let fetch = "`tchvision data fetch` gets known data sets";
    ensure!(path.exists(), "{} is missing; {fetch}", path.display());
    let open = File::open(&path).with_context(|| format!("{}: cannot be opened", path.display()))?;
    let mut reader: Box<dyn Read> = if path.extension().is_some_and(|extension| extension == "gz") {
        Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(open))))
    } else {
        Box::new(BufReader::new(open))
    };
    let (sizes, bytes) = parse(&mut reader, dimensions)
        .with_context(|| format!("{}: not a valid IDX file; remove it and fetch it again", path.display()))?;
    Ok((sizes, bytes, path))
}

fn parse(reader: &mut dyn Read, dimensions: usize) -> Result<(Vec<usize>, Vec<u8>)> {
    let mut magic = [0; 4];
    reader.read_exact(&mut magic).context("truncated in the header")?;
    ensure!(
        magic == [0, 0, 8, dimensions as u8],
        "magic number {magic:02x?} is not that of unsigned bytes in {dimensions} dimension(s)"
    );
    let mut sizes = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        let mut size = [0; 4];
        reader.read_exact(&mut size).context("truncated in the header")?;
        sizes.push(u32::from_be_bytes(size) as usize);
    }
    let product = sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let Some(total) = product.filter(|total| (1..=MAX_BYTES).contains(total)) else {
        bail!("dimensions {sizes:?} are out of range");
    };
    // Grows with the bytes that are read, not with what the header claims.
    let mut bytes = Vec::new();
    reader.take(total as u64).read_to_end(&mut bytes).context("truncated, or not valid gzip")?;
    ensure!(bytes.len() == total, "truncated: {} of {total} bytes", bytes.len());
    ensure!(
        reader.read(&mut [0]).context("after the last byte")? == 0,
        "there is data after the {total} bytes of the header's dimensions"
    );
    Ok((sizes, bytes))
}
