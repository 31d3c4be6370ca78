//! JPEG decoding by libjpeg, with the options that Pillow uses, and with the overflows of libjpeg-turbo's vector code.

use super::idct;
use crate::data::image::rgb::{RgbImage, bounded_by, cmyk_to_rgb};
use anyhow::{Result, anyhow, bail, ensure};
// Linked for libjpeg.c.
use mozjpeg_sys as _;
use std::ffi::{CStr, c_char, c_int, c_void};

/// Bytes of libjpeg's messages at most.
const MESSAGE: usize = 200;

type InverseDct = unsafe extern "C" fn(*const i16, *const u16, *const *mut u8, u32);

unsafe extern "C" {
    fn tchvision_jpeg_open(
        bytes: *const u8,
        size: usize,
        inverse: InverseDct,
        about: *mut [u32; 4],
        message: *mut c_char,
    ) -> *mut c_void;
    fn tchvision_jpeg_read(
        opened: *mut c_void,
        channels: c_int,
        pixels: *mut u8,
        message: *mut c_char,
    ) -> c_int;
    fn tchvision_jpeg_close(opened: *mut c_void);
}

/// The whole image.
///
/// # Errors
/// Same as [`crate::data::image::decode`].
pub fn decode(bytes: &[u8], most: u64) -> Result<RgbImage> {
    let stated = stated(bytes)?;
    let (mut about, mut message) = ([0; 4], [0; MESSAGE]);
    let failed = |message: &[c_char; MESSAGE]| {
        // SAFETY: libjpeg ends its messages with a zero within `MESSAGE` bytes, which were zero before.
        anyhow!("{}", unsafe { CStr::from_ptr(message.as_ptr()) }.to_string_lossy())
    };
    // SAFETY: the bytes outlive `file`, which is closed below; `about` and `message` have the sizes that are written.
    let opened = unsafe {
        tchvision_jpeg_open(bytes.as_ptr(), bytes.len(), inverse_dct, &mut about, message.as_mut_ptr())
    };
    if opened.is_null() {
        return Err(failed(&message));
    }
    let file = File(opened);
    let [width, height, channels, _] = about.map(|number| number as usize);
    ensure!(
        (width, height, channels) == stated,
        "its frames state different sizes: {width}×{height} and {}×{}",
        stated.0,
        stated.1
    );
    let count = bounded_by(width, height, most)?;
    let mut samples = vec![0; count * channels];
    // SAFETY: `samples` has as many bytes as an image of this size and so many channels.
    if unsafe { tchvision_jpeg_read(file.0, channels as c_int, samples.as_mut_ptr(), message.as_mut_ptr()) }
        == 0
    {
        return Err(failed(&message));
    }
    if channels == 4 {
        let (inks, _) = samples.as_chunks::<4>();
        samples = inks.iter().copied().flat_map(cmyk_to_rgb).collect();
    }
    RgbImage::from_samples(width, height, if channels == 1 { 1 } else { 3 }, samples)
}

/// A file that libjpeg has opened.
struct File(*mut c_void);

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: it was opened, and is closed once.
        unsafe { tchvision_jpeg_close(self.0) };
    }
}

/// Libjpeg's call for the inverse DCT of one block.
unsafe extern "C" fn inverse_dct(
    block: *const i16,
    quantization: *const u16,
    rows: *const *mut u8,
    column: u32,
) {
    // SAFETY: libjpeg's blocks and tables have 64 values, and there are eight rows with eight samples from the column on.
    unsafe {
        let samples = idct::block(&*block.cast(), &*quantization.cast());
        for (y, samples) in samples.iter().enumerate() {
            (*rows.add(y)).add(column as usize).copy_from_nonoverlapping(samples.as_ptr(), samples.len());
        }
    }
}

/// Width, height and components as Pillow reads them, which refuses more than libjpeg does.
fn stated(bytes: &[u8]) -> Result<(usize, usize, usize)> {
    let mut stated = None;
    let mut at = 2;
    loop {
        let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff)) else {
            bail!("it has no scan");
        };
        at += found + 1;
        let marker = match bytes.get(at) {
            // A marker may be padded.
            Some(0xff) => continue,
            Some(marker) => *marker,
            None => bail!("it has no scan"),
        };
        at += 1;
        ensure!(marker == 0 || marker >= 0xc0, "the marker {marker:#x} is unknown");
        if matches!(marker, 0 | 0xc8 | 0xd0..=0xd9 | 0xf0..=0xfd) {
            continue;
        }
        let body = bytes.get(at..).and_then(|rest| rest.first_chunk()).and_then(|length| {
            let length = usize::from(u16::from_be_bytes(*length));
            bytes.get(at + 2..at + length.max(2))
        });
        let Some(body) = body else { bail!("the file is truncated in its header") };
        at += 2 + body.len();
        match marker {
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf | 0xde => {
                let [bits, h1, h0, w1, w0, components, layers @ ..] = body else {
                    bail!("a frame is truncated")
                };
                ensure!(*bits == 8, "{bits} bits a sample are not supported; save it with 8");
                ensure!(
                    matches!(components, 1 | 3 | 4),
                    "{components} components are not supported; save it as RGB"
                );
                ensure!(layers.len().is_multiple_of(3), "a frame is truncated");
                let side = |high: &u8, low: &u8| usize::from(u16::from_be_bytes([*high, *low]));
                stated = Some((side(w1, w0), side(h1, h0), usize::from(*components)));
            }
            0xdb => {
                let mut rest = body;
                while let [kind, ..] = rest {
                    let size = if kind >> 4 == 0 { 65 } else { 129 };
                    let Some(next) = rest.get(size..) else { bail!("a quantisation table is truncated") };
                    rest = next;
                }
            }
            0xe0 if body.starts_with(b"JFIF") => ensure!(body.len() >= 7, "its JFIF header is truncated"),
            0xe2 if body.starts_with(b"ICC_PROFILE\0") => {
                ensure!(body.len() >= 14, "its colour profile is truncated");
            }
            0xee if body.starts_with(b"Adobe") => ensure!(body.len() >= 7, "its Adobe header is truncated"),
            0xda => break,
            _ => {}
        }
    }
    stated.ok_or_else(|| anyhow!("it has no frame"))
}
