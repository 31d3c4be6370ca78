//! The figure of [`super::invariance`]: a row of curves a change, a column a layer and P(class).

use super::{Change, Curve, Figure, Panel};
use crate::data::image::{self, RgbImage};
use crate::report::{colour, figure};
use anyhow::Result;
use kuva::prelude::{LinePlot, Plot};

/// Curves of pictures by their names.
///
/// # Errors
/// A figure that cannot be drawn.
pub fn curves(title: &str, layers: &[String], pictures: &[(String, Vec<Curve>)]) -> Result<Figure> {
    let mut rows = Vec::new();
    for (place, change) in Change::ALL.into_iter().enumerate() {
        let mut row = Vec::new();
        for column in 0..=layers.len() {
            let line = |(i, (name, curves)): (usize, &(String, Vec<Curve>))| {
                let curve = &curves[place];
                let heights = curve.distances.get(column).unwrap_or(&curve.probability);
                let points: Vec<(f64, f64)> =
                    curve.values.iter().copied().zip(heights.iter().copied()).collect();
                Plot::Line(LinePlot::new().with_data(points).with_color(colour(i)).with_legend(name.clone()))
            };
            let plots = pictures.iter().enumerate().map(line).collect();
            let what =
                layers.get(column).map_or("P(class)".to_owned(), |layer| format!("distance at {layer}"));
            let drawn = figure("curve", what.clone(), plots, |layout| {
                layout.with_x_label(change.label()).with_y_label(what.clone()).with_y_axis_min(0.0)
            })?;
            row.push(Panel { image: halved(&image::decode(&drawn.png)?), caption: Vec::new() });
        }
        rows.push(row);
    }
    Ok(Figure { title: title.to_owned(), rows, ..Figure::default() })
}

/// Half as wide and high: the mean of four pixels.
fn halved(image: &RgbImage) -> RgbImage {
    let (width, height) = (image.width / 2, image.height / 2);
    let sample = |row: usize, column: usize, channel: usize| {
        let at = |y: usize, x: usize| u16::from(image.pixels[3 * (y * image.width + x) + channel]);
        let (y, x) = (2 * row, 2 * column);
        ((at(y, x) + at(y, x + 1) + at(y + 1, x) + at(y + 1, x + 1)) / 4) as u8
    };
    let places = (0..height).flat_map(|row| (0..width).map(move |column| (row, column)));
    let pixels = places.flat_map(|(row, column)| [0, 1, 2].map(|channel| sample(row, column, channel)));
    RgbImage { width, height, pixels: pixels.collect() }
}
