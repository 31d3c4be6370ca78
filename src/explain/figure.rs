//! Figures: pictures beside each other with captions, a scale of colours, and a title.

use super::Colours;
use crate::data::image::{self, Png, RgbImage};
use anyhow::{Context, Result, anyhow, ensure};
use kuva::backend::png::PngBackend;
use kuva::render::render::{Primitive, Scene, TextAnchor};
use std::ops::Range;
use tch::{Kind, Tensor};

/// A picture with the lines above it.
pub struct Panel {
    pub image: RgbImage,
    pub caption: Vec<String>,
}

/// Pictures in rows, all drawn as wide as the widest.
#[derive(Default)]
pub struct Figure {
    pub title: String,
    pub rows: Vec<Vec<Panel>>,
    /// A bar with the colours and what they go from and to.
    pub scale: Option<(Colours, [String; 2])>,
    /// Lines under the pictures, each with the colour that it explains, if any.
    pub legend: Vec<(Option<[u8; 3]>, String)>,
}

/// Narrower pictures are enlarged, by whole pixels.
const WIDTH: usize = 224;
const MARGIN: usize = 12;
const TITLE: u32 = 17;
const TEXT: u32 = 13;
/// The height of a line of text.
const LINE: usize = 18;
/// The width of the bar of colours.
const BAR: usize = 16;
/// The mean width of a letter as a share of its size.
const LETTER: f64 = 0.56;

impl Figure {
    /// The figure as a PNG.
    ///
    /// # Errors
    /// A figure without pictures, or text that cannot be drawn.
    pub fn png(&self) -> Result<Vec<u8>> {
        let widest = self.rows.iter().flatten().map(|panel| panel.image.width).max();
        let widest = widest.context("a figure without pictures")?;
        let least = WIDTH.div_ceil(widest.max(1)).max(1);
        let cell = widest * least;
        let zoom = |image: &RgbImage| (cell / image.width.max(1)).max(1);
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let lines = |row: &[Panel]| row.iter().map(|panel| panel.caption.len()).max().unwrap_or(0);
        let tallest = |row: &[Panel]| row.iter().map(|p| p.image.height * zoom(&p.image)).max().unwrap_or(0);
        let bar = if self.scale.is_some() { MARGIN + BAR + 56 } else { 0 };
        let width = MARGIN + columns * (cell + MARGIN) + bar;
        let top = MARGIN + 26;
        let rows: usize = self.rows.iter().map(|row| lines(row) * LINE + tallest(row) + MARGIN).sum();
        let height = top + rows + self.legend.len() * LINE + MARGIN;
        let mut scene = Scene::new(width as f64, height as f64);
        text(&mut scene, MARGIN, MARGIN + 16, TITLE, &self.title, width - 2 * MARGIN);
        let mut places = Vec::new();
        let mut y = top;
        for row in &self.rows {
            for (i, panel) in row.iter().enumerate() {
                let x = MARGIN + i * (cell + MARGIN);
                for (line, caption) in panel.caption.iter().enumerate() {
                    text(&mut scene, x, y + line * LINE + 13, TEXT, caption, cell);
                }
                places.push((panel, x, y + lines(row) * LINE));
            }
            y += lines(row) * LINE + tallest(row) + MARGIN;
        }
        for (i, (colour, line)) in self.legend.iter().enumerate() {
            let (x, y) = (MARGIN + if colour.is_some() { 18 } else { 0 }, y + i * LINE + 13);
            text(&mut scene, x, y, TEXT, line, width - x - MARGIN);
        }
        if let Some((_, [low, high])) = &self.scale {
            let x = width - 56;
            text(&mut scene, x, top + 12, TEXT, high, 56);
            text(&mut scene, x, top + cell, TEXT, low, 56);
        }
        let drawn = PngBackend::new().with_scale(1.0).render_scene(&scene);
        let mut canvas = image::decode(&drawn.map_err(|error| anyhow!("{}: {error}", self.title))?)?;
        for (panel, x, y) in places {
            paste(&mut canvas, &panel.image, [x, y], zoom(&panel.image));
        }
        if let Some((colours, _)) = &self.scale {
            for row in 0..cell {
                let colour = colours.at(1.0 - row as f32 / cell.max(2) as f32);
                fill(&mut canvas, [width - 56 - BAR - 4, top + row], [BAR, 1], colour);
            }
        }
        for (i, (colour, _)) in self.legend.iter().enumerate() {
            if let Some(colour) = colour {
                fill(&mut canvas, [MARGIN, y + i * LINE + 2], [12, 12], *colour);
            }
        }
        Ok(Png::of(&canvas)?.bytes)
    }
}

fn text(scene: &mut Scene, x: usize, y: usize, size: u32, content: &str, width: usize) {
    let most = (width as f64 / (f64::from(size) * LETTER)) as usize;
    let content = match content.chars().count() > most {
        true => content.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        false => content.to_owned(),
    };
    scene.add(Primitive::Text {
        x: x as f64,
        y: y as f64,
        content,
        size,
        anchor: TextAnchor::Start,
        rotate: None,
        bold: size == TITLE,
        color: None,
    });
}

/// Draws an image, each pixel as a square of `zoom`.
fn paste(canvas: &mut RgbImage, image: &RgbImage, [x, y]: [usize; 2], zoom: usize) {
    for row in 0..image.height {
        for column in 0..image.width {
            let at = 3 * (row * image.width + column);
            let colour = [0, 1, 2].map(|channel| image.pixels[at + channel]);
            fill(canvas, [x + column * zoom, y + row * zoom], [zoom, zoom], colour);
        }
    }
}

fn fill(canvas: &mut RgbImage, [x, y]: [usize; 2], [width, height]: [usize; 2], colour: [u8; 3]) {
    for row in y..(y + height).min(canvas.height) {
        for column in x..(x + width).min(canvas.width) {
            let at = 3 * (row * canvas.width + column);
            canvas.pixels[at..at + 3].copy_from_slice(&colour);
        }
    }
}

/// How a map lies over a picture.
#[derive(Clone, Copy, Debug)]
pub struct Overlay {
    pub colours: Colours,
    /// The share of the colours.
    pub alpha: f32,
    /// Places below it stay as they are.
    pub threshold: f32,
}

impl Default for Overlay {
    fn default() -> Self {
        Self { colours: Colours::default(), alpha: 0.5, threshold: 0.0 }
    }
}

impl Overlay {
    /// The picture under a map (H, W) from 0 to 1 of its size.
    ///
    /// # Errors
    /// A map of another size.
    pub fn over(&self, picture: &RgbImage, map: &Tensor) -> Result<RgbImage> {
        let values = numbers(map)?;
        ensure!(values.len() * 3 == picture.pixels.len(), "a map {:?} of another size", map.size());
        let mut pixels = picture.pixels.clone();
        for (pixel, &value) in pixels.chunks_exact_mut(3).zip(&values) {
            if value >= self.threshold {
                let colour = self.colours.at(value);
                for (channel, colour) in pixel.iter_mut().zip(colour) {
                    let mixed = (1.0 - self.alpha) * f32::from(*channel) + self.alpha * f32::from(colour);
                    *channel = mixed.round() as u8;
                }
            }
        }
        Ok(RgbImage { width: picture.width, height: picture.height, pixels })
    }
}

/// A map (H, W) from 0 to 1 in colours.
pub fn coloured(map: &Tensor, colours: Colours) -> Result<RgbImage> {
    let &[height, width] = map.size().as_slice() else { return Err(anyhow!("{:?} is no map", map.size())) };
    let pixels = numbers(map)?.into_iter().flat_map(|value| colours.at(value)).collect();
    Ok(RgbImage { width: width as usize, height: height as usize, pixels })
}

fn numbers(map: &Tensor) -> Result<Vec<f32>> {
    let map = map.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    Ok(Vec::<f32>::try_from(map.f_view(-1)?)?)
}

/// Values (C, H, W) of 1 or 3 channels as a picture: grey at 0, the largest magnitude black or white.
///
/// # Errors
/// Another shape.
pub fn signed(values: &Tensor) -> Result<RgbImage> {
    let &[channels @ (1 | 3), height, width] = values.size().as_slice() else {
        return Err(anyhow!("{:?} is no picture of 1 or 3 channels", values.size()));
    };
    let most = values.f_abs()?.f_max()?.f_double_value(&[])?;
    let scaled = values.f_mul_scalar(if most > 0.0 { 0.5 / most } else { 0.0 })?.f_add_scalar(0.5)?;
    picture(&scaled.f_expand([3.max(channels), height, width], false)?)
}

/// Values (3, H, W) from 0 to 1 as a picture.
pub(super) fn picture(values: &Tensor) -> Result<RgbImage> {
    let (_, height, width) = values.size3()?;
    let bytes = values.f_clamp(0.0, 1.0)?.f_mul_scalar(255.0)?.f_round()?.f_permute([1, 2, 0])?;
    let pixels = numbers(&bytes)?.into_iter().map(|value| value as u8).collect();
    Ok(RgbImage { width: width as usize, height: height as usize, pixels })
}

/// A picture with parts of it, (left, top, width, height), covered by grey.
pub fn covered<'a>(image: &RgbImage, parts: impl IntoIterator<Item = &'a [i64; 4]>) -> RgbImage {
    let mut covered = image.clone();
    for part in parts {
        let [x, y, width, height] = part.map(|n| usize::try_from(n).unwrap_or(0));
        fill(&mut covered, [x, y], [width, height], [128; 3]);
    }
    covered
}

/// A part of a picture.
pub(super) fn part(image: &RgbImage, rows: Range<usize>, columns: Range<usize>) -> RgbImage {
    let width = columns.len();
    let lines = rows.clone().flat_map(|row| {
        let start = 3 * (row * image.width + columns.start);
        image.pixels[start..start + 3 * width].iter().copied()
    });
    RgbImage { width, height: rows.len(), pixels: lines.collect() }
}

/// Pictures in a square, each in the middle of a cell of grey.
pub(super) fn grid(images: &[&RgbImage]) -> RgbImage {
    const GAP: usize = 2;
    let columns = (images.len() as f64).sqrt().ceil().max(1.0) as usize;
    let rows = images.len().div_ceil(columns).max(1);
    let cell = |side: fn(&RgbImage) -> usize| images.iter().map(|image| side(image)).max().unwrap_or(1);
    let (width, height) = (cell(|image| image.width), cell(|image| image.height));
    let size = [columns * (width + GAP) - GAP, rows * (height + GAP) - GAP];
    let mut square = RgbImage { width: size[0], height: size[1], pixels: vec![255; 3 * size[0] * size[1]] };
    for (i, image) in images.iter().enumerate() {
        let corner = [i % columns * (width + GAP), i / columns * (height + GAP)];
        fill(&mut square, corner, [width, height], [128; 3]);
        let middle = [corner[0] + (width - image.width) / 2, corner[1] + (height - image.height) / 2];
        paste(&mut square, image, middle, 1);
    }
    square
}
