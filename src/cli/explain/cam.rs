//! `tchvision explain cam`.

use super::pictures::{Classes, Common, Drawing, Found, Pictures, input, label, probability};
use anyhow::Result;
use serde_json::{Value, json};
use std::path::PathBuf;
use tch::Tensor;
use tchvision::Usage;
use tchvision::explain::{Cam, Class, Figure, Look, Map, Method, Network, Panel, Smooth, deletion_insertion};

#[derive(clap::Args)]
pub struct Args {
    /// Files, or folders of them
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// gradcam, hirescam, layercam, gradcam++, xgradcam, eigencam or scorecam
    #[arg(long, default_value_t)]
    method: Method,
    #[command(flatten)]
    classes: Classes,
    /// The class that is right, beside the others
    #[arg(long, value_name = "NAME|ID")]
    expected: Option<String>,
    /// As PyTorch names the modules: `layer4`, `features.7`, `blocks.11.norm1`; several for their mean. Without it, the last
    /// stage with more than one place, for tokens the last norm whose patches have a gradient
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    layer: Vec<String>,
    /// `aug`: the mean over six views; `eigen`: the first principal component
    #[arg(long, value_name = "aug,eigen", value_delimiter = ',')]
    smooth: Vec<String>,
    /// Also the curves of P(class) as the strongest places are deleted from the picture, and put into an empty one: the means
    /// are told, low and high where the map is right
    #[arg(long)]
    score: bool,
    #[command(flatten)]
    drawing: Drawing,
}

pub fn run(args: &Args) -> Result<()> {
    let overlay = args.drawing.overlay()?;
    let mut smooth = Smooth::default();
    for name in &args.smooth {
        match name.as_str() {
            "aug" => smooth.augmented = true,
            "eigen" => smooth.eigen = true,
            other => return Err(Usage(format!("--smooth {other}: write aug, eigen or both")).into()),
        }
    }
    let pictures = Pictures::new(&args.images)?;
    let classifier = args.common.open()?;
    let mut asked: Vec<(Class, bool)> =
        args.classes.of(&classifier)?.into_iter().map(|class| (class, false)).collect();
    if let Some(expected) = &args.expected {
        asked.push((Class::of(expected, &classifier)?, true));
    }
    let network = Network::of(&classifier);
    let layers = match args.layer.is_empty() {
        true => vec![network.default_layer(&classifier.input().blank(classifier.device())?)?],
        false => args.layer.clone(),
    };
    let cam = Cam { method: args.method, layers, smooth };
    let layers = cam.layers.join(", ");
    let what = json!({"explain": "cam", "method": cam.method.name(), "layers": cam.layers, "smooth": args.smooth,
                      "colours": args.drawing.colours.name()});
    pictures.each(&args.common, &classifier, what, &mut |pictures, file, look| {
        let found = explained(&network, &cam, look, &asked)?;
        let mut row = vec![input(look)];
        let (mut tensors, mut about) = (Vec::new(), Vec::new());
        for (n, OfClass { class, is_expected, probability, map }) in found.iter().enumerate() {
            let name = label(&classifier, *class);
            let image = match map.has_evidence {
                true => overlay.over(&look.shown, &map.map)?,
                false => look.shown.clone(),
            };
            let mut second =
                format!("{:.2} %{}", 100.0 * probability, if *is_expected { ", expected" } else { "" });
            if !map.has_evidence {
                second = format!("{second}: no evidence at {layers}");
                pictures.suspend(|| eprintln!("{file}: no evidence for {name} at {layers}"));
            }
            row.push(Panel { image, caption: vec![name.clone(), second] });
            let suffix = if n == 0 { String::new() } else { format!(".{class}") };
            tensors.push((format!("map{suffix}"), map.map.shallow_clone()));
            for (layer, raw) in &map.raw {
                let of = if map.raw.len() == 1 { String::new() } else { format!(".{layer}") };
                tensors.push((format!("raw{suffix}{of}"), raw.shallow_clone()));
            }
            let mut entry = json!({"class": class, "label": name, "probability": probability,
                                     "expected": is_expected, "evidence": map.has_evidence});
            if args.score {
                let score = deletion_insertion(&network, &look.input, &map.map, *class)?;
                entry["deletion"] = json!(score.deletion);
                entry["insertion"] = json!(score.insertion);
            }
            about.push(entry);
        }
        let title = format!("{} of {}", cam.method, classifier.name());
        let scale = Some((overlay.colours, ["0".to_owned(), "1".to_owned()]));
        let legend = vec![(None, format!("layer {layers}"))];
        let figure = Figure { title, rows: vec![row], scale, legend };
        let line = line(&about);
        Ok(Found { figure, tensors, about: json!({"maps": about}), line })
    })
}

/// A class's map.
struct OfClass {
    class: i64,
    is_expected: bool,
    probability: f64,
    map: Map,
}

/// The maps of all classes that are asked about.
fn explained(network: &Network, cam: &Cam, look: &Look, asked: &[(Class, bool)]) -> Result<Vec<OfClass>> {
    let mut known: Vec<(i64, bool, f64)> = Vec::new();
    let maps = cam.chosen(network, &look.input, &mut |logits: &Tensor| {
        let mut sets = Vec::new();
        for (class, is_expected) in asked {
            let chosen = class.chosen(logits)?;
            if let Some((_, expected, _)) = known.iter_mut().find(|(known, ..)| *known == chosen[0]) {
                *expected |= is_expected;
                continue;
            }
            known.push((chosen[0], *is_expected, probability(logits, chosen[0])?));
            sets.push(chosen);
        }
        Ok(sets)
    })?;
    let maps = maps.into_iter().flatten();
    let found = known.into_iter().zip(maps).map(|((class, is_expected, probability), map)| OfClass {
        class,
        is_expected,
        probability,
        map,
    });
    Ok(found.collect())
}

/// What is said of a picture: its classes, and how right the maps are.
fn line(about: &[Value]) -> String {
    let each = about.iter().map(|row| {
        let percent = 100.0 * row["probability"].as_f64().unwrap_or(0.0);
        let score = match (row["deletion"].as_f64(), row["insertion"].as_f64()) {
            (Some(deletion), Some(insertion)) => {
                format!(", deletion {deletion:.3}, insertion {insertion:.3}")
            }
            _ => String::new(),
        };
        format!("{} {percent:.2} %{score}", row["label"].as_str().unwrap_or_default())
    });
    each.collect::<Vec<_>>().join("; ")
}
