//! Image files decoded and resampled to the same pixels as Pillow's.

mod bmp;
mod convolve;
mod gif;
mod jpeg;
mod png;
mod pnm;
mod resample;
mod rgb;
mod tiff;
mod tiles;
mod webp;

pub use resample::{Interpolation, Region, Resize};
pub(crate) use rgb::luma;
pub use rgb::{MAX_PIXELS, RgbImage};
pub use tiles::{Png, tiles};

use crate::ErrorKind;
use anyhow::{Context, Result, anyhow, bail, ensure};
use rgb::{bounded_by, within};
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Upper bound on the size of an image file.
pub(crate) const MAX_BYTES: u64 = 256 << 20;

/// A JPEG decoded at reduced size is still at least this many times larger than the wanted size.
const MIN_OVERSAMPLING: usize = 3;

/// The format of an image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFormat {
    Jpeg,
    Png,
    WebP,
    Gif,
    Bmp,
    Tiff,
    /// PBM, PGM and PPM.
    Netpbm,
}

impl ImageFormat {
    /// Detects the format by the magic number; `None` if it is none of these.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'B', b'M', ..] => Some(Self::Bmp),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Self::Tiff),
            [b'P', b'1'..=b'6', b' ' | b'\t'..=b'\r', ..] => Some(Self::Netpbm),
            _ => None,
        }
    }

    /// The usual spelling: `JPEG`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
            Self::Netpbm => "PBM, PGM or PPM",
        }
    }
}

/// Decodes an image file, or its first frame, bit-exactly like Pillow's `Image.open(file).convert("RGB")`:
/// transparency is dropped, and the orientation is applied to TIFF and ignored elsewhere.
///
/// # Errors
/// Bytes that are not JPEG, PNG, WebP, GIF, BMP, TIFF or PPM, are damaged or truncated, or state more than
/// [`MAX_PIXELS`] pixels.
pub fn decode(bytes: &[u8]) -> Result<RgbImage> {
    decode_within(bytes, MAX_PIXELS)
}

/// The same of pictures from strangers: at most `max_pixels` are decoded. The size is known from the header, before memory
/// or time is spent on pixels.
///
/// # Errors
/// Same as [`decode`], and more pixels than that.
pub fn decode_within(bytes: &[u8], max_pixels: u64) -> Result<RgbImage> {
    let whole = Encoded::opened(bytes, max_pixels.min(MAX_PIXELS)).and_then(Encoded::into_whole);
    whole.map_err(|error| ErrorKind::Image.mark(error))
}

/// An image file; a JPEG is decoded only as far as its pixels are needed.
pub struct Encoded<'a>(Kind<'a>);

enum Kind<'a> {
    Jpeg(&'a [u8], Box<jpeg::Frame>),
    Decoded(RgbImage),
}

impl<'a> Encoded<'a> {
    /// An image that is decoded already.
    pub fn decoded(image: RgbImage) -> Self {
        Self(Kind::Decoded(image))
    }

    /// Reads the header of a JPEG; decodes other formats completely.
    ///
    /// # Errors
    /// Same as [`decode`].
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        Self::open_within(bytes, MAX_PIXELS)
    }

    /// The same of an image of at most so many pixels.
    ///
    /// # Errors
    /// Same as [`decode_within`].
    pub fn open_within(bytes: &'a [u8], max_pixels: u64) -> Result<Self> {
        Self::opened(bytes, max_pixels.min(MAX_PIXELS)).map_err(|error| ErrorKind::Image.mark(error))
    }

    fn opened(bytes: &'a [u8], most: u64) -> Result<Self> {
        let Some(format) = ImageFormat::of(bytes) else {
            ensure!(!bytes.is_empty(), "the file is empty");
            bail!("neither JPEG, PNG, WebP, GIF, BMP, TIFF nor PPM; convert it to one of them");
        };
        let decode = match format {
            ImageFormat::Jpeg => match jpeg::Frame::parse(bytes) {
                Some(frame) => {
                    bounded_by(frame.width, frame.height, most)?;
                    return Ok(Self(Kind::Jpeg(bytes, Box::new(frame))));
                }
                None => jpeg::decode,
            },
            ImageFormat::Png => png::decode,
            ImageFormat::WebP => webp::decode,
            ImageFormat::Gif => gif::decode,
            ImageFormat::Bmp => bmp::decode,
            ImageFormat::Tiff => tiff::decode,
            ImageFormat::Netpbm => pnm::decode,
        };
        Ok(Self(Kind::Decoded(caught(format, || decode(bytes, most))?)))
    }

    /// Width and height.
    pub fn size(&self) -> (usize, usize) {
        match &self.0 {
            Kind::Jpeg(_, frame) => (frame.width, frame.height),
            Kind::Decoded(image) => (image.width, image.height),
        }
    }

    /// A part of the image, the same as [`RgbImage::crop`] of the whole.
    ///
    /// # Errors
    /// Same as [`decode`] and [`RgbImage::crop`]; damage after the part may go unnoticed.
    pub fn part(&self, columns: Range<usize>, rows: Range<usize>) -> Result<RgbImage> {
        match &self.0 {
            Kind::Jpeg(bytes, frame) => {
                within((frame.width, frame.height), &columns, &rows)?;
                caught(ImageFormat::Jpeg, || jpeg::part(bytes, frame, columns, rows))
            }
            Kind::Decoded(image) => image.crop(columns, rows),
        }
    }

    /// A resized part of the image, for training: nearly the same as [`Self::part`] resized. A JPEG part at
    /// least six times as large as the result is decoded at 1/2, 1/4 or 1/8 of its size, from its low
    /// frequencies only; it is then still at least three times as large, so that the resize hides the
    /// difference.
    ///
    /// # Errors
    /// Same as [`Self::part`] and [`RgbImage::resize`].
    pub fn resized_part(&self, columns: Range<usize>, rows: Range<usize>, to: &Resize) -> Result<RgbImage> {
        if let Kind::Jpeg(bytes, frame) = &self.0 {
            within((frame.width, frame.height), &columns, &rows)?;
            let ratio = (columns.len() / to.width.max(1)).min(rows.len() / to.height.max(1));
            let shrink = [8, 4, 2].into_iter().find(|&shrink| shrink <= ratio / MIN_OVERSAMPLING);
            let reduced = shrink.and_then(|shrink| {
                Some((shrink, jpeg::reduced_part(bytes, frame, shrink, &columns, &rows)?))
            });
            if let Some((shrink, reduced)) = reduced {
                let scale = shrink as f32;
                let edges = |range: &Range<usize>| {
                    let from = (range.start % shrink) as f32 / scale;
                    (from, from + range.len() as f32 / scale)
                };
                let ((left, right), (top, bottom)) = (edges(&columns), edges(&rows));
                let region = Region { left, top, right, bottom };
                return reduced.resize(&Resize { region: Some(region), ..to.clone() });
            }
        }
        self.part(columns, rows)?.resize(to)
    }

    /// Decodes the whole image.
    ///
    /// # Errors
    /// Same as [`decode`].
    pub fn into_whole(self) -> Result<RgbImage> {
        match self.0 {
            Kind::Jpeg(bytes, frame) => {
                let (columns, rows) = (0..frame.width, 0..frame.height);
                caught(ImageFormat::Jpeg, || jpeg::part(bytes, &frame, columns, rows))
            }
            Kind::Decoded(image) => Ok(image),
        }
    }
}

/// Runs a decoder and turns its panics into errors.
fn caught(format: ImageFormat, decode: impl FnOnce() -> Result<RgbImage>) -> Result<RgbImage> {
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    let decoded = decoded.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(anyhow!("{}", text.or(panic.downcast_ref().copied()).unwrap_or("the decoder failed")))
    });
    decoded.with_context(|| format!("a damaged, truncated or unsupported {}", format.name()))
}

/// Reads an image file and decodes it with [`decode`].
///
/// # Errors
/// Same as [`decode`], or a file that is missing, unreadable or too large for an image; the message names it.
pub fn read(path: &Path) -> Result<RgbImage> {
    read_file(path).and_then(|bytes| decode(&bytes)).with_context(|| path.display().to_string())
}

/// The bytes of an image file.
///
/// # Errors
/// A file that is missing, unreadable or too large for an image; the message does not name it.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    ensure!(size <= MAX_BYTES, "{size} bytes are too many for an image");
    let mut bytes = Vec::with_capacity(size as usize + 1);
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
