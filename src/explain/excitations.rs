//! Which channels squeeze-and-excitation lets through for which class, block by block (SENet, 1709.01507, section 7.2).

use crate::data::{Skipped, TestSet};
use crate::evaluate::{Outcome, Protocol};
use crate::report::{Figure, colour, escape, figure};
use crate::{Classifier, atomic, weights};
use anyhow::{Result, ensure};
use kuva::prelude::{LinePlot, Plot};
use serde::Serialize;
use std::collections::HashMap;
use std::path::Path;
use tch::{Kind, Tensor};

/// Classes that a figure draws beside the mean of all, as the paper's does.
const DRAWN: usize = 4;

/// The mean gate of every channel of every block, by class.
pub struct Excitations {
    pub classes: Vec<String>,
    /// Pictures of each class.
    pub images: Vec<u64>,
    /// In the order of the network.
    pub blocks: Vec<Block>,
}

/// The gates of one block.
pub struct Block {
    /// The key of its squeeze-and-excitation: `layer3.0.se`.
    pub name: String,
    /// Sums over pictures, (classes, channels), float64.
    sums: Tensor,
    /// As `sums`, of the squares.
    squares: Tensor,
}

/// What is said of a block.
#[derive(Serialize)]
pub struct Row {
    pub block: String,
    pub channels: i64,
    /// Of all gates.
    pub mean: f64,
    /// Standard deviation of the classes' means, the mean over the channels: how much the block tells classes apart.
    pub between_classes: f64,
    /// Standard deviation over the pictures of a class, the mean over channels and classes.
    pub within_classes: f64,
    /// Share of channels whose gate, the mean over all pictures, is above 0.95 or below 0.05.
    pub saturated: f64,
}

impl Excitations {
    /// Those of a model over labelled pictures, `batch_size` of which go through it at once; `skipped` and `each` as in
    /// [`Classifier::evaluate`].
    ///
    /// # Errors
    /// A model without squeeze-and-excitation, data whose classes are not the model's outputs, and those of `each`.
    pub fn of(
        classifier: &Classifier,
        data: TestSet,
        batch_size: usize,
        skipped: &mut dyn FnMut(Skipped),
        each: &mut dyn FnMut(usize, &Outcome) -> Result<()>,
    ) -> Result<Self> {
        let mut found =
            Self { classes: Vec::new(), images: vec![0; classifier.classes()], blocks: Vec::new() };
        let (mut gates, mut labels) = (Vec::new(), Vec::new());
        let evaluated = classifier.looking_inside(|store| {
            classifier.evaluate(data, &Protocol::Center, batch_size, skipped, &mut |place, outcome| {
                // The gates of a batch come with its first picture.
                if labels.is_empty() {
                    gates = store.seen_inside();
                }
                labels.push(outcome.label as i64);
                let images = gates.first().map(|(_, gate): &(String, Tensor)| gate.size()[0]);
                if images.is_none_or(|images| images as usize == labels.len()) {
                    found.count(std::mem::take(&mut gates), &labels)?;
                    labels.clear();
                }
                each(place, outcome)
            })
        })?;
        found.classes = evaluated.classes;
        Ok(found)
    }

    /// Counts the gates of a batch, (N, channels, 1, 1) each, whose pictures have these labels.
    fn count(&mut self, gates: Vec<(String, Tensor)>, labels: &[i64]) -> Result<()> {
        ensure!(!gates.is_empty(), "the model has no squeeze-and-excitation to look into");
        let classes = self.images.len() as i64;
        labels.iter().for_each(|&label| self.images[label as usize] += 1);
        let labels = &Tensor::from_slice(labels);
        if self.blocks.is_empty() {
            let block = |(name, gate): &(String, Tensor)| -> Result<Block> {
                let zeros = || Tensor::f_zeros([classes, gate.size()[1]], (Kind::Double, tch::Device::Cpu));
                Ok(Block { name: name.clone(), sums: zeros()?, squares: zeros()? })
            };
            self.blocks = gates.iter().map(block).collect::<Result<_>>()?;
        }
        ensure!(gates.len() == self.blocks.len(), "{} blocks, and {} before", gates.len(), self.blocks.len());
        for (block, (_, gate)) in self.blocks.iter_mut().zip(gates) {
            ensure!(gate.size()[2..] == [1, 1], "`{}`: gates of every pixel have no mean figure", block.name);
            let gate = gate.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Double)?.f_flatten(1, -1)?;
            let _summed = block.sums.f_index_add_(0, labels, &gate)?;
            let _summed = block.squares.f_index_add_(0, labels, &gate.f_square()?)?;
        }
        Ok(())
    }

    /// The mean gates of a block, (classes, channels); rows of classes without pictures are 0.
    fn means(&self, sums: &Tensor) -> Result<Tensor> {
        let images: Vec<f64> = self.images.iter().map(|&n| n.max(1) as f64).collect();
        Ok(sums.f_div(&Tensor::from_slice(&images).f_unsqueeze(1)?)?)
    }

    fn present(&self) -> Vec<i64> {
        (0..).zip(&self.images).filter(|(_, images)| **images > 0).map(|(class, _)| class).collect()
    }

    /// A row a block.
    ///
    /// # Errors
    /// None but libtorch's.
    pub fn rows(&self) -> Result<Vec<Row>> {
        let present = Tensor::from_slice(&self.present());
        let row = |block: &Block| -> Result<Row> {
            let means = self.means(&block.sums)?.f_index_select(0, &present)?;
            let squares = self.means(&block.squares)?.f_index_select(0, &present)?;
            let number = |x: &Tensor| -> Result<f64> { Ok(x.f_mean(Kind::Double)?.f_double_value(&[])?) };
            let of_all = means.f_mean_dim(0, false, Kind::Double)?;
            let within = squares.f_sub(&means.f_square()?)?.f_clamp_min(0.0)?.f_sqrt()?;
            let extreme = of_all.f_gt(0.95)?.f_logical_or(&of_all.f_lt(0.05)?)?;
            Ok(Row {
                block: block.name.clone(),
                channels: means.size()[1],
                mean: number(&means)?,
                between_classes: number(&means.f_std_dim(0, false, false)?)?,
                within_classes: number(&within)?,
                saturated: number(&extreme.f_to_kind(Kind::Double)?)?,
            })
        };
        self.blocks.iter().map(row).collect()
    }

    /// Writes `excitations.safetensors` (the means of every block, (classes, channels) float32), a figure a block and one
    /// over depth, and `index.html`.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn write(&self, dir: &Path, title: &str) -> Result<()> {
        std::fs::create_dir_all(dir)?;
        let mut tensors = Vec::new();
        let mut figures = vec![self.over_depth()?];
        for block in &self.blocks {
            let means = self.means(&block.sums)?;
            figures.push(self.of_block(&block.name, &means)?);
            tensors.push((block.name.clone(), means.f_to_kind(Kind::Float)?));
        }
        let metadata = HashMap::from([("classes".to_owned(), serde_json::to_string(&self.classes)?)]);
        weights::save(&dir.join("excitations.safetensors"), &tensors, metadata)?;
        figures.iter().try_for_each(|figure| figure.write(dir))?;
        atomic::write(&dir.join("index.html"), page(title, &figures).as_bytes())
    }

    /// The gates of a block over its channels: the mean of all classes, and a few classes.
    fn of_block(&self, name: &str, means: &Tensor) -> Result<Figure> {
        let line = |values: Vec<f64>| {
            let points: Vec<(f64, f64)> =
                values.into_iter().enumerate().map(|(i, y)| (i as f64, y)).collect();
            LinePlot::new().with_data(points)
        };
        let present = self.present();
        let mut plots = Vec::new();
        for (i, &class) in present.iter().take(DRAWN).enumerate() {
            let values = Vec::<f64>::try_from(means.f_select(0, class)?)?;
            let legend = self.classes[class as usize].clone();
            plots.push(Plot::Line(line(values).with_color(colour(i)).with_legend(legend)));
        }
        let all =
            means.f_index_select(0, &Tensor::from_slice(&present))?.f_mean_dim(0, false, Kind::Double)?;
        let all = line(Vec::<f64>::try_from(all)?).with_color("#000000").with_dashed();
        plots.push(Plot::Line(all.with_legend("mean of all classes")));
        figure(&name.replace('.', "_"), name.to_owned(), plots, |layout| {
            let layout = layout.with_x_label("channel").with_y_label("mean gate");
            layout.with_y_axis_min(0.0).with_y_axis_max(1.0)
        })
    }

    /// How much each block tells classes apart.
    fn over_depth(&self) -> Result<Figure> {
        let rows = self.rows()?;
        let series = |of: fn(&Row) -> f64, i: usize, legend: &str| {
            let points: Vec<(f64, f64)> =
                rows.iter().enumerate().map(|(i, row)| ((i + 1) as f64, of(row))).collect();
            Plot::Line(LinePlot::new().with_data(points).with_color(colour(i)).with_legend(legend))
        };
        let plots = vec![
            series(|row| row.between_classes, 0, "between classes"),
            series(|row| row.within_classes, 1, "within a class"),
        ];
        figure("over_depth", "How much the gates differ, over depth".to_owned(), plots, |layout| {
            layout.with_x_label("block, from the input").with_y_label("standard deviation of the gate")
        })
    }
}

fn page(title: &str, figures: &[Figure]) -> String {
    let figures: String =
        figures.iter().map(|figure| format!("<figure>{}</figure>\n", figure.inline())).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Excitations</title></head>\n<body>\n\
         <h1>{}</h1>\n{figures}</body>\n</html>\n",
        escape(title)
    )
}
