//! `tchvision explain rollout`.

use super::pictures::{Classes, Common, Drawing, Found, Pictures, input, label, probability};
use anyhow::Result;
use serde_json::json;
use std::path::PathBuf;
use tchvision::explain::{Figure, Fusion, Network, Panel, Rollout};

#[derive(clap::Args)]
pub struct Args {
    /// Files, or folders of them
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// How the heads of a block become one: mean, max or min
    #[arg(long, default_value = "mean", value_parser = ["mean", "max", "min"])]
    fusion: String,
    /// The share of each block's least attention that is left out
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    discard: f64,
    /// Attention times what is positive of its gradient of the class
    #[arg(long)]
    gradient: bool,
    #[command(flatten)]
    classes: Classes,
    #[command(flatten)]
    drawing: Drawing,
}

pub fn run(args: &Args) -> Result<()> {
    let overlay = args.drawing.overlay()?;
    let fusion = match args.fusion.as_str() {
        "max" => Fusion::Max,
        "min" => Fusion::Min,
        _ => Fusion::Mean,
    };
    let rollout = Rollout { fusion, discard: args.discard, gradient: args.gradient };
    let pictures = Pictures::new(&args.images)?;
    let classifier = args.common.open()?;
    let class = args.classes.only(&classifier)?;
    let network = Network::of(&classifier);
    let kind = if args.gradient { "gradient rollout" } else { "rollout" };
    let what = json!({"explain": "rollout", "method": kind, "fusion": args.fusion, "discard": args.discard,
                      "colours": args.drawing.colours.name()});
    pictures.each(&args.common, &classifier, what, &mut |_, _, look| {
        let mut of = (0, 0.0);
        let maps = rollout.maps(&network, &look.input, &mut |logits| {
            let chosen = class.chosen(logits)?;
            of = (chosen[0], probability(logits, chosen[0])?);
            Ok(chosen)
        })?;
        let map = &maps[0];
        let image = if map.has_evidence { overlay.over(&look.shown, &map.map)? } else { look.shown.clone() };
        let name = label(&classifier, of.0);
        let caption = vec![name.clone(), format!("{:.2} %", 100.0 * of.1)];
        let figure = Figure {
            title: format!("{kind} of {}", classifier.name()),
            rows: vec![vec![input(look), Panel { image, caption }]],
            scale: Some((overlay.colours, ["0".to_owned(), "1".to_owned()])),
            legend: vec![(None, format!("heads: {}, discarded: {}", args.fusion, args.discard))],
        };
        let tensors = vec![
            ("map".to_owned(), map.map.shallow_clone()),
            ("raw".to_owned(), map.raw[0].1.shallow_clone()),
        ];
        let about = json!({"class": of.0, "label": name, "probability": of.1, "evidence": map.has_evidence});
        Ok(Found { figure, tensors, about, line: String::new() })
    })
}
