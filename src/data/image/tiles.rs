//! Tensors as pictures: tiles side by side in one PNG.

use super::RgbImage;
use anyhow::{Context, Result, bail, ensure};
use png::{BitDepth, ColorType, Encoder};
use tch::{Kind, Tensor};

/// A picture in PNG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Png {
    pub width: u32,
    pub height: u32,
    pub channels: u32,
    pub bytes: Vec<u8>,
}

impl Png {
    /// # Errors
    /// A picture of no pixels.
    pub fn of(image: &RgbImage) -> Result<Self> {
        let (width, height) = (u32::try_from(image.width)?, u32::try_from(image.height)?);
        let bytes = encode(&image.pixels, [width, height], 3).context("PNG")?;
        Ok(Self { width, height, channels: 3, bytes })
    }
}

/// Tiles narrower than this are enlarged, by whole pixels.
const WIDTH: i64 = 48;
/// Pixels between two tiles.
const GAP: i64 = 1;
/// A picture has no more tiles than this.
const MAX_TILES: i64 = 1024;

/// (N, C, H, W) with 1 or 3 channels as a square of tiles. uint8 is shown as it is; any other tile from black at its
/// least value to white at its greatest. Beyond 1,024 tiles the rest is left out.
///
/// # Errors
/// Another shape.
pub fn tiles(images: &Tensor) -> Result<Png> {
    let size = images.size();
    let &[count, channels @ (1 | 3), height, width] = size.as_slice() else {
        bail!("{size:?} is not a batch of pictures: (N, 1 or 3, H, W)");
    };
    ensure!(count > 0 && height > 0 && width > 0, "{size:?} has no pixels");
    let count = count.min(MAX_TILES);
    let images = images.f_detach()?.f_to_device(tch::Device::Cpu)?.f_narrow(0, 0, count)?;
    let shown = match images.kind() {
        Kind::Uint8 => images.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?,
        _ => stretched(&images.f_to_kind(Kind::Float)?)?,
    };
    let zoom = (WIDTH / width).max(1);
    let large =
        shown.f_repeat_interleave_self_int(zoom, 2, None)?.f_repeat_interleave_self_int(zoom, 3, None)?;
    let columns = (count as f64).sqrt().ceil() as i64;
    let rows = (count + columns - 1) / columns;
    let (tile_height, tile_width) = (height * zoom + GAP, width * zoom + GAP);
    let square = large
        .f_constant_pad_nd([0, GAP, 0, GAP, 0, 0, 0, rows * columns - count])?
        .f_reshape([rows, columns, channels, tile_height, tile_width])?
        .f_permute([0, 3, 1, 4, 2])?;
    let pixels =
        square.f_mul_scalar(255.0)?.f_round()?.f_to_kind(Kind::Uint8)?.f_contiguous()?.f_flatten(0, -1)?;
    let (width, height) = (u32::try_from(columns * tile_width)?, u32::try_from(rows * tile_height)?);
    let bytes = encode(&Vec::<u8>::try_from(pixels)?, [width, height], channels).context("PNG")?;
    Ok(Png { width, height, channels: channels as u32, bytes })
}

/// Every picture from 0 at its least value to 1 at its greatest.
fn stretched(images: &Tensor) -> Result<Tensor> {
    let flat = images.f_flatten(1, -1)?;
    let ends = |end: Tensor| end.f_view([-1, 1, 1, 1]);
    let (low, high) = (ends(flat.f_amin([1], true)?)?, ends(flat.f_amax([1], true)?)?);
    Ok(images.f_sub(&low)?.f_div(&high.f_sub(&low)?.f_clamp_min(f64::from(f32::MIN_POSITIVE))?)?)
}

fn encode(pixels: &[u8], [width, height]: [u32; 2], channels: i64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(if channels == 1 { ColorType::Grayscale } else { ColorType::Rgb });
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(png: &Png) -> Vec<u8> {
        let mut reader = png::Decoder::new(std::io::Cursor::new(&png.bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        pixels
    }

    #[test]
    fn tiles_are_stretched_enlarged_and_set_side_by_side() {
        let two = Tensor::from_slice(&[-1f32, 0.0, 1.0, 3.0, 3.0, 3.0]).reshape([2, 1, 1, 3]);
        let png = tiles(&two).unwrap();
        // Two tiles of 3 pixels by 16, and a pixel after each.
        assert_eq!((png.width, png.height, png.channels), (98, 17, 1));
        let pixels = decoded(&png);
        let at = |x: usize| pixels[x];
        assert_eq!([at(0), at(15), at(16), at(47), at(48)], [0, 0, 128, 255, 0]);
        assert_eq!(at(49), 0, "a tile without contrast is black");
    }

    #[test]
    fn bytes_and_colours_are_shown_as_they_are() {
        let bytes: Vec<u8> = (0..3 * 60 * 60).map(|i| (i % 251) as u8).collect();
        let image = Tensor::from_slice(&bytes).reshape([1, 3, 60, 60]);
        let png = tiles(&image).unwrap();
        assert_eq!((png.width, png.height, png.channels), (61, 61, 3));
        let pixels = decoded(&png);
        for (x, y, c) in [(0, 0, 0), (7, 3, 1), (59, 59, 2)] {
            assert_eq!(pixels[(y * 61 + x) * 3 + c], bytes[(c * 60 + y) * 60 + x]);
        }
        assert!(tiles(&image.squeeze()).is_err());
        assert!(tiles(&image.narrow(1, 0, 2)).is_err());
    }
}
