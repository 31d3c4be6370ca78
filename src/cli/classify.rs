//! `tchvision classify`: the likeliest classes of pictures.

use super::{network, print, print_json};
use anyhow::{Result, ensure};
use serde::Serialize;
use std::path::PathBuf;
use tchvision::Usage;
use tchvision::classifier::Likely;
use tchvision::data::{Skipped, pictures_below};

#[derive(clap::Args)]
pub struct Args {
    /// Files, or folders of them
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    network: network::Args,
    /// How many classes of each picture
    #[arg(long, value_name = "K", default_value_t = 5)]
    topk: usize,
    /// Pictures that go through the network at once
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Classified {
    image: String,
    top: Vec<Likely>,
}

pub fn run(args: &Args) -> Result<()> {
    if args.topk == 0 || args.batch_size == 0 {
        return Err(Usage("--topk and --batch-size are 1 or more".into()).into());
    }
    let files = files(&args.images)?;
    let classifier = network::open(args.network.builder()?)?;
    network::show_notes(&classifier);
    let mut classified = Vec::with_capacity(files.len());
    let mut skipped = |picture: Skipped| eprintln!("error: {}: {}", picture.name, picture.reason);
    classifier.classify(&files, args.topk, args.batch_size, &mut skipped, &mut |place, top| {
        let row = Classified { image: files[place].display().to_string(), top };
        if !args.json {
            show(&row, files.len() > 1 || args.images.len() > 1)?;
        }
        classified.push(row);
        Ok(())
    })?;
    if args.json {
        print_json(&classified)?;
    }
    let failed = files.len() - classified.len();
    ensure!(failed == 0, "{failed} of {} pictures could not be read", files.len());
    Ok(())
}

/// The files that are named, and those in the folders that are.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in named {
        if path.is_dir() {
            let found = pictures_below(path)?;
            ensure!(!found.is_empty(), "{}: no pictures are in this folder", path.display());
            files.extend(found);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn show(row: &Classified, with_name: bool) -> Result<()> {
    if with_name {
        print(&row.image)?;
    }
    for Likely { class, label, probability } in &row.top {
        let label = label.clone().unwrap_or_else(|| format!("class {class}"));
        print(format_args!("{:6.2} %  {label}", 100.0 * probability))?;
    }
    Ok(())
}
