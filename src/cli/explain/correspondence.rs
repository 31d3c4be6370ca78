//! `tchvision explain correspondence`.

use super::pictures::Common;
use crate::cli::table;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tch::Tensor;
use tchvision::Usage;
use tchvision::data::image;
use tchvision::explain::{Box, Figure, Look, Network, Panel, correspondence, covered};

#[derive(clap::Args)]
pub struct Args {
    /// A CSV of parts with the columns `image,part,x,y,width,height`: the same parts of two pictures or more, in pixels of the
    /// input as the network sees it (`explained/IMAGE.png` shows it); paths are relative to the file
    #[arg(required = true, value_name = "PARTS.csv")]
    parts: PathBuf,
    #[command(flatten)]
    common: Common,
    /// Layers, as PyTorch names the modules; without them, the last two stages
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    layer: Vec<String>,
    /// Parts at random of the same sizes, rounds over all pictures
    #[arg(long, value_name = "N", default_value_t = 10)]
    random: usize,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

type Parts = Vec<(PathBuf, BTreeMap<String, Box>)>;

pub fn run(args: &Args) -> Result<()> {
    let parts = args.read()?;
    let classifier = args.common.open()?;
    let network = Network::of(&classifier);
    let layers = if args.layer.is_empty() { network.last_two() } else { args.layer.clone() };
    let (mut inputs, mut row) = (Vec::new(), Vec::new());
    for (path, boxes) in &parts {
        let look = Look::at(&classifier, &image::read(path)?)?;
        let caption = vec![path.file_name().unwrap_or_default().to_string_lossy().into_owned()];
        row.push(Panel { image: covered(&look.shown, boxes.values()), caption });
        inputs.push((look.input, boxes.clone()));
    }
    let found = correspondence(&network, &inputs, &layers, args.random, args.seed)
        .with_context(|| args.parts.display().to_string())?;
    let line = |row: &tchvision::explain::Agreement| {
        let each = layers
            .iter()
            .zip(&row.distances)
            .map(|(layer, [mean, std])| format!("{layer} {mean:.3} ± {std:.3}"));
        format!("{}: {}", row.part, each.collect::<Vec<_>>().join(", "))
    };
    let figure = Figure {
        title: format!("Correspondence in {}", classifier.name()),
        rows: vec![row],
        scale: None,
        legend: found.iter().map(|row| (None, line(row))).collect(),
    };
    let means: Vec<f32> =
        found.iter().flat_map(|row| row.distances.iter().map(|[mean, _]| *mean as f32)).collect();
    let means = Tensor::from_slice(&means).f_view([found.len() as i64, layers.len() as i64])?;
    let mut folder =
        args.common.folder(&classifier, json!({"explain": "correspondence", "layers": layers}))?;
    let path =
        folder.add("correspondence", &figure, &[("distances".to_owned(), means)], json!({"parts": found}))?;
    let mut out =
        table(&[&["part"], layers.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat());
    for row in &found {
        let cells = row.distances.iter().map(|[mean, std]| format!("{mean:.3} ± {std:.3}"));
        out.add_row(std::iter::once(row.part.clone()).chain(cells));
    }
    args.common.say(out)?;
    args.common.say(path.display())?;
    args.common.finish(folder, 0)
}

impl Args {
    fn read(&self) -> Result<Parts> {
        #[derive(serde::Deserialize)]
        struct Line {
            image: PathBuf,
            part: String,
            x: i64,
            y: i64,
            width: i64,
            height: i64,
        }
        let at = self.parts.display();
        let mut parts: Parts = Vec::new();
        let mut reader = csv::Reader::from_path(&self.parts).with_context(|| at.to_string())?;
        let base = self.parts.parent().unwrap_or_else(|| "".as_ref());
        for line in reader.deserialize() {
            let Line { image, part, x, y, width, height } = line.map_err(|error| {
                Usage(format!("{at}: {error}; the columns are image,part,x,y,width,height"))
            })?;
            let image = base.join(image);
            let place = match parts.iter().position(|(known, _)| *known == image) {
                Some(place) => place,
                None => {
                    parts.push((image, BTreeMap::new()));
                    parts.len() - 1
                }
            };
            let twice = parts[place].1.insert(part.clone(), [x, y, width, height]);
            ensure!(twice.is_none(), Usage(format!("{at}: a picture has two parts `{part}`")));
        }
        Ok(parts)
    }
}
