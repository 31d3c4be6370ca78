//! `tchvision explain filters`.

use crate::cli::{network, print, print_json};
use anyhow::Result;
use serde_json::json;
use std::path::PathBuf;
use tchvision::explain::{Figure, Filters, Folder, Network};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    network: network::Args,
    /// Where filters.png, filters.safetensors, manifest.json and index.html go
    #[arg(long, value_name = "DIR", default_value = "explained")]
    out: PathBuf,
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let (mut row, mut tensors, mut about, mut first) = (Vec::new(), Vec::new(), Vec::new(), None);
    for builder in args.network.builders()? {
        let classifier = network::open(builder)?;
        network::show_notes(&classifier);
        let filters = Filters::of(&Network::of(&classifier))?;
        let name = classifier.name().to_owned();
        row.push(filters.panel(&name)?);
        about.push(json!({"model": name, "weights": classifier.identity()?, "layer": filters.name,
                          "filters": filters.weights.size(), "dead": filters.dead}));
        let suffix = if tensors.is_empty() { String::new() } else { format!(".{}", tensors.len()) };
        tensors.push((format!("filters{suffix}"), filters.weights));
        first.get_or_insert(classifier);
    }
    let Some(classifier) = first else { anyhow::bail!("no network") };
    let figure = Figure { title: "First filters".to_owned(), rows: vec![row], ..Figure::default() };
    let mut folder = Folder::create(&args.out, &classifier, json!({"explain": "filters"}))?;
    let path = folder.add("filters", &figure, &tensors, json!({"networks": about}))?;
    let manifest = folder.finish()?;
    if args.json {
        return print_json(&manifest);
    }
    for network in &about {
        let dead = network["dead"].as_array().map_or(0, Vec::len);
        print(format_args!(
            "{}: {} {}, {dead} dead",
            network["model"], network["layer"], network["filters"]
        ))?;
    }
    print(path.display())
}
