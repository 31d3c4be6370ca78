//! Pictures as Pillow sees them: decoded and resampled to the same pixels.

mod bmp;
mod convolve;
mod gif;
mod jpeg;
mod png;
mod resample;
mod rgb;
mod tiles;
mod webp;

pub use resample::{Interpolation, Region, Resize};
pub use rgb::{MAX_PIXELS, RgbImage};
pub use tiles::{Png, tiles};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rgb::within;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// A larger file is no picture.
const MAX_BYTES: u64 = 256 << 20;

/// How many times larger than wanted a picture of low frequencies is at least.
const SPARE: usize = 3;

/// What an image file is, told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFormat {
    Jpeg,
    Png,
    WebP,
    Gif,
    Bmp,
}

impl ImageFormat {
    /// `None` where the bytes are no image of these formats.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'B', b'M', ..] => Some(Self::Bmp),
            _ => None,
        }
    }

    /// As its users write it: `JPEG`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
        }
    }
}

/// The picture of an image file, its first where it has several, to the bit as Pillow's
/// `Image.open(file).convert("RGB")` has it: transparency is dropped and EXIF's orientation left alone.
///
/// # Errors
/// Bytes that are no JPEG, PNG, WebP, GIF or BMP, that are damaged or cut off, or that say they have more than
/// [`MAX_PIXELS`] pixels.
pub fn decode(bytes: &[u8]) -> Result<RgbImage> {
    Encoded::open(bytes)?.into_whole()
}

/// An image file that is decoded as far as its pixels are wanted, where its format allows that.
pub struct Encoded<'a>(Kind<'a>);

enum Kind<'a> {
    Jpeg(&'a [u8], Box<jpeg::Frame>),
    Decoded(RgbImage),
}

impl<'a> Encoded<'a> {
    /// Reads the head of a JPEG, and all of other files.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        let Some(format) = ImageFormat::of(bytes) else {
            ensure!(!bytes.is_empty(), "the file is empty");
            bail!("neither JPEG, PNG, WebP, GIF nor BMP: convert it to one of them");
        };
        let decode = match format {
            ImageFormat::Jpeg => match jpeg::Frame::parse(bytes) {
                Some(frame) => return Ok(Self(Kind::Jpeg(bytes, Box::new(frame)))),
                None => jpeg::decode,
            },
            ImageFormat::Png => png::decode,
            ImageFormat::WebP => webp::decode,
            ImageFormat::Gif => gif::decode,
            ImageFormat::Bmp => bmp::decode,
        };
        Ok(Self(Kind::Decoded(caught(format, || decode(bytes))?)))
    }

    /// Width and height.
    pub fn size(&self) -> (usize, usize) {
        match &self.0 {
            Kind::Jpeg(_, frame) => (frame.width, frame.height),
            Kind::Decoded(image) => (image.width, image.height),
        }
    }

    /// A part of the picture: what [`RgbImage::crop`] takes of the whole.
    ///
    /// # Errors
    /// As [`decode`] and [`RgbImage::crop`]; damage behind the part may go unnoticed.
    pub fn part(&self, columns: Range<usize>, rows: Range<usize>) -> Result<RgbImage> {
        match &self.0 {
            Kind::Jpeg(bytes, frame) => {
                within((frame.width, frame.height), &columns, &rows)?;
                caught(ImageFormat::Jpeg, || jpeg::part(bytes, frame, columns, rows))
            }
            Kind::Decoded(image) => image.crop(columns, rows),
        }
    }

    /// A part of the picture in another size, for training: nearly what [`Self::part`] resized is. Of a JPEG that is more
    /// than six times as large only the frequencies are decoded that a picture of half its size has, or a quarter, or an
    /// eighth: it is still three times too large then, and the resizing hides the difference.
    ///
    /// # Errors
    /// As [`Self::part`] and [`RgbImage::resize`].
    pub fn resized_part(&self, columns: Range<usize>, rows: Range<usize>, to: &Resize) -> Result<RgbImage> {
        if let Kind::Jpeg(bytes, frame) = &self.0 {
            within((frame.width, frame.height), &columns, &rows)?;
            let spare = (columns.len() / to.width.max(1)).min(rows.len() / to.height.max(1)) / SPARE;
            let shrink = [8, 4, 2].into_iter().find(|&shrink| shrink <= spare);
            let smaller = shrink.and_then(|shrink| {
                Some((shrink, jpeg::smaller_part(bytes, frame, shrink, &columns, &rows)?))
            });
            if let Some((shrink, smaller)) = smaller {
                let scale = shrink as f32;
                let edges = |range: &Range<usize>| {
                    let from = (range.start % shrink) as f32 / scale;
                    (from, from + range.len() as f32 / scale)
                };
                let ((left, right), (top, bottom)) = (edges(&columns), edges(&rows));
                let region = Region { left, top, right, bottom };
                return smaller.resize(&Resize { region: Some(region), ..to.clone() });
            }
        }
        self.part(columns, rows)?.resize(to)
    }

    /// # Errors
    /// As [`decode`].
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

/// What a decoder makes, its panics as errors: libjpeg gives up by unwinding out of C.
fn caught(format: ImageFormat, decode: impl FnOnce() -> Result<RgbImage>) -> Result<RgbImage> {
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    let decoded = decoded.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(anyhow!("{}", text.or(panic.downcast_ref().copied()).unwrap_or("the decoder gave up")))
    });
    decoded.with_context(|| format!("a damaged, cut off or unusual {}", format.name()))
}

/// The picture of a file, as [`decode`].
///
/// # Errors
/// As [`decode`], and a file that is missing, unreadable or too large for a picture; the message names it.
pub fn read(path: &Path) -> Result<RgbImage> {
    let read = || {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        ensure!(size <= MAX_BYTES, "{size} bytes are too many for a picture");
        let mut bytes = Vec::with_capacity(size as usize);
        file.take(MAX_BYTES).read_to_end(&mut bytes)?;
        decode(&bytes)
    };
    read().with_context(|| path.display().to_string())
}
